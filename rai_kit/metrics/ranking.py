"""Many arms at once: who is better than whom, and which ranks the data allow.

A rank is a statement about all arms together, so its interval is made of all pairwise differences at once, on one common bootstrap of the
clusters. Lower is better. Left out: one score over several categories, which would hide what it weighs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rai_kit.metrics.comparison import ALPHA
from rai_kit.metrics.differences import sign_flip
from rai_kit.metrics.intervals import (
    Floats,
    cluster_sums,
    mean_interval,
    rate_interval,
    resampled,
    squared_error,
)
from rai_kit.metrics.outcomes import MEANS, cluster_of, values_of
from rai_kit.metrics.pairs import aligned, judge_of
from rai_kit.metrics.rates import check_categories
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

FEW = 10  # clusters that must differ before the bootstrap is believed


def ranks(
    tables: Mapping[str, pd.DataFrame],
    metrics: Mapping[str, str],
    *,
    key: Sequence[str] | None = None,
    common: bool = False,
    across_judges: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Value and rank of every arm, category by category, over the rows that are scored in all arms.

    Args:
        tables: Name of the arm -> its table, as `verdict_table` or `attempt_table` gives it; two or more.
        metrics: Category -> metric, as `outcomes.values_of` knows it.
        key: Columns that name a row, as for `pairs.paired`.
        common: Whether rows that some arm lacks are left out rather than an error.
        across_judges: Whether the arms may have been judged by different judges.
        seed: Of the bootstrap.

    Returns:
        Columns `category`, `metric`, `model` (name of the arm), `value`, `low`, `high`, `rank` (1 is lowest and best; ties share it),
        `rank_low` and `rank_high` (95 % for all arms of a category together), `n`, `n_unscored`, `method`.

    Raises:
        InputError: Fewer than two arms, a category without a metric, or tables that do not match (see `pairs.paired`).
    """
    import pandas as pd

    if len(tables) < 2:
        raise InputError(f"{len(tables)} arm given; ranks need two or more.")
    arms, _ = aligned(list(tables.values()), list(tables), key=key, common=common)
    check_categories(arms[0], metrics)
    found = []
    for category, metric in metrics.items():
        here = (arms[0]["category"] == category).to_numpy()
        if not here.any():
            continue
        parts = [arm[here] for arm in arms]
        judge_of(parts, across_judges)
        columns, top = np.stack([values_of(part, metric)[0] for part in parts], axis=1), values_of(parts[0], metric)[1]
        scored = ~np.isnan(columns).any(axis=1)
        clusters = parts[0][cluster_of(parts[0])].to_numpy()[scored]
        values = columns[scored]
        n, apart = len(values), told_apart(values, clusters, seed=seed)
        totals, same = values.sum(axis=0), 1e-9 * max(1.0, n * top)  # sums of thirds and tenths differ in their last digits
        for number, name in enumerate(tables):
            own = values[:, number]
            interval = mean_interval(own, clusters, top, seed=seed) if metric in MEANS else rate_interval(own, clusters)
            found.append(
                {
                    "category": category,
                    "metric": metric,
                    "model": name,
                    **dict(zip(("value", "low", "high"), interval, strict=False)),
                    "rank": 1.0 + (totals < totals[number] - same).sum() if n else float("nan"),
                    "rank_low": 1 + int(apart[:, number].sum()),
                    "rank_high": len(tables) - int(apart[number].sum()),
                    "n": n,
                    "n_unscored": len(columns) - n,
                    "method": interval[3],
                }
            )
    return pd.DataFrame(found)


def told_apart(values: Floats, clusters: NDArray[Any], *, seed: int = 0) -> NDArray[np.bool_]:
    """Which arm is lower than which, at 95 % for all pairs of arms at once.

    The largest of the studentised bootstrap deviations of all differences sets the one critical value; for few clusters Student's quantile
    of the same probability takes its place. Where two arms differ in fewer than ten clusters, or in all by the same, there is too little
    spread to judge by: the exact test of flipped signs decides, with Bonferroni (so fewer than six such clusters never suffice).

    Args:
        values: rows x arms, all scored.
        clusters: Of the rows.
        seed: Of the bootstrap.

    Returns:
        arms x arms; [i, j] is whether arm i is lower than arm j.

    Source: Mogstad, Romano, Shaikh and Wilhelm 2024 (Review of Economic Studies 91:476), section 3; Romano and Wolf 2005 (max-t).
    """
    from scipy.special import ndtr, stdtrit

    arms = values.shape[1]
    lower = np.zeros((arms, arms), dtype=bool)
    if not len(values):
        return lower
    sums = np.stack([cluster_sums(column, clusters)[0] for column in values.T], axis=1)
    sizes = cluster_sums(values[:, 0], clusters)[1]
    pairs, usable = list(combinations(range(arms), 2)), []
    for one, other in pairs:
        change = sums[:, one] - sums[:, other]
        error = float(np.sqrt(squared_error(change, sizes)))
        if (change != 0).sum() >= FEW and error > 1e-9:
            usable.append((one, other, change.sum() / sizes.sum(), error))
        elif sign_flip(change, seed) < ALPHA / len(pairs):
            lower[(one, other) if change.sum() < 0 else (other, one)] = True
    if not usable:
        return lower
    totals = resampled(np.column_stack([sums, sizes]), seed=seed)
    means = totals[:, :-1] / totals[:, -1:]
    deviations = np.zeros(len(means))
    for one, other, difference, _ in usable:
        drawn = means[:, one] - means[:, other]
        deviations = np.maximum(deviations, np.abs(drawn - difference) / drawn.std())
    critical = stdtrit(len(sums) - 1, ndtr(np.quantile(deviations, 1 - ALPHA)))
    for one, other, difference, error in usable:
        lower[one, other] = difference < -critical * error
        lower[other, one] = difference > critical * error
    return lower
