"""Before against after, pair by pair: difference, ratio, fixed and broken, a p-value, and what the run could have told.

Lower is better throughout: values are shares of defects (or of successful attacks) or means of harm. The unit of chance is the cluster
(template, passage, attack goal); where every pair is a cluster of its own, all falls back to the textbook case. Left out: arms that are
not paired, and adjustment for covariates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rai_kit.metrics.differences import difference_of, sign_flip
from rai_kit.metrics.intervals import (
    CONFIDENCE,
    Floats,
    cluster_sums,
    mean_interval,
    rate_interval,
    z_of,
)
from rai_kit.metrics.outcomes import MEANS, cluster_of, values_of
from rai_kit.metrics.pairs import Pairs, aligned, judge_of
from rai_kit.metrics.planning import POWER, detectable
from rai_kit.metrics.rates import check_categories
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

POOLED = "all"
ALPHA = 1 - CONFIDENCE
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class MarginTest:
    """Whether a difference stays within a margin.

    Attributes:
        holds: None where no pair was scored.
        margin: Largest difference that is still accepted, in the units of the metric.
        difference: After minus before.
        low: Lower end of the interval that decides.
        high: Upper end of it.
        confidence: Of that (two-sided) interval.
        words: One sentence with the numbers.
    """

    holds: bool | None
    margin: float
    difference: float
    low: float
    high: float
    confidence: float
    words: str


def compare_arms(
    before: pd.DataFrame,
    after: pd.DataFrame,
    metrics: Mapping[str, str],
    *,
    key: Sequence[str] | None = None,
    common: bool = False,
    across_judges: bool = False,
    seed: int = 0,
    names: tuple[str, str] = ("before", "after"),
    pooled: bool = False,
) -> pd.DataFrame:
    """The paired comparison, category by category, in the order of `metrics`.

    Shares: Newcombe's interval for the difference and MOVER's for the ratio, on the number of pairs over the design effect; p by exact
    McNemar. Means: bootstrap-t over clusters for the difference, MOVER for the ratio. Where pairs share clusters, p is that of flipping
    the sign of whole clusters (which is McNemar's where none do).

    Args:
        before: One model and arm, as `verdict_table` or `attempt_table` gives it.
        after: The same scenarios of the other arm.
        metrics: Category -> metric, as `outcomes.values_of` knows it.
        key: Columns that name a row, as for `pairs.paired`.
        common: Whether rows without a partner are left out rather than an error.
        across_judges: Whether the arms may have been judged by different judges.
        seed: Of whatever is resampled.
        names: What the arms are called in the frame.
        pooled: Whether a last row, `all`, gives the share of pairs with a defect by each category's own metric, over the categories
            whose metric is a share. It is no part of the family over which Holm's correction runs.

    Returns:
        A row a category: `before`, `after`, `category`, `metric`, `n` (pairs scored in both arms), `n_unscored`, `n_clusters`,
        `value_before` and `value_after` (each with `_low`, `_high`), `difference` (after - before) with `low`, `high`, `bound_low`
        and `bound_high` (what the unscored allow, over all pairs), `ratio` (after / before) with `_low`, `_high`, `fixed` and `broken`
        (pairs that went down and up), `p`, `p_holm`, `mde` (difference that these pairs show with 80 % power after Holm's correction, NaN
        where they can show none), `judge`, `method` and `finding` (`lower`, `higher`, `no difference shown`, `nothing scored`; by
        `p_holm`, the pooled row by `p`).

    Raises:
        InputError: A category without a metric, or tables that do not match (see `pairs.paired`).
    """
    import pandas as pd
    from statsmodels.stats.multitest import multipletests

    arms, _ = aligned([before, after], names, key=key, common=common)
    check_categories(arms[0], metrics)
    rows: list[dict[str, Any]] = []
    shares: list[tuple[Floats, Floats, NDArray[Any], str, str]] = []
    for category, metric in metrics.items():
        here = (arms[0]["category"] == category).to_numpy()
        if not here.any():
            continue
        first, second = arms[0][here], arms[1][here]
        (one, top), (other, _) = values_of(first, metric), values_of(second, metric)
        clusters = first[cluster_of(first)].to_numpy()
        judge = judge_of([first, second], across_judges)
        rows.append(
            {"category": category, "metric": metric, **_compared(one, other, clusters, metric, top, seed), "judge": judge}
        )
        if metric not in MEANS:
            shares.append((one, other, clusters, metric, judge))
    if pooled and shares:
        parts = list(zip(*shares, strict=True))
        one, other, clusters = (np.concatenate(column) for column in parts[:3])
        used, judges = (list(dict.fromkeys(column)) for column in parts[3:])
        metric = str(used[0]) if len(used) == 1 else "defect"
        found = _compared(one, other, clusters, metric, 1.0, seed)
        rows.append({"category": POOLED, "metric": metric, **found, "judge": ", ".join(map(str, judges))})
    frame = pd.DataFrame(rows)
    tested = (frame["p"].notna() & (np.arange(len(frame)) < len(frame) - bool(pooled and shares))).to_numpy()
    frame["p_holm"] = _NAN
    if tested.any():
        frame.loc[tested, "p_holm"] = multipletests(frame.loc[tested, "p"], method="holm")[1]
    frame["mde"] = [_detectable(row, int(tested.sum()) if family else 1) for row, family in zip(rows, tested, strict=True)]
    decides = frame["p_holm"].where(tested, frame["p"])
    frame["finding"] = [
        "nothing scored" if math.isnan(p) else "no difference shown" if p >= ALPHA else "lower" if difference < 0 else "higher"
        for p, difference in zip(decides, frame["difference"], strict=True)
    ]
    return frame.assign(before=names[0], after=names[1])[list(COLUMNS)]


COLUMNS = (
    *("before", "after", "category", "metric", "n", "n_unscored", "n_clusters"),
    *("value_before", "value_before_low", "value_before_high", "value_after", "value_after_low", "value_after_high"),
    *("difference", "low", "high", "bound_low", "bound_high", "ratio", "ratio_low", "ratio_high", "fixed", "broken"),
    *("p", "p_holm", "mde", "judge", "method", "finding"),
)


def _compared(before: Floats, after: Floats, clusters: NDArray[Any], metric: str, top: float, seed: int) -> dict[str, Any]:
    """One row of the frame, without what other rows decide."""
    both = ~(np.isnan(before) | np.isnan(after))
    one, other, kept = before[both], after[both], clusters[both]
    n, found = len(one), difference_of(one, other, kept, metric, top, seed=seed)
    sides: dict[str, Any] = {}
    for side, values in (("value_before", one), ("value_after", other)):
        if metric in MEANS:
            value, low, high, _ = mean_interval(values, kept, top, seed=seed)
        else:
            value, low, high, _ = rate_interval(values, kept)
        sides |= {side: value, f"{side}_low": low, f"{side}_high": high}
    fixed, broken = int((other < one).sum()), int((other > one).sum())
    return {
        "n": n,
        "n_unscored": len(before) - n,
        "n_clusters": len(set(kept)),
        **sides,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "bound_low": float((np.nan_to_num(after, nan=0.0) - np.nan_to_num(before, nan=top)).mean()),
        "bound_high": float((np.nan_to_num(after, nan=top) - np.nan_to_num(before, nan=0.0)).mean()),
        **dict(zip(("ratio", "ratio_low", "ratio_high"), found.ratio, strict=True)),
        "fixed": fixed,
        "broken": broken,
        "p": sign_flip(cluster_sums(other - one, kept)[0], seed) if n else _NAN,
        "top": top,
        "size": found.size,
        "method": found.method,
    }


def _detectable(row: Mapping[str, Any], tests: int) -> float:
    """Difference that the pairs of a row would show in one of so many tests with 80 % power; NaN where none would be shown.

    Holm asks the first of `tests` p-values to be below alpha / tests. With k clusters no p is below 2 ** (1 - k).
    """
    alpha = ALPHA / max(tests, 1)
    if not row["n"] or 2.0 ** (1 - row["n_clusters"]) >= alpha:
        return _NAN
    if row["metric"] not in MEANS:
        discordant = (row["fixed"] + row["broken"] + 1) / (row["n"] + 2)
        return detectable(row["size"], discordant, confidence=1 - alpha)
    error = (row["high"] - row["low"]) / (2 * z_of(CONFIDENCE))
    found = float((z_of(1 - alpha) + NormalDist().inv_cdf(POWER)) * error)
    return found if found <= row["top"] else _NAN


def non_inferior(pairs: Pairs, margin: float, *, seed: int = 0) -> MarginTest:
    """Whether after is at most `margin` worse (higher) than before: the 95 % interval of the difference ends below the margin.

    That is a one-sided test at 2.5 %.

    Raises:
        InputError: A margin below 0 or not finite.

    Source: Blackwelder 1982; CONSORT extension to non-inferiority trials (Piaggio et al. 2012).
    """
    return _within(pairs, margin, CONFIDENCE, "not worse by", both_sides=False, seed=seed)


def equivalent(pairs: Pairs, margin: float, *, seed: int = 0) -> MarginTest:
    """Whether after and before differ by less than `margin` either way: the 90 % interval of the difference lies within it.

    That is two one-sided tests at 5 %.

    Raises:
        InputError: A margin below 0 or not finite.

    Source: Schuirmann 1987 (TOST).
    """
    return _within(pairs, margin, 1 - 2 * ALPHA, "within", both_sides=True, seed=seed)


def _within(pairs: Pairs, margin: float, confidence: float, claim: str, *, both_sides: bool, seed: int) -> MarginTest:
    if not (math.isfinite(margin) and margin >= 0):
        raise InputError(
            f"margin {margin} is none; give a finite number of at least 0 in the units of {pairs.metric} (0.05 is 5 points)."
        )
    frame = pairs.frame.dropna(subset=["before", "after"])
    one, other = (frame[side].to_numpy(dtype=float) for side in ("before", "after"))
    found = difference_of(one, other, frame["cluster"].to_numpy(), pairs.metric, pairs.top, seed=seed, confidence=confidence)
    if not len(frame):
        words = f"{pairs.metric}: no pair was scored in both arms, so nothing can be said of the margin {margin:g}."
        return MarginTest(None, margin, found.value, found.low, found.high, confidence, words)
    few = 2.0 ** (1 - frame["cluster"].nunique()) >= 1 - confidence  # no test of so few clusters can show anything
    holds = bool(not few and found.high < margin and (not both_sides or found.low > -margin))
    words = (
        f"{pairs.metric}: difference {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] ({confidence:.0%} interval, "
        f"{len(frame)} pairs): {claim} {margin:g} {'shown' if holds else 'not shown'}."
    )
    return MarginTest(holds, margin, found.value, found.low, found.high, confidence, words)
