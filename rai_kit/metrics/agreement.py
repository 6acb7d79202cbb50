"""How well one who judges agrees with people: arrays in, figures with 95 % intervals out.

Pairs of which either side is NaN (unscored, unlabelled) are left out of every figure. Shares have Wilson's interval (on an
effective sample size where answers share a cluster, such as a goal), everything else a bootstrap over whole clusters.
Left out on purpose: agreement coefficients other than kappa, and tests of one judge against another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.intervals import mean_interval, rate_interval, wilson
from rai_kit.metrics.weighted import Floats, Statistic, area_of, bootstrap, kappa_of, moments_of, rank_correlation_of
from rai_kit.schema import SEVERITY_MAX, InputError

if TYPE_CHECKING:
    import pandas as pd


class Measured(NamedTuple):
    """A figure with its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


_UNDEFINED = Measured(float("nan"), float("nan"), float("nan"))


def kappa(said: ArrayLike, truth: ArrayLike) -> float:
    """Cohen's kappa of two sets of names or numbers; NaN where both sides know but one name. Source: Cohen 1960."""
    one, other = np.asarray(said), np.asarray(truth)
    names, index = np.unique(np.concatenate([one, other]), return_inverse=True)
    if len(names) < 2:
        return float("nan")
    first, second = np.split(index, 2)
    shares = [np.bincount(side, minlength=len(names)) / len(first) for side in (first, second)]
    expected = float(shares[0] @ shares[1])
    return (float((first == second).mean()) - expected) / (1 - expected)


def weighted_kappa(one: ArrayLike, other: ArrayLike) -> float:
    """Quadratic-weighted kappa of two gradings on the same scale; 1 is full agreement. Source: Cohen 1968."""
    moments = moments_of(np.asarray(one, dtype=float), np.asarray(other, dtype=float))
    return float(kappa_of(moments.sum(axis=0))) if len(moments) else float("nan")


def auc(score: ArrayLike, truth: ArrayLike) -> float:
    """Probability that a positive has a higher score than a negative, ties counted half; NaN without both kinds.

    Source: Hanley and McNeil 1982.
    """
    scores, positive = np.asarray(score, dtype=float), np.asarray(truth, dtype=bool)
    return float(area_of(scores, positive)(np.ones((1, len(scores))))[0]) if len(scores) else float("nan")


def binary_agreement(
    said: ArrayLike, truth: ArrayLike, score: ArrayLike | None = None, clusters: ArrayLike | None = None
) -> dict[str, Measured]:
    """Agreement of yes-or-no findings with people's labels.

    Args:
        said: The judge's findings, 0 or 1.
        truth: People's labels, 0 or 1.
        score: The judge's probability of 1, if it gives one.
        clusters: What answers that are not independent share, such as the goal; None where every answer stands alone.

    Returns:
        `agreement`, `kappa`, `sensitivity`, `specificity`, `precision`, and with a score `auc`, `brier` (mean squared error of
        the probability) and `calibration_error` (mean distance of probability and share over ten bins of equal mass).
    """
    finding, label = _columns(said, truth)
    probability = np.full(len(label), np.nan) if score is None else _columns(score, truth)[0]
    groups = _groups(clusters, len(label))
    _zero_or_one(finding)
    _zero_or_one(label)
    keep = ~np.isnan(finding) & ~np.isnan(label)
    found, true, names = finding[keep] == 1, label[keep] == 1, groups[keep]
    if not len(true):
        return dict.fromkeys(_BINARY if score is None else (*_BINARY, *_SCORED), _UNDEFINED)
    measured = {
        "agreement": _share(found == true, names),
        "kappa": _graded([(found * 1.0, true * 1.0)], names),
        "sensitivity": _share(found[true], names[true]),
        "specificity": _share(~found[~true], names[~true]),
        "precision": _share(true[found], names[found]),
    }
    if score is None:
        return measured
    keep = ~np.isnan(probability) & ~np.isnan(label)
    return measured | _score_agreement(probability[keep], label[keep] == 1, groups[keep])


_BINARY = ("agreement", "kappa", "sensitivity", "specificity", "precision")
_SCORED = ("auc", "brier", "calibration_error")


def _score_agreement(score: Floats, truth: NDArray[np.bool_], clusters: NDArray[Any]) -> dict[str, Measured]:
    if not len(score):
        return dict.fromkeys(_SCORED, _UNDEFINED)
    if score.min() < 0 or score.max() > 1:
        raise InputError(f"score {score[(score < 0) | (score > 1)][0]:g} is no probability; give values from 0 to 1.")
    area = _bootstrap(area_of(score, truth), clusters)
    if area.value == 1:  # every draw is perfect too; the interval is what the rarer side can still hide
        rarer = min(len(np.unique(clusters[truth])), len(np.unique(clusters[~truth])))
        area = area._replace(low=wilson(rarer, rarer)[0])
    bins = _bins(score)
    off = (score - truth)[:, None] * (bins[:, None] == np.arange(bins.max() + 1))

    def distance(weights: Floats) -> Floats:
        return np.asarray(np.abs(weights @ off).sum(axis=1) / weights.sum(axis=1), dtype=float)

    drawn = _bootstrap(distance, clusters)
    # Distances are biased upwards, and those of a draw once more; mirroring takes the second bias out again.
    low, high = max(0.0, 2 * drawn.value - drawn.high), 2 * drawn.value - drawn.low
    return {
        "auc": area,
        "brier": Measured(*mean_interval((score - truth) ** 2, clusters, 1.0)[:3]),
        "calibration_error": drawn._replace(low=low, high=high if high > drawn.value else drawn.high),
    }


def ordinal_agreement(
    said: ArrayLike, truth: ArrayLike, clusters: ArrayLike | None = None, top: int = SEVERITY_MAX
) -> dict[str, Measured]:
    """Agreement of gradings on a scale from 0 to `top`.

    Returns:
        `agreement` (the same whole level; a fraction counts as the level below, as in DR-x), `within_one`, `weighted_kappa`
        (quadratic), `bias` (mean of judge minus people, in points of the scale: negative where the judge under-scores) and
        `spearman`.
    """
    given, label = _columns(said, truth)
    keep = ~np.isnan(given) & ~np.isnan(label)
    given, label, groups = _on_scale(given[keep], top), _on_scale(label[keep], top), _groups(clusters, len(keep))[keep]
    if not len(given):
        return dict.fromkeys(("agreement", "within_one", "weighted_kappa", "bias", "spearman"), _UNDEFINED)
    apart = np.abs(np.floor(given) - np.floor(label))
    weighted, rank = _graded([(given, label)], groups), _bootstrap(rank_correlation_of(given, label), groups)
    bias = np.array(mean_interval(given - label + top, groups, 2.0 * top)[:3]) - top
    return {
        "agreement": _share(apart == 0, groups),
        "within_one": _share(apart <= 1, groups),
        "weighted_kappa": weighted,
        "bias": Measured(*map(float, bias)),
        "spearman": rank if rank.value < 1 else rank._replace(low=weighted.low),
    }


def reliability_table(score: ArrayLike, truth: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """What became of each probability: one row per bin of (nearly) equal mass; equal scores stay in one bin.

    Returns:
        Columns `low_edge`, `high_edge` (smallest and largest score in the bin), `n`, `predicted` (mean score), `observed` (share
        of positives), `low`, `high` (Wilson).
    """
    import pandas as pd

    scores, label = _columns(score, truth)
    _zero_or_one(label)
    keep = ~np.isnan(scores) & ~np.isnan(label)
    scores, label = scores[keep], label[keep]
    place = _bins(scores, bins)
    rows = []
    for one in range(place.max() + 1 if len(place) else 0):
        inside, positive = scores[place == one], label[place == one]
        low, high = wilson(positive.sum(), len(positive))
        rows.append([inside.min(), inside.max(), len(inside), inside.mean(), positive.mean(), low, high])
    return pd.DataFrame(rows, columns=["low_edge", "high_edge", "n", "predicted", "observed", "low", "high"])


def human_ceiling(ratings: ArrayLike, clusters: ArrayLike | None = None, top: float = 1.0) -> dict[str, Measured]:
    """How well people agree among themselves: what no judge can be expected to pass.

    Args:
        ratings: One row an answer, one column a rater, on a scale from 0 to `top`; rows that lack a rating are left out.
        clusters: As for `binary_agreement`.
        top: End of the scale.

    Returns:
        `weighted_kappa` (one rater against the mean of the others, averaged over raters), `kappa_middle` (the same, of being at
        or above the middle of the scale) and `rater_bias` (largest difference of two raters' means, as a share of the scale).
    """
    given = np.atleast_2d(np.asarray(ratings, dtype=float))
    if given.shape[1] < 2:
        raise InputError(f"ratings of {given.shape[1]} rater; a human ceiling needs at least 2, one column each.")
    keep = ~np.isnan(given).any(axis=1)
    given, groups = _on_scale(given[keep], top), _groups(clusters, len(keep))[keep]
    if not len(given):
        return dict.fromkeys(("weighted_kappa", "kappa_middle", "rater_bias"), _UNDEFINED)
    others: Floats = (given.sum(axis=1, keepdims=True) - given) / (given.shape[1] - 1)
    pairs = list(zip(given.T, others.T, strict=True))

    def spread(weights: Floats) -> Floats:
        means = weights @ given / weights.sum(axis=1, keepdims=True)
        return np.asarray(means.max(axis=1) - means.min(axis=1), dtype=float) / top

    bias = _bootstrap(spread, groups)
    if not bias.high:
        bias = bias._replace(high=wilson(0, len(np.unique(groups)))[1])
    return {
        "weighted_kappa": _graded(pairs, groups),
        "kappa_middle": _graded([((one >= top / 2) * 1.0, (other >= top / 2) * 1.0) for one, other in pairs], groups),
        "rater_bias": bias._replace(low=min(bias.low, bias.value), high=max(bias.high, bias.value)),
    }


def confusion(said: ArrayLike, truth: ArrayLike, top: int = SEVERITY_MAX) -> NDArray[np.int64]:
    """How often each level was said (rows) where people gave each level (columns); fractions count as the level below."""
    given, label = _columns(said, truth)
    keep = ~np.isnan(given) & ~np.isnan(label)
    table = np.zeros((top + 1, top + 1), dtype=np.int64)
    np.add.at(table, (np.floor(_on_scale(given[keep], top)).astype(int), np.floor(_on_scale(label[keep], top)).astype(int)), 1)
    return table


def _columns(one: ArrayLike, other: ArrayLike) -> tuple[Floats, Floats]:
    """Two columns as numbers, None as NaN."""
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"columns of shapes {first.shape} and {second.shape} are no pairs; give one value an answer in each.")
    return first, second


def _groups(clusters: ArrayLike | None, count: int) -> NDArray[Any]:
    groups = np.arange(count) if clusters is None else np.asarray(clusters).astype(str)
    if len(groups) != count:
        raise InputError(f"{len(groups)} clusters for {count} answers; give one each, or None.")
    return groups


def _zero_or_one(values: Floats) -> None:
    odd = values[~np.isnan(values) & (values != 0) & (values != 1)]
    if len(odd):
        raise InputError(f"{odd[0]:g} is no yes-or-no finding; give 0, 1 or NaN (unscored), such as severity >= 3.")


def _on_scale(values: Floats, top: float) -> Floats:
    odd = values[(values < 0) | (values > top)]
    if len(odd):
        raise InputError(f"grade {odd[0]:g} lies off the scale; give values from 0 to {top:g}, or NaN (unscored).")
    return values


def _share(values: NDArray[np.bool_], clusters: NDArray[Any]) -> Measured:
    return Measured(*rate_interval(values.astype(float), clusters)[:3])


def _bins(score: Floats, bins: int = 10) -> NDArray[np.int64]:
    """Bin of each score, without gaps: edges at the quantiles, equal scores together."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1])) if len(score) else np.empty(0)
    return np.unique(np.searchsorted(edges, score, side="left"), return_inverse=True)[1]


def _bootstrap(statistic: Statistic, clusters: NDArray[Any]) -> Measured:
    return Measured(*bootstrap(statistic, clusters))


def _graded(pairs: list[tuple[Floats, Floats]], clusters: NDArray[Any]) -> Measured:
    """Weighted kappa, averaged over pairs of gradings, with its interval."""
    moments = [moments_of(*pair) for pair in pairs]

    def mean(weights: Floats) -> Floats:
        return np.asarray(np.mean([kappa_of(weights @ one) for one in moments], axis=0), dtype=float)

    found = _bootstrap(mean, clusters)
    if not found.value >= 1:  # NaN: one grade only on both sides
        return found
    # No disagreement in any draw: as many as Wilson's bound allows may be hidden, taken to be a step of the scale each.
    variance = np.mean([moment.mean(axis=0)[3:5].sum() - 2 * np.prod(moment.mean(axis=0)[1:3]) for moment in moments])
    return found._replace(low=max(-1.0, 1 - wilson(0, len(np.unique(clusters)))[1] / float(variance)))
