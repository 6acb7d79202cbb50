"""Intervals of shares and means: arrays of values and of clusters in, (value, low, high, method) out.

Cases that share a cluster (a template, a passage, an attack goal) are not independent, so every interval starts from the sums and sizes of
the clusters. No interval has zero width: where the data hold no spread, each cluster counts as one case.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.schema import InputError

Floats = NDArray[np.float64]
Interval = tuple[float, float, float, str]
"""Value, its lower and upper end, and how they were found."""
Kind = Literal["wilson", "jeffreys", "bootstrap", "clustered"]
"""Ways to an interval: the first three for shares, the last two for means."""

CONFIDENCE = 0.95
REPLICATES = 4000
Z = 1.959963984540054  # normal quantile of a two-sided 95 % interval
NOTHING: Interval = (float("nan"), float("nan"), float("nan"), "nothing scored")
_CHUNK = 1_000_000  # weights of a bootstrap that are in memory at a time


def z_of(confidence: float) -> float:
    """Normal quantile of a two-sided interval."""
    return Z if confidence == CONFIDENCE else NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(positives: float, n: float, confidence: float = CONFIDENCE, z: float | None = None) -> tuple[float, float]:
    """Wilson's score interval for a share; `n` may be an effective, fractional sample size. (NaN, NaN) for n = 0.

    `z` takes the place of the normal quantile (for simultaneous bands).

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, section 3.1.1.
    """
    if n <= 0:
        return float("nan"), float("nan")
    z = z_of(confidence) if z is None else z
    share = positives / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if positives == 0 else float(low)), (1.0 if positives == n else float(high))


def jeffreys(positives: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Jeffreys' interval for a share: quantiles of Beta(positives + 1/2, n - positives + 1/2), 0 and 1 at the ends. (NaN, NaN) for n = 0.

    Source: Brown, Cai and DasGupta 2001, section 3.1.2, equations 8 and 9.
    """
    from scipy.special import betaincinv

    if n <= 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    ends = betaincinv(positives + 0.5, n - positives + 0.5, [tail, 1 - tail])
    return (0.0 if positives == 0 else float(ends[0])), (1.0 if positives == n else float(ends[1]))


def cluster_codes(clusters: ArrayLike) -> NDArray[np.int64]:
    """Clusters as numbers from 0, in the order of their names, so that the order of the rows decides nothing."""
    given: Any = clusters
    if getattr(given, "dtype", None) is not None and given.dtype.kind in "iu":
        numbers = np.asarray(given)
        if (
            len(numbers) and numbers.min() >= 0 and numbers.max() < 8 * len(numbers) + 10_000
        ):  # counting them takes less than sorting
            return np.asarray(np.cumsum(np.bincount(numbers) > 0)[numbers] - 1, dtype=np.int64)
        return np.asarray(np.unique(numbers, return_inverse=True)[1], dtype=np.int64)
    import pandas as pd  # its hash table codes a million names in a tenth of a second; sorting them takes several

    names = given if isinstance(given, pd.Series) else pd.Series(np.asarray(given))
    return np.asarray(pd.factorize(names.astype(str), sort=True)[0], dtype=np.int64)


def cluster_sums(values: Floats, clusters: ArrayLike) -> tuple[Floats, Floats]:
    """Sum and size of every cluster."""
    codes = cluster_codes(clusters)
    return np.asarray(np.bincount(codes, weights=values), dtype=float), np.bincount(codes).astype(float)


def squared_error(sums: Floats, sizes: Floats) -> float:
    """Cluster-robust variance of a ratio mean (Taylor linearisation, G / (G - 1)); NaN for one cluster.

    Source: Cochran 1977, section 9A.2; Miller 2024 (arXiv 2411.00640), equation 4, with the small-sample factor.
    """
    count = len(sums)
    if count < 2:
        return float("nan")
    mean = sums.sum() / sizes.sum()
    return float(count / (count - 1) * ((sums - mean * sizes) ** 2).sum() / sizes.sum() ** 2)


def effective_clusters(sizes: Floats) -> float:
    """Clusters of equal size that these are worth, at least 2: where one holds most cases, the others say little of chance.

    Source: Carter, Schnepel and Steigerwald 2017, with the Kish weights as the only heterogeneity.
    """
    return max(2.0, float(sizes.sum() ** 2 / (sizes**2).sum()))


def student(count: float, confidence: float = CONFIDENCE) -> float:
    """Student's quantile of a two-sided interval over `count` clusters."""
    from scipy.special import stdtrit  # the distribution's own `ppf` takes fifty times as long

    return float(stdtrit(count - 1, 0.5 + confidence / 2))


def resampled(columns: Floats, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Bootstrap over clusters: totals of every column in each draw of as many clusters, with replacement.

    Args:
        columns: clusters x columns, such as sums and sizes; all columns share the draws.
        replicates: Draws.
        seed: The same seed and number of clusters always give the same draws.

    Returns:
        replicates x columns.

    Source: Efron and Tibshirani 1993; Cameron, Gelbach and Miller 2008 (whole clusters are drawn).
    """
    count, rng = len(columns), np.random.default_rng(seed)
    found = np.empty((replicates, columns.shape[1]))
    step = max(1, _CHUNK // count)
    for first in range(0, replicates, step):
        draws = min(step, replicates - first)
        picked = rng.integers(0, count, (draws, count)) + count * np.arange(draws)[:, None]
        weights = np.bincount(picked.ravel(), minlength=draws * count).reshape(
            draws, count
        )  # five times as fast as `multinomial`
        found[first : first + draws] = weights @ columns
    return found


def rate_interval(
    values: Floats, clusters: ArrayLike, kind: Kind = "wilson", *, seed: int = 0, confidence: float = CONFIDENCE
) -> Interval:
    """Share of 0s and 1s with an interval: `wilson`, `jeffreys`, or `bootstrap` over clusters (percentile).

    Where every case is a cluster of its own Wilson's and Jeffreys' take n; otherwise an effective sample size: n over the design effect
    (never below 1), corrected for the number of clusters by the t quantile. At 0 and 100 %, where no design effect can be seen, each
    cluster counts as one case. The bootstrap sees nothing there, or with fewer than five clusters that differ from the rest: then
    it is Wilson's, and says so.

    Source: Korn and Graubard 1998; Dean and Pagano 2015 (Wilson with effective size covers best among seven).

    Raises:
        InputError: A kind that is none of a share's.
    """
    if kind not in ("wilson", "jeffreys", "bootstrap"):
        raise InputError(f"interval '{kind}' is none of a share's; give wilson, jeffreys or bootstrap.")
    if len(values) == 0:
        return NOTHING
    sums, sizes = cluster_sums(values, clusters)
    if kind == "bootstrap" and min((sums > 0).sum(), (sums < sizes).sum()) >= 5:
        totals = resampled(np.stack([sums, sizes], axis=1), seed=seed)
        low, high = np.quantile(totals[:, 0] / totals[:, 1], [0.5 - confidence / 2, 0.5 + confidence / 2])
        return float(values.mean()), float(low), float(high), f"cluster bootstrap, {len(sums)} clusters"
    share, size, words = _effective(sums, sizes, confidence)
    if kind == "jeffreys":
        return share, *jeffreys(share * size, size, confidence), f"Jeffreys{words}"
    return share, *wilson(share * size, size, confidence), f"Wilson{words}"


def effective_size(values: Floats, clusters: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float, str]:
    """Share of at least one 0 or 1, the number of independent cases that it is worth, and words for it."""
    share, size, words = _effective(*cluster_sums(values, clusters), confidence)
    return share, size, f"Wilson{words}"


def _effective(sums: Floats, sizes: Floats, confidence: float) -> tuple[float, float, str]:
    n, count = float(sizes.sum()), len(sums)
    share = float(sums.sum() / n)
    if count == n:
        return share, n, ""
    if share in (0.0, 1.0) or count == 1:
        return share, float(count), f", {count} clusters"
    design = max(1.0, squared_error(sums, sizes) / (share * (1 - share) / n))
    effective = n / design * (z_of(confidence) / student(effective_clusters(sizes), confidence)) ** 2
    return share, effective, f", effective n {effective:.1f} of {count} clusters"


def mean_interval(
    values: Floats,
    clusters: ArrayLike,
    top: float,
    kind: Kind = "bootstrap",
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Mean of values in 0..top, interval cut to the scale: `bootstrap` (studentised, over clusters) or `clustered` (t, clustered error).

    Where fewer than five clusters leave the floor (or the ceiling), or all have the same mean, both see too little; then
    the interval is Wilson's for a share of the scale with one case a cluster, which is conservative for any values on it.

    Source: Efron and Tibshirani 1993, chapter 12.5; Cameron, Gelbach and Miller 2008 (clusters); Miller 2024 (arXiv 2411.00640, clustered).

    Raises:
        InputError: A kind that is none of a mean's.
    """
    if kind not in ("bootstrap", "clustered"):
        raise InputError(f"interval '{kind}' is none of a mean's; give bootstrap or clustered.")
    if len(values) == 0:
        return NOTHING
    sums, sizes = cluster_sums(values, clusters)
    mean, count = float(values.mean()), len(sums)
    if min((sums > 0).sum(), (sums < top * sizes).sum()) < 5 or squared_error(sums, sizes) < 1e-18:
        low, high = wilson(mean / top * count, count, confidence)
        return mean, top * low, top * high, f"Wilson on the scale, {count} clusters"
    error = float(np.sqrt(squared_error(sums, sizes)))
    if kind == "clustered":
        lower = upper = student(effective_clusters(sizes), confidence)
        lower, words = -lower, f"clustered standard error {error:.3g}, {count} clusters"
    else:
        columns = np.stack([sums, sizes, sums**2, sums * sizes, sizes**2], axis=1)
        total, size, square, product, sizes2 = resampled(columns, seed=seed).T
        means = total / size
        squares = square - 2 * means * product + means**2 * sizes2
        errors = np.sqrt(np.maximum(count / (count - 1) * squares, 0)) / size
        usable = errors > 1e-9
        quantiles = [0.5 - confidence / 2, 0.5 + confidence / 2]
        lower, upper = np.quantile((means[usable] - mean) / errors[usable], quantiles)
        words = f"cluster bootstrap-t, {count} clusters"
    return mean, max(0.0, float(mean - upper * error)), min(top, float(mean - lower * error)), words
