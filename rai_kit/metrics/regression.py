"""Regression to the mean, shown: the same scenarios sampled again without any training in between.

Cases picked because they failed will partly pass the next time, whatever was done to the model. What a training is credited with on
*selected failures* has to be read against this; fresh scenarios, or all pairs, need no such correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rai_kit.metrics.intervals import rate_interval
from rai_kit.metrics.outcomes import CONVERSATION_KEY, MEANS, key_of
from rai_kit.metrics.pairs import paired
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd


def regression_to_mean(
    first: pd.DataFrame, again: pd.DataFrame, metric: str | Mapping[str, str], *, common: bool = False
) -> pd.DataFrame:
    """How often what failed fails again, and how often what passed fails now, though nobody trained the model.

    Of the group `failed first`, 1 - `again` is the share that an untrained model "fixes". A count of fixed cases among selected failures
    is partly this.

    Args:
        first: One model and arm, as `verdict_table` or `attempt_table` gives it.
        again: The same model on the same scenarios (or goals, strategies, personas and ways), sampled under other seeds.
        metric: A share (`DR-x`, `refusal`, `ASR@k`), or one for each category; rows of other categories are left out.
        common: Whether rows without a partner are left out rather than an error.

    Returns:
        Rows `failed first`, `passed first`, `all`; columns `group`, `n` (scored both times), `n_unscored`, `first` and `again` (shares,
        each with `_low` and `_high`, clustered as `rate_interval` does it), `method`. In the first two groups `first` is 1 and 0 by
        construction, and has no interval. Pairs that were unscored the first time are of no group but `all`.

    Raises:
        InputError: A metric that is a mean, different models, conversations that stand in both tables, or tables that do not match.
    """
    import pandas as pd

    chosen: dict[str | None, str] = {None: metric} if isinstance(metric, str) else dict(metric.items())
    if means := sorted(set(chosen.values()) & set(MEANS)):
        raise InputError(f"'{means[0]}' is a mean, of which nothing fails or passes; give DR-x, refusal or ASR@k.")
    models = sorted({str(name) for table in (first, again) for name in set(table["model"])})
    if len(models) > 1:
        raise InputError(f"{len(models)} models ({', '.join(models)}); regression to the mean is of one model, sampled twice.")
    if same := len(set(first["id"]) & set(again["id"])):
        raise InputError(f"{same} rows stand in both tables by id; sample the same scenarios again under other seeds.")
    key = ("scenario",) if key_of(first) == CONVERSATION_KEY else None
    parts = []
    for name, one in chosen.items():
        was, now = (table if name is None else table[table["category"] == name] for table in (first, again))
        if (not len(was) and not len(now)) or (common and not (len(was) and len(now))):
            continue
        parts.append(paired(was, now, one, key=key, common=common).frame)
    if not parts:
        raise InputError(f"no rows of {', '.join(map(str, chosen))} stand in both tables; give runs of the same scenarios.")
    frame = pd.concat(parts, ignore_index=True)
    before, after = frame["before"].to_numpy(dtype=float), frame["after"].to_numpy(dtype=float)
    rows = []
    for group, picked in (("failed first", before == 1), ("passed first", before == 0), ("all", np.ones(len(frame), dtype=bool))):
        both = picked & ~np.isnan(before) & ~np.isnan(after)
        clusters = frame["cluster"].to_numpy()[both]
        once, twice = rate_interval(before[both], clusters), rate_interval(after[both], clusters)
        ends = once[1:3] if group == "all" else (float("nan"), float("nan"))
        numbers = {
            "first": once[0],
            "first_low": ends[0],
            "first_high": ends[1],
            "again": twice[0],
            "again_low": twice[1],
            "again_high": twice[2],
        }
        rows.append(
            {"group": group, "n": int(both.sum()), "n_unscored": int((picked & ~both).sum()), **numbers, "method": twice[3]}
        )
    return pd.DataFrame(rows)
