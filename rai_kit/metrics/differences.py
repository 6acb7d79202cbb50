"""The difference and the ratio of two arms, pair by pair, with their intervals, and the exact test that there is none.

The unit of chance is the cluster; where every pair is a cluster of its own, all falls back to the textbook case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rai_kit.metrics.intervals import (
    CONFIDENCE,
    Floats,
    cluster_sums,
    effective_clusters,
    mean_interval,
    squared_error,
    student,
    wilson,
    z_of,
)
from rai_kit.metrics.outcomes import MEANS

Limits = tuple[float, float, float]
"""A value with the lower and upper end of its interval."""
RESAMPLES = 9999
DIFFER = 5  # clusters that must differ before the spread among them is believed
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Difference:
    """After minus before, with its interval, the ratio with its own, and the number of independent pairs that they rest on."""

    value: float
    low: float
    high: float
    ratio: Limits
    size: float
    method: str


def difference_of(
    before: Floats,
    after: Floats,
    clusters: NDArray[Any],
    metric: str,
    top: float,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Difference and ratio of pairs that are all scored, each with an interval.

    Where the differences of fewer than five clusters of a mean are not 0, their spread is not believed and the interval is Wilson's on
    the scale from -top to top, one case a cluster, which is conservative.

    Source: Newcombe 1998 (Statistics in Medicine 17:2635, method 10); Donner and Zou 2012 (the ratio, MOVER); Korn and Graubard 1998
    (effective size); Efron and Tibshirani 1993, chapter 12.5 (bootstrap-t).
    """
    if not len(before):
        return Difference(_NAN, _NAN, _NAN, (_NAN, _NAN, _NAN), 0.0, "nothing scored")
    change = after - before
    sums, sizes = cluster_sums(change, clusters)
    count, value = len(sums), float(change.mean())
    if metric not in MEANS:
        size, words = _effective_pairs(change, sums, sizes, confidence)
        one, other, both = float(before.mean()), float(after.mean()), float((before * after).mean())
        wide_one, wide_other = ((share, *wilson(share * size, size, confidence)) for share in (one, other))
        low, high = _square_and_add(wide_one, wide_other, _correlation(one, other, both, size))
        apart = (before != after).any()  # two sides without any difference are still not known to be one and the same
        ratio = _ratio(wide_one, wide_other, _correlation(one, other, both, math.inf if apart else size))
        return Difference(value, low, high, ratio, size, f"Newcombe paired{words}")
    if (sums != 0).sum() < DIFFER:
        shift = value / top / 2 + 0.5
        low, high = (top * (2 * end - 1) for end in wilson(shift * count, count, confidence))
        method = f"Wilson on the scale, {count} clusters"
    else:
        _, low, high, method = mean_interval(change + top, clusters, 2 * top, seed=seed, confidence=confidence)
        low, high = low - top, high - top
    wide_one, wide_other = (
        mean_interval(values, clusters, top, seed=seed, confidence=confidence)[:3] for values in (before, after)
    )
    left = [cluster_sums(values - values.mean(), clusters)[0] for values in (before, after)]
    scale = math.sqrt(float((left[0] ** 2).sum() * (left[1] ** 2).sum()))
    together = float((left[0] * left[1]).sum()) / scale if scale > 1e-12 else 0.0
    return Difference(value, low, high, _ratio(wide_one, wide_other, together), float(count), method)


def _effective_pairs(change: Floats, sums: Floats, sizes: Floats, confidence: float) -> tuple[float, str]:
    """Number of independent pairs that clustered ones are worth, and words for it."""
    n, count, spread = len(change), len(sums), float(change.var())
    if count == n:
        return float(n), ""
    if count == 1 or spread == 0:
        return float(count), f", {count} clusters"
    design = max(1.0, squared_error(sums, sizes) / (spread / n))
    size = n / design * (z_of(confidence) / student(effective_clusters(sizes), confidence)) ** 2
    return size, f", effective n {size:.1f} of {count} clusters"


def _correlation(one: float, other: float, both: float, size: float = math.inf) -> float:
    """Correlation within pairs; 0 where a share is 0 or 1. With a size, drawn towards 0 by Newcombe's continuity correction."""
    scale = math.sqrt(one * (1 - one) * other * (1 - other))
    together = both - one * other
    if together > 0:
        together = max(together - 1 / (2 * size), 0.0)
    return max(-1.0, min(1.0, together / scale)) if scale > 0 else 0.0


def _square_and_add(before: Limits, after: Limits, together: float) -> tuple[float, float]:
    """Interval of after - before from the intervals of both and their correlation."""

    def half(down: float, up: float) -> float:
        return math.sqrt(max(down**2 + up**2 - 2 * together * down * up, 0.0))

    value = after[0] - before[0]
    low = value - half(after[0] - after[1], before[2] - before[0])
    high = value + half(after[2] - after[0], before[0] - before[1])
    return low, high


def _ratio(before: Limits, after: Limits, together: float) -> Limits:
    """after / before with an interval; NaN where before is 0. The lower end is written so that nothing is divided by 0."""
    (below, below_low, below_high), (above, above_low, above_high) = before, after
    if below <= 0:
        return _NAN, _NAN, _NAN

    def parts(end_above: float, end_below: float) -> tuple[float, float]:
        middle = above * below + together * (above - end_above) * (below - end_below)
        product = end_above * end_below * (2 * above - end_above) * (2 * below - end_below)
        return middle, math.sqrt(max(middle**2 - product, 0.0))

    middle, root = parts(above_low, below_high)
    low = above_low * (2 * above - above_low) / (middle + root) if above > 0 else 0.0
    middle, root = parts(above_high, below_low)
    high = (middle + root) / (below_low * (2 * below - below_low)) if below_low > 0 else math.inf
    return above / below, low, high


def sign_flip(sums: Floats, seed: int = 0) -> float:
    """Two-sided p of no difference, had every cluster's sum the one sign as well as the other. It is 1 where none differs.

    Exact for whole numbers (shares always, for which single pairs give McNemar's exact test): the distributions of clusters of
    each size are folded into one. Otherwise scipy's permutation test, exact up to 13 clusters and else of 9,999 seeded draws.

    Source: Pagano and Tritchler 1983 (the distribution); McNemar 1947; Good 2005, section 3.2 (whole clusters).
    """
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    steps = np.abs(sums)
    if (steps == np.round(steps)).all():
        from scipy.signal import fftconvolve
        from scipy.stats import binom

        chances: Floats = np.ones(1)  # that the clusters which count as positive sum to 0, 1, 2, ...
        for step, count in zip(*np.unique(steps.astype(int), return_counts=True), strict=True):
            own = np.zeros(step * count + 1)
            own[::step] = binom.pmf(np.arange(count + 1), count, 0.5)
            chances = own if len(chances) == 1 else fftconvolve(chances, own)
        totals = np.abs(2 * np.arange(len(chances)) - (len(chances) - 1))
        tail = float(chances[totals >= abs(int(sums.sum()))].sum())
        return min(1.0, max(tail, 2.0 ** (1 - len(sums))))  # no smaller one is possible
    from scipy.stats import permutation_test

    def total(values: Floats, axis: int = -1) -> Floats:
        return np.asarray(values.sum(axis=axis))

    batch = max(1, 1_000_000 // len(sums))
    found = permutation_test(
        (np.sort(sums),),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
