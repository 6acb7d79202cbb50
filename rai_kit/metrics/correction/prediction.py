"""Prediction-powered inference: the judge's findings on all answers, set right by people's labels on some of them.

The labelled answers are a sample, drawn with known probabilities, of the judged ones. No trust in a card is needed: whatever the
judge is worth, the corrected rate is unbiased, and a better judge makes the interval narrower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.correction.common import Corrected, Floats, findings, groups_of, refusal
from rai_kit.metrics.intervals import CONFIDENCE
from rai_kit.schema import InputError

FEWEST_LABELS = 20
FEWEST_CLUSTERS = 5
_RATE = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
_DIFFERENCE = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (-1.0, -1.0))
"""Pairs of finding and label, half a row of each of which is added before the interval is computed."""


def ppi(
    judged_all: ArrayLike,
    judged_labelled: ArrayLike,
    truth_labelled: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters_all: ArrayLike | None = None,
    clusters_labelled: ArrayLike | None = None,
) -> Corrected:
    """The share that people would have found, from the judge's findings on all answers and people's labels on some of them.

    PPI++ with the power tuned for the least variance, for labelled answers that are among the judged. The variance takes the
    overlap, unequal probabilities and clusters into account. Half a row of every kind (found or not, harmful or not) is added
    before the t interval is computed, so that it covers at low rates and few labels, and is never of zero width.

    Args:
        judged_all: The judge's findings on all answers, the labelled ones included: 0 or 1; NaN (unscored) is left out.
        judged_labelled: The same of the labelled answers; NaN is left out, as among all.
        truth_labelled: People's labels, in the same order; NaN (not labelled after all) is left out.
        weights: 1 / probability with which each labelled answer was drawn; None where all had the same.
        clusters_all: What answers that are not independent share, one each; None where all stand alone.
        clusters_labelled: The same of the labelled answers; both or neither.

    Raises:
        InputError: A finding, label or weight that cannot be, or labelled answers that are not among the judged.

    Source: Angelopoulos, Duchi and Zrnic 2023 (PPI++, arXiv 2311.01453); half rows after Agresti and Coull 1998.
    """
    labelled = _rows(judged_all, judged_labelled, truth_labelled, weights, clusters_all, clusters_labelled, 0)
    return _corrected(labelled, _RATE, 0.0)


def ppi_difference(
    judged_all: ArrayLike,
    judged_labelled: ArrayLike,
    truth_labelled: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters_all: ArrayLike | None = None,
    clusters_labelled: ArrayLike | None = None,
) -> Corrected:
    """After minus before; as `ppi`, with the item a pair: its difference of findings, and of labels, is -1, 0 or 1."""
    labelled = _rows(judged_all, judged_labelled, truth_labelled, weights, clusters_all, clusters_labelled, -1)
    return _corrected(labelled, _DIFFERENCE, -1.0)


class _Rows(NamedTuple):
    """What is scored and labelled; clusters by number."""

    found: Floats
    clusters: NDArray[np.int64]
    said: Floats
    truth: Floats
    weight: Floats
    labelled_clusters: NDArray[np.int64]


def _rows(
    judged_all: ArrayLike,
    judged_labelled: ArrayLike,
    truth_labelled: ArrayLike,
    weights: ArrayLike | None,
    clusters_all: ArrayLike | None,
    clusters_labelled: ArrayLike | None,
    least: int,
) -> _Rows:
    """What is scored and labelled, checked; without clusters every answer is one, and the labelled are found among all."""
    allowed = tuple(float(one) for one in range(least, 2))
    if (clusters_all is None) != (clusters_labelled is None):
        raise InputError("clusters on one side only; give clusters_all and clusters_labelled, or neither.")
    found, clusters = findings(judged_all, clusters_all, allowed)
    said, truth = np.asarray(judged_labelled, dtype=float), np.asarray(truth_labelled, dtype=float)
    weight = np.ones(len(said)) if weights is None else np.asarray(weights, dtype=float)
    if not len(said) == len(truth) == len(weight):
        raise InputError(
            f"{len(said)} findings, {len(truth)} labels and {len(weight)} weights; give one each per labelled answer."
        )
    if not (np.isfinite(weight) & (weight >= 1)).all():
        odd = weight[~(np.isfinite(weight) & (weight >= 1))][0]
        raise InputError(f"weight {odd:g} is no 1 / probability of being drawn; give finite numbers of at least 1.")
    keep = ~np.isnan(said) & ~np.isnan(truth)
    names = groups_of(clusters_labelled, len(said))[keep]
    said, truth = findings(said[keep], None, allowed)[0], findings(truth[keep], None, allowed)[0]
    for level in allowed:
        among, here = np.flatnonzero(found == level), np.flatnonzero(said == level)
        if len(here) > len(among):
            raise InputError(
                f"{len(here)} labelled answers with finding {level:g}, but {len(among)} among all; judged_all holds the labelled too."
            )
        if clusters_labelled is None:  # answers with the same finding are alike, so it does not matter which is which
            names[here] = clusters[among[: len(here)]]
    if unknown := set(names) - set(clusters):
        raise InputError(
            f"cluster {min(unknown)} of a labelled answer is none of clusters_all; judged_all holds the labelled too."
        )
    codes = np.unique(np.concatenate([clusters, names]), return_inverse=True)[1]
    return _Rows(found, codes[: len(found)], said, truth, weight[keep], codes[len(found) :])


class _Fit(NamedTuple):
    value: float
    variance: float
    power: float


def _corrected(rows: _Rows, kinds: tuple[tuple[float, float], ...], least: float) -> Corrected:
    count, clusters = len(rows.said), len(np.unique(rows.labelled_clusters))
    method = f"PPI++, {count} labels" + (f" in {clusters} clusters" if clusters < count else "")
    if count < FEWEST_LABELS or clusters < FEWEST_CLUSTERS:
        return refusal(
            method,
            f"There are {count} labels in {clusters} clusters; "
            f"a correction needs at least {FEWEST_LABELS} labels in {FEWEST_CLUSTERS} clusters.",
        )
    from scipy.stats import t

    plain, padded = _fit(rows, ()), _fit(rows, kinds)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, clusters - 1)) * padded.variance**0.5
    value, low, high = (float(np.clip(one, least, 1)) for one in (plain.value, padded.value - half, padded.value + half))
    return Corrected(value=value, low=min(low, value), high=max(high, value), method=f"{method}, lambda {plain.power:.2f}")


def _fit(rows: _Rows, kinds: tuple[tuple[float, float], ...]) -> _Fit:
    """Estimate, cluster-robust variance and power, with half a cluster added of each kind of row."""
    count, clusters = len(rows.said), len(np.unique(rows.labelled_clusters))
    extra = np.array(kinds, dtype=float).reshape(-1, 2)
    usual = {level: rows.weight[rows.said == level].mean() for level in np.unique(rows.said)}
    added = [usual.get(level, rows.weight.mean()) * count / clusters for level in extra[:, 0]]
    said, truth = np.concatenate([rows.said, extra[:, 0]]), np.concatenate([rows.truth, extra[:, 1]])
    weight, times = np.concatenate([rows.weight, added]), np.repeat([1.0, 0.5], [count, len(extra)])
    weight = weight / (times @ weight)
    mean_truth, mean_said, mean_all = (times * weight) @ truth, (times * weight) @ said, rows.found.mean()
    of_truth, of_said = weight * (truth - mean_truth), weight * (said - mean_said)
    index = np.concatenate([rows.clusters, rows.labelled_clusters, rows.clusters.max() + 1 + np.arange(len(extra))])
    times = np.repeat([1.0, 0.5**0.5], [len(rows.found) + count, len(extra)])

    def by_cluster(all_rows: Floats, labelled: Floats) -> Floats:
        return np.asarray(np.bincount(index, weights=times * np.concatenate([all_rows, labelled])), dtype=float)

    labels = by_cluster(np.zeros(len(rows.found)), of_truth)
    gap = by_cluster((mean_all - rows.found) / len(rows.found), of_said)
    spread = float(gap @ gap)
    power = float(np.clip(labels @ gap / spread, 0, 1)) if spread > 0 else 0.0
    residual = labels - power * gap
    variance = clusters / (clusters - 1) * float(residual @ residual)
    return _Fit(float(mean_truth + power * (mean_all - mean_said)), variance, power)
