"""The whole scale corrected at once: people's levels, and every DR-x, from the judge's levels and its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from rai_kit.metrics.correction.card import threshold_interval
from rai_kit.metrics.correction.common import Floats, table_of, weak_card
from rai_kit.metrics.correction.mixture import DRAWS, columns_of, design_effect, levels_of, transport_check, unmix
from rai_kit.metrics.intervals import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["level", "value", "low", "high", "raw_rate", "rate", "rate_low", "rate_high", "refused"]
_ENDS = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]


def ordinal_correction(judged: ArrayLike, confusion: ArrayLike, clusters: ArrayLike | None = None) -> pd.DataFrame:
    """Shares of people's levels, and from them every DR-x, from the judge's levels and its card.

    The maximum-likelihood mixture of what the judge says at each level of people's. Intervals are percentiles over draws of both
    samples (Dirichlet; clusters make the judged one as small as its design effect says). Near 0 such percentiles do not cover, so
    that a rate's interval also takes in Lang and Reiczigel's for its threshold alone.

    Args:
        judged: The judge's levels, 0 to 7; NaN (unscored) is left out, a fraction counts as the level below.
        confusion: 8 x 8 counts of the card, rows said, columns truth. A level that people never gave has no share (NaN).
        clusters: What judged rows that are not independent share; None where all stand alone.

    Returns:
        One row per level: `level`, its share `value` with `low` and `high`; `raw_rate`, the judge's DR-level; `rate`, `rate_low`,
        `rate_high`, the corrected DR-level; `refused`, why there is no correction of that rate, else None. DR-0 is 1.

    Raises:
        InputError: A level or a card of another form.
    """
    import pandas as pd

    card = table_of(confusion)
    size = len(card)
    levels, groups = levels_of(judged, size, clusters)
    scale = np.arange(size)
    frame = pd.DataFrame({"level": scale}).reindex(columns=COLUMNS).astype({"refused": object})
    if not len(levels):
        return frame.assign(refused="Nothing was scored, so there is nothing to correct.")
    share = np.bincount(levels, minlength=size) / len(levels)
    frame["raw_rate"] = _above(share)
    if reason := transport_check(levels, card, groups):
        return frame.assign(refused=reason)
    known = np.flatnonzero(card.sum(axis=0))
    rng = np.random.default_rng(0)
    effective = len(levels) / design_effect(levels, groups, share)
    histograms = rng.dirichlet(share * effective + 0.5, DRAWS)
    cards = np.stack([rng.dirichlet(column, DRAWS) for column in columns_of(card[:, known], shares=False).T], axis=2)
    point, drawn = np.zeros(size), np.zeros((DRAWS, size))
    point[known] = unmix(share[None], columns_of(card[:, known])[None])[0]
    drawn[:, known] = unmix(histograms, cards)
    low, high = np.percentile(drawn, _ENDS, axis=0)
    low, high = np.minimum(low, point), np.maximum(high, point)
    rates, ends = _above(point), np.percentile(_above(drawn), _ENDS, axis=0)
    found, refused = np.full((size, 3), np.nan), [None, *(weak_card(_threshold(card, level)) for level in range(1, size))]
    found[0] = 1.0
    for level in range(1, size):
        if refused[level] is None:
            _, least, most = threshold_interval((levels >= level).astype(float), _threshold(card, level), groups)
            found[level] = rates[level], min(ends[0][level], least, rates[level]), max(ends[1][level], most, rates[level])
    # The ends of the scale are rates, too: level 0 is what DR-1 leaves over.
    if refused[1] is None:
        low[0], high[0] = 1 - found[1, 2], 1 - found[1, 1]
    if refused[-1] is None:
        low[-1], high[-1] = found[-1, 1:]
    for name, numbers in (("value", point), ("low", low), ("high", high)):
        frame[name] = np.where(np.isin(scale, known), numbers, np.nan)
    frame["rate"], frame["rate_low"], frame["rate_high"] = found.T
    return frame.assign(refused=pd.Series(refused, dtype=object))


def _threshold(card: Floats, level: int) -> Floats:
    """The 2 x 2 card of being at or above a level."""
    above = np.arange(len(card)) >= level
    sides = np.stack([~above, above]).astype(float)
    return np.asarray(sides @ card @ sides.T, dtype=float)


def _above(shares: Floats) -> Floats:
    """Share at or above each level."""
    return np.asarray(np.minimum(shares[..., ::-1].cumsum(axis=-1)[..., ::-1], 1.0), dtype=float)
