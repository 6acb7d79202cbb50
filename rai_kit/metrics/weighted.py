"""Statistics of weighted rows, all draws of a bootstrap at once: weights are draws x rows, one value a draw comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rai_kit.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

DRAWS = 400
_ENDS = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]


def bootstrap(statistic: Statistic, clusters: NDArray[Any]) -> tuple[float, float, float]:
    """95 % percentile interval of a statistic of weighted rows (weights: draws x rows) over draws of whole clusters."""
    names, index = np.unique(clusters, return_inverse=True)
    count = len(names)
    value = float(statistic(np.ones((1, len(index))))[0])
    if np.isnan(value):
        return float("nan"), float("nan"), float("nan")
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, index].astype(float)
    low, high = np.nanpercentile(statistic(weights), _ENDS)
    return value, min(float(low), value), max(float(high), value)


def moments_of(one: Floats, other: Floats) -> Floats:
    """One, both gradings, their squares and their product, row by row."""
    return np.stack([np.ones(len(one)), one, other, one**2, other**2, one * other], axis=1)


def kappa_of(sums: Floats) -> Floats:
    """Quadratic-weighted kappa from sums of `_moments`; NaN where both sides are constant and equal."""
    first, second, squares, others, products = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
    expected = squares + others - 2 * first * second
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 1e-12, 1 - (squares + others - 2 * products) / expected, np.nan)


def area_of(score: Floats, truth: NDArray[np.bool_]) -> Statistic:
    """Area under the receiver operating characteristic; NaN without both kinds."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    positive = truth[order].astype(float)

    def area(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        hits = np.add.reduceat(sorted_weights * positive, starts, axis=1)
        misses = np.add.reduceat(sorted_weights * (1 - positive), starts, axis=1)
        below = np.cumsum(misses, axis=1) - misses / 2
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        return np.where(pairs > 0, (hits * below).sum(axis=1) / np.maximum(pairs, 1), np.nan)

    return area


def rank_correlation_of(one: Floats, other: Floats) -> Statistic:
    """Spearman's correlation (of middle ranks); NaN where a side is constant."""

    def ranks(values: Floats, weights: Floats) -> Floats:
        names, index = np.unique(values, return_inverse=True)
        mass = weights @ (index[:, None] == np.arange(len(names)))
        return np.asarray((np.cumsum(mass, axis=1) - mass / 2)[:, index], dtype=float)

    def correlation(weights: Floats) -> Floats:
        first, second = (ranks(values, weights) - weights.sum(axis=1, keepdims=True) / 2 for values in (one, other))
        across, along, aside = ((weights * a * b).sum(axis=1) for a, b in ((first, second), (first, first), (second, second)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(along * aside > 1e-9, across / np.sqrt(along * aside), np.nan)

    return correlation
