"""The judged levels as a mixture of what the judge says where people give each level: whether they can be one, and which."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.correction.common import Floats, groups_of, table_of
from rai_kit.schema import InputError

DRAWS = 400
ROUNDS = 100
ALARM = 0.01
"""A judged histogram that a mixture gives less often than this is of another distribution."""
_PRIOR = 0.5
"""Half a label is spread over each column of a card, so that nothing unseen is taken to be impossible."""


def transport_check(judged: ArrayLike, confusion: ArrayLike, clusters: ArrayLike | None = None) -> str | None:
    """Whether the judged levels can be a mixture of what the judge says on the card's answers of each level.

    Pearson's distance of the judged histogram from the nearest mixture, held against the distances of as large samples drawn from
    that mixture with cards drawn anew (parametric bootstrap). Clusters make the sample as small as its design effect says.

    Returns:
        None where it can be; else a sentence (p below .01).

    Source: first-order correction for clusters by Rao and Scott 1984.
    """
    card = table_of(confusion)
    levels, groups = levels_of(judged, len(card), clusters)
    card = card[:, card.sum(axis=0) > 0]
    if not len(levels) or not card.shape[1]:
        return None
    counts = np.bincount(levels, minlength=len(card)).astype(float)
    share = counts / counts.sum()
    size = max(1, round(len(levels) / design_effect(levels, groups, share)))
    likely = columns_of(card)
    mixture = unmix(share[None], likely[None])[0]
    observed = _distance(share[None], likely[None], mixture[None])[0]
    if observed * size < 1:  # nearer than chance would bring it; no need to draw
        return None
    rng = np.random.default_rng(0)
    histograms = rng.multinomial(size, likely @ mixture, DRAWS) / size
    cards = np.stack([rng.multinomial(round(card[:, one].sum()), likely[:, one], DRAWS) for one in range(card.shape[1])], axis=2)
    drawn = columns_of(cards.astype(float))
    distances = _distance(histograms, drawn, unmix(histograms, drawn))
    chance = (1 + (distances >= observed).sum()) / (1 + DRAWS)
    if chance >= ALARM:
        return None
    return (
        f"The {len(levels)} judged answers cannot be a mixture of the kinds that the card's {card.sum():g} labels know "
        f"(p < {max(ALARM, 0.001):g}); label a sample of these answers instead."
    )


def levels_of(judged: ArrayLike, count: int, clusters: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Scored levels, rounded down, and their clusters."""
    values = np.asarray(judged, dtype=float)
    groups = groups_of(clusters, len(values))
    keep = ~np.isnan(values)
    odd = values[keep & ~((values >= 0) & (values <= count - 1))]
    if len(odd):
        raise InputError(f"level {odd[0]:g} lies off the card's scale; give 0 to {count - 1}, or NaN (unscored).")
    return np.floor(values[keep]).astype(np.int64), groups[keep]


def columns_of(cards: Floats, *, shares: bool = True) -> Floats:
    """Smoothed columns of one card or of many (levels said on the second last axis): shares said per level of people, or counts."""
    smooth = cards + _PRIOR / cards.shape[-2]
    return np.asarray(smooth / smooth.sum(axis=-2, keepdims=True) if shares else smooth, dtype=float)


def unmix(shares: Floats, likely: Floats) -> Floats:
    """Maximum-likelihood mixture weights: shares (draws, said), likely (draws or 1, said, truth) -> (draws, truth).

    Source: the EM algorithm, its steps lengthened as by Varadhan and Roland 2008 (SQUAREM).
    """

    if likely.shape[1:] == (2, 2):  # a threshold: what lies between the two columns is met exactly
        apart = likely[:, 1, 1] - likely[:, 1, 0]
        apart = np.where(np.abs(apart) < 1e-12, 1e-12, apart)
        positive = np.clip((shares[:, 1] - likely[:, 1, 0]) / apart, 0, 1)
        return np.stack([1 - positive, positive], axis=1)

    def step(weights: Floats) -> Floats:
        expected = np.maximum(np.einsum("dst,dt->ds", likely, weights), 1e-300)
        return np.asarray(weights * np.einsum("dst,ds->dt", likely, shares / expected), dtype=float)

    weights = np.full((len(shares), likely.shape[2]), 1 / likely.shape[2])
    for _ in range(ROUNDS):
        first = step(weights)
        move = first - weights
        turn = step(first) - first - move
        length = np.sqrt((move**2).sum(axis=1) / np.maximum((turn**2).sum(axis=1), 1e-30))
        length = np.maximum(length, 1)[:, None]
        weights = np.maximum(weights + 2 * length * move + length**2 * turn, 1e-12)
        weights = step(weights / weights.sum(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=float)


def _distance(shares: Floats, likely: Floats, weights: Floats) -> Floats:
    expected = np.einsum("dst,dt->ds", likely, weights)
    return np.asarray(((shares - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=1), dtype=float)


def _by_cluster(levels: NDArray[np.int64], groups: NDArray[Any], count: int) -> Floats:
    index = np.unique(groups, return_inverse=True)[1]
    table = np.zeros((index.max() + 1, count))
    np.add.at(table, (index, levels), 1)
    return table


def design_effect(levels: NDArray[np.int64], groups: NDArray[Any], share: Floats) -> float:
    """Design effect of the histogram of levels, averaged over them; at least 1."""
    table = _by_cluster(levels, groups, len(share))
    count, total = len(table), len(levels)
    if count == total or count < 2:
        return float(total / count)
    off = table - table.sum(axis=1, keepdims=True) * share
    variance = count / (count - 1) * (off**2).sum() / total**2
    return max(1.0, float(variance / (share * (1 - share)).sum() * total)) if share.max() < 1 else total / count
