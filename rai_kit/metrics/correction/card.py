"""Rogan-Gladen: a rate, or the difference of two arms, corrected by the judge's known error rates (its card)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.correction.common import Corrected, Floats, findings, groups_of, refusal, table_of, weak_card
from rai_kit.metrics.correction.mixture import transport_check
from rai_kit.metrics.intervals import CONFIDENCE, Z, effective_size
from rai_kit.schema import InputError

_PAIRS = np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])


def reported_rate(true_rate: float, sensitivity: float, specificity: float) -> float:
    """The rate that a judge of that quality would report."""
    return true_rate * sensitivity + (1 - true_rate) * (1 - specificity)


def rogan_gladen(judged: ArrayLike, confusion: ArrayLike, clusters: ArrayLike | None = None) -> Corrected:
    """The share that people would have found, from the share that the judge found and its card; cut to 0-1.

    The interval, Lang and Reiczigel's, holds the uncertainty of the judged sample (of an effective size where there are clusters)
    and that of the card. It is refused where the card is too weak, or where no rate at all could give such findings with it.

    Args:
        judged: The judge's findings, 0 or 1; NaN (unscored) is left out.
        confusion: 2 x 2 counts of the card, rows said (no, yes), columns truth (no, yes).
        clusters: What judged rows that are not independent share; None where all stand alone.

    Raises:
        InputError: A finding or a card of another form.

    Source: Rogan and Gladen 1978; Lang and Reiczigel 2014.
    """
    card = table_of(confusion, 2)
    found, groups = findings(judged, clusters, (0.0, 1.0))
    method = _words(card)
    if reason := _reason(found, card, groups):
        return refusal(method, reason)
    value, low, high = threshold_interval(found, card, groups)
    return Corrected(value=value, low=low, high=high, method=method)


def threshold_interval(found: Floats, card: Floats, groups: NDArray[Any]) -> tuple[float, float, float]:
    """Corrected rate with Lang and Reiczigel's interval, of findings that are scored and a card that has been checked."""
    share, size, _ = effective_size(found, groups)
    value = float(np.clip(_quality(card).true(share), 0, 1))
    known, larger = _quality(card + 1), size + Z**2
    said = (share * size + Z**2 / 2) / larger
    true = known.true(said)
    variance = said * (1 - said) / larger + true**2 * known.hit_error + (1 - true) ** 2 * known.pass_error
    half = Z / known.youden * variance**0.5
    middle = true + 2 * Z**2 * (true * known.hit_error - (1 - true) * known.pass_error)
    middle = min(1.0, max(0.0, middle))  # else a share that no rate could give would have an interval of no width
    return value, min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half))


def rogan_gladen_difference(
    before: ArrayLike,
    after: ArrayLike,
    confusion_before: ArrayLike,
    confusion_after: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Corrected:
    """After minus before, of pairs judged in both arms; pairs that lack either finding are left out.

    A first-order interval that holds the pairing, clusters, and the error of the card (one card for both arms has one error, which
    then largely cancels). Half a pair, and a label, of every kind are added before it is computed. Not cut arm by arm: an arm whose
    corrected rate is cut at 0 still enters with its own estimate.

    Args:
        before: Findings before, 0 or 1, one a pair.
        after: Findings after, in the same order.
        confusion_before: The card, as for `rogan_gladen`.
        confusion_after: The card of the other arm; None where one card serves both.
        clusters: What pairs that are not independent share; None where all stand alone.

    Source: Rogan and Gladen 1978; half pairs after Agresti and Min 2005.
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if first.shape != second.shape:
        raise InputError(
            f"{first.size} findings before and {second.size} after are no pairs; give one each a pair, NaN where unscored."
        )
    keep, groups = ~np.isnan(first) & ~np.isnan(second), groups_of(clusters, len(first))
    first, second = findings(first[keep], None, (0.0, 1.0))[0], findings(second[keep], None, (0.0, 1.0))[0]
    groups = groups[keep]
    card = table_of(confusion_before, 2)
    other = card if confusion_after is None else table_of(confusion_after, 2)
    method = (
        f"{_words(card)}, {len(first)} pairs"
        if confusion_after is None
        else f"{_words(card)}; {_words(other)}; {len(first)} pairs"
    )
    if reason := _reason(first, card, groups) or _reason(second, other, groups):
        return refusal(method, reason)
    from scipy.stats import t

    count = len(np.unique(groups))
    if count < 2:
        return refusal(method, "All pairs share one cluster, so nothing tells how far the difference may vary.")
    value = _quality(other).true(float(second.mean())) - _quality(card).true(float(first.mean()))
    old, new = _quality(card + 1), _quality(other + 1)
    pairs = np.concatenate([np.stack([first, second], axis=1), _PAIRS])
    weight, times = np.repeat([1.0, len(first) / count], [len(first), 4]), np.repeat([1.0, 0.5], [len(first), 4])
    weight /= weight @ times
    said = (weight * times) @ pairs
    was, now = old.true(float(said[0])), new.true(float(said[1]))
    index = np.concatenate([np.unique(groups, return_inverse=True)[1], count + np.arange(4)])
    off = times**0.5 * weight * ((pairs - said) @ np.array([-1 / old.youden, 1 / new.youden]))
    variance = count / (count - 1) * float((np.bincount(index, weights=off) ** 2).sum())
    slopes = np.array([[was, was - 1]]) / old.youden, np.array([[-now, 1 - now]]) / new.youden
    errors = [np.array([one.hit_error, one.pass_error]) for one in (old, new)]
    if confusion_after is None:
        variance += float(((slopes[0] + slopes[1]) ** 2 @ errors[0])[0])
    else:
        variance += sum(float((slope**2 @ error)[0]) for slope, error in zip(slopes, errors, strict=True))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * variance**0.5
    value, low, high = (min(1.0, max(-1.0, one)) for one in (value, now - was - half, now - was + half))
    return Corrected(value=value, low=min(low, value), high=max(high, value), method=method)


class _Quality(NamedTuple):
    """Sensitivity and specificity of a card, and the variances of both."""

    sensitivity: float
    specificity: float
    hit_error: float
    pass_error: float

    @property
    def youden(self) -> float:
        return self.sensitivity + self.specificity - 1

    def true(self, said: float) -> float:
        return (said + self.specificity - 1) / self.youden


def _quality(card: Floats) -> _Quality:
    (passed, missed), (alarms, hits) = card.tolist()
    positives, negatives = missed + hits, passed + alarms
    sensitivity, specificity = hits / positives, passed / negatives
    return _Quality(
        sensitivity, specificity, sensitivity * (1 - sensitivity) / positives, specificity * (1 - specificity) / negatives
    )


def _words(card: Floats) -> str:
    return f"Rogan-Gladen, {card.sum():g} labels ({card[:, 1].sum():g} positive)"


def _reason(found: Floats, card: Floats, groups: NDArray[Any]) -> str | None:
    if not len(found):
        return "Nothing was scored, so there is nothing to correct."
    return weak_card(card) or transport_check(found, card, groups)
