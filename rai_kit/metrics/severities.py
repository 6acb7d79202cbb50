"""Defect rates at every severity threshold at once, with a band that holds for the whole curve.

Left out on purpose: a density of severities (they are eight ordered grades), and categories that are graded for ungroundedness.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.metrics.intervals import (
    CONFIDENCE,
    NOTHING,
    Floats,
    cluster_codes,
    effective_clusters,
    effective_size,
    rate_interval,
    student,
    wilson,
    z_of,
)
from rai_kit.metrics.outcomes import cluster_of, values_of
from rai_kit.metrics.rates import groups, judge_of
from rai_kit.schema import SEVERITY_MAX, InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

THRESHOLDS = range(1, SEVERITY_MAX + 1)
_POINTS = 2**13  # of the quasi-random sample: its quantile is within .005 of the closed form for 1 to 7 independent thresholds


def severity_curve(table: pd.DataFrame, by: Sequence[str] = ("model", "arm", "category")) -> pd.DataFrame:
    """DR-x of every threshold x from 1 to 7, with a pointwise and a simultaneous 95 % interval.

    The band is Wilson's with the equicoordinate quantile of max|T| in place of the normal one, where T is multivariate t with the
    cluster-robust correlations of the seven indicators; beside 0 and 1 it is modified as Brown, Cai and DasGupta do. All thresholds at
    0 % count as one that is independent of the others (their ends are the same, and the least severe is the hardest to cover), and so
    do all at 100 %. Because DR-x never rises with x, each upper end holds for all higher thresholds too, and each lower end for all
    lower ones: the band is cut accordingly. So where a neighbour says more than a threshold's own rows (0 % in few clusters), the band
    may be narrower than the interval.

    Args:
        table: As `verdict_table` gives it. Categories that are graded for ungroundedness only are left out.
        by: Columns that name a curve.

    Returns:
        Seven rows a curve: the columns of `by`, threshold, value, low, high, low_simultaneous, high_simultaneous, n, n_unscored, judge,
        method. Shares 0-1; NaN where nothing was scored.

    Raises:
        InputError: A column that is not there, or verdicts of more than one judge in a curve.

    Source: Montiel Olea and Plagborg-Moller 2019 (sup-t bands); Brown, Cai and DasGupta 2001, section 4.1.1 (modified Wilson); Korn
    and Graubard 1998 (Wilson on the effective size).
    """
    import pandas as pd

    if missing := [column for column in by if column not in table]:
        raise InputError(f"no column '{missing[0]}' to group by; the table has {', '.join(map(str, table.columns))}.")
    known = table.groupby("category")[["severity", "ungroundedness"]].count()
    table = table[~table["category"].isin(known.index[(known["severity"] == 0) & (known["ungroundedness"] > 0)])]
    clusters = cluster_codes(table[cluster_of(table)])
    (graded, judges), found = pd.factorize(table["judge"], sort=True), []
    indicators = np.stack([values_of(table, f"DR-{x}")[0] for x in THRESHOLDS], axis=1)
    for key, rows in groups(table, by):
        judge, keep = judge_of(judges[np.unique(graded[rows])]), rows[~np.isnan(indicators[rows, 0])]
        label = dict(zip(by, key, strict=True))
        band = _band(indicators[keep], clusters[keep])
        for row, x in enumerate(THRESHOLDS):
            value, low, high, method = rate_interval(indicators[keep, row], clusters[keep])
            found.append(
                {
                    **label,
                    "threshold": x,
                    "value": value,
                    "low": low,
                    "high": high,
                    "low_simultaneous": band[row, 0],
                    "high_simultaneous": band[row, 1],
                    "n": len(keep),
                    "n_unscored": len(rows) - len(keep),
                    "judge": judge,
                    "method": method if method == NOTHING[-1] else f"{method}; sup-t band",
                }
            )
    columns = ["threshold", "value", "low", "high", "low_simultaneous", "high_simultaneous", "n", "n_unscored", "judge", "method"]
    return pd.DataFrame(found, columns=[*by, *columns])


def _band(indicators: Floats, clusters: NDArray[Any]) -> Floats:
    """Lower and upper ends, one row a threshold."""
    if len(indicators) == 0:
        return np.full((len(THRESHOLDS), 2), np.nan)
    critical = critical_value(indicators, clusters)
    sizes = [effective_size(column, clusters) for column in indicators.T]
    ends = np.array([_ends(share, size, critical) for share, size, _ in sizes])
    return np.stack([np.maximum.accumulate(ends[::-1, 0])[::-1], np.minimum.accumulate(ends[:, 1])], axis=1)


def _ends(share: float, size: float, critical: float) -> tuple[float, float]:
    from scipy.special import gammaincinv, ndtr

    low, high = wilson(share * size, size, z=critical)
    if critical == z_of(CONFIDENCE):
        return low, high
    # Beside 0 or 1 Wilson's end misses too often after one to three rare cases, and seven such ends together would show it.
    miss = 2 * ndtr(-critical)
    rare, common = (
        float(gammaincinv(count, miss)) / size if 0 < count <= 3 else 1.0 for count in (share * size, size - share * size)
    )
    return min(low, rare), max(high, 1 - common)


def critical_value(indicators: Floats, clusters: NDArray[Any], confidence: float = CONFIDENCE) -> float:
    """What a simultaneous interval on `effective_size` takes in place of the normal quantile.

    Args:
        indicators: rows x thresholds, 0 or 1.
        clusters: Of the rows.
        confidence: That all thresholds are covered at once.
    """
    codes = cluster_codes(clusters)
    count = int(codes.max()) + 1
    alone = count in (1, len(codes))
    free = (
        0.0 if alone else effective_clusters(np.bincount(codes).astype(float)) - 1
    )  # as `effective_size`: no t quantile where none was applied there
    shares = indicators.mean(axis=0)
    inner = (shares > 0) & (shares < 1)
    residuals = np.stack([np.bincount(codes, weights=column) for column in (indicators - shares).T[inner]] or [codes[:0]], axis=1)
    spread = np.sqrt((residuals**2).sum(axis=0))
    seen = spread > 1e-9
    residuals = residuals[:, seen] / spread[seen]
    correlation = residuals.T @ residuals
    distinct = [column for column in range(len(correlation)) if (correlation[column, :column] < 1 - 1e-9).all()]
    apart = int((inner.sum() - seen.sum()) + (shares == 0).any() + (shares == 1).any())
    pointwise = z_of(confidence)
    if len(distinct) + apart < 2:
        return pointwise
    free = float(f"{free:.2g}")  # close enough, and the samples of a long table are made once
    scale, normal = _sample(free)
    values, vectors = np.linalg.eigh(correlation[np.ix_(distinct, distinct)])
    used = len(distinct)
    together = normal[:, :used] @ (vectors * np.sqrt(np.maximum(values, 0))).T
    largest = np.abs(np.concatenate([together, normal[:, used : used + apart]], axis=1)).max(axis=1) / scale
    ratio = pointwise / student(free + 1, confidence) if free else 1.0
    return max(pointwise, float(np.quantile(largest, confidence)) * ratio)


@functools.lru_cache(maxsize=16)
def _sample(free: float) -> tuple[Floats, Floats]:
    """Quasi-random denominators of a t with so many degrees of freedom (0: normal), and independent normal numerators."""
    from scipy.special import gammaincinv

    uniform, normal = _points()
    return np.sqrt(2 * gammaincinv(free / 2, uniform) / free) if free else np.ones(len(uniform)), normal


@functools.cache
def _points() -> tuple[Floats, Floats]:
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(len(THRESHOLDS) + 1, rng=np.random.default_rng(0)).random(_POINTS)
    return points[:, 0], ndtri(points[:, 1:])
