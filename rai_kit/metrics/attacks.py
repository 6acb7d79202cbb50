"""From attempts to attack success: rates at k queries, curves, personas, where a model breaks first.

A rate is a share of the *scored* attempts, clustered by goal: strategies that try the same goal are not independent of each other.
Left out on purpose: comparison of models (it is paired, and has its own place), and correction for the judge's errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.metrics.attempts import outcome_at
from rai_kit.metrics.intervals import (
    CONFIDENCE,
    Z,
    cluster_sums,
    effective_clusters,
    effective_size,
    mean_interval,
    rate_interval,
    wilson,
)
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RATE = ("value", "low", "high", "n", "n_unscored", "bound_low", "bound_high", "n_goals", "method", "judge")
_ONE_EACH = {"judge": "judges", "threshold": "thresholds", "way": "ways", "model": "models", "arm": "arms"}
_NAN = float("nan")


def attack_success(table: pd.DataFrame, by: Sequence[str] = ("strategy",), k: int | None = None) -> pd.DataFrame:
    """ASR@k of every group with its 95 % interval, clustered by goal; bounds are what the unscored allow. NaN where nothing is scored.

    Args:
        table: As `attempt_table` gives it.
        by: Columns that make a group; none for one rate over all.
        k: Queries allowed; None for the budget, which then has to be one.

    Raises:
        InputError: A k outside 1..budget, several budgets without k, an unknown column, or a group that mixes judges, thresholds, ways,
            models or arms.
    """
    k = _queries(table, k)
    return _frame([dict(zip(by, key, strict=True)) | {"k": k} | _rate(rows, k) for key, rows in _groups(table, by)], by, RATE)


def asr_curve(table: pd.DataFrame, by: Sequence[str] = ("strategy",)) -> pd.DataFrame:
    """`attack_success` for every k from 1 to the budget, which stands in a column of its own.

    Raises:
        InputError: As `attack_success`; budgets may differ between groups, not within one.
    """
    found = []
    for key, rows in _groups(table, by):
        budget = _queries(rows, None)
        found += [dict(zip(by, key, strict=True)) | {"k": k, "budget": budget} | _rate(rows, k) for k in range(1, budget + 1)]
    return _frame(found, by, ("budget", *RATE))


def persona_success(table: pd.DataFrame, shares: Mapping[str, Mapping[str, float]], k: int | None = None) -> pd.DataFrame:
    """How often each persona gets there: mean over goals of the share-weighted success of its strategies, and how many goals break at all.

    `value` has one number a goal, with the weights renormalised over the strategies scored for it; `covered` is the mean share of the
    persona's weight that was scored, so that a mix that lost a strategy shows. `any` is the share of goals that at least one attempt
    broke (Wilson); a goal counts as unbroken only if every attempt at it was scored, but for those that could not be made on this target
    (causes `attack:...`). `n`, `any_n` and their unscored count goals.

    Args:
        table: As `attempt_table` gives it.
        shares: Persona -> strategy -> its share of the persona's attempts; any non-negative weights.
        k: As for `attack_success`.

    Raises:
        InputError: As `attack_success`, or a persona or a strategy without a share, or a negative one.
    """
    k, found = _queries(table, k), []
    for (persona,), rows in _groups(table, ("persona",)):
        mix = shares.get(str(persona), {})
        if unknown := sorted(set(rows["strategy"]) - set(mix)):
            raise InputError(
                f"persona '{persona}' has no share for {', '.join(unknown)}; shares are given for {', '.join(mix) or 'none'}."
            )
        if min(mix.values()) < 0 or not sum(mix.values()) < np.inf or sum(mix[one] for one in set(rows["strategy"])) <= 0:
            raise InputError(f"shares of persona '{persona}' are {dict(mix)}; give non-negative weights, not all of them 0.")
        outcomes = rows.assign(outcome=outcome_at(rows, k))
        grid = outcomes.groupby(["goal", "strategy"])["outcome"].mean().unstack()
        seen = grid.notna().to_numpy() * np.array([mix[str(one)] for one in grid.columns])
        weight, goals = seen.sum(axis=1), grid.index.to_numpy()
        scored = weight > 0
        values = (grid.fillna(0).to_numpy() * seen).sum(axis=1)[scored] / weight[scored]
        value, low, high, method = mean_interval(values, goals[scored], 1.0)
        applied = outcomes[
            ~outcomes["cause"].fillna("").str.startswith("attack:")
        ]  # what cannot be made cannot break anything either
        broken = applied.groupby("goal")["outcome"].agg(
            lambda one: 1.0 if (one == 1).any() else _NAN if one.isna().any() else 0.0
        )
        hits, known = int((broken == 1).sum()), int(broken.notna().sum())
        any_low, any_high = wilson(hits, known)
        found.append(
            {"persona": persona, "k": k, "value": value, "low": low, "high": high, "n": int(scored.sum())}
            | {"n_unscored": int((~scored).sum()), "covered": float(weight.mean() / sum(mix.values()))}
            | {"any": hits / known if known else _NAN, "any_low": any_low, "any_high": any_high, "any_n": known}
            | {"any_unscored": len(broken) - known, "method": method, "judge": rows["judge"].iloc[0]}
        )
    names = ("value", "low", "high", "n", "n_unscored", "covered", "any", "any_low", "any_high", "any_n", "any_unscored")
    return _frame(found, ("persona",), (*names, "method", "judge"))


def first_success(table: pd.DataFrame, by: Sequence[str] = ("strategy",)) -> pd.DataFrame:
    """What the successes took: median and quartiles of queries, turns and the target's tokens up to the first success.

    Of successes alone: the attempts that had not succeeded when they ended are counted beside (`failures`, `unscored`), and where they
    are many these figures are short of what a success takes.

    Raises:
        InputError: As `attack_success`, but for the budgets.
    """
    found = []
    for key, rows in _groups(table, by):
        won, ends = rows[rows["outcome"] == "success"], rows["outcome"].value_counts()
        row = dict(zip(by, key, strict=True)) | {"successes": len(won)}
        row |= {"failures": int(ends.get("failure", 0)), "unscored": int(ends.get("unscored", 0))}
        for name, column in (("queries", "success_query"), ("turns", "success_turn"), ("tokens", "tokens")):
            quartiles = np.percentile(won[column].to_numpy(dtype=float), [25, 50, 75]) if len(won) else [_NAN] * 3
            row |= {f"{name}_{part}": float(one) for part, one in zip(("q1", "median", "q3"), quartiles, strict=True)}
        found.append(row)
    names = [f"{name}_{part}" for name in ("queries", "turns", "tokens") for part in ("q1", "median", "q3")]
    return _frame(found, by, ("successes", "failures", "unscored", *names), k=False)


def adversary(table: pd.DataFrame, by: Sequence[str] = ("strategy",)) -> pd.DataFrame:
    """What came through: planned, reached, scored, unscored by cause, and how the attacker itself behaved.

    `attacker_refused` is the share of the attacker's calls that it declined, `on_objective` that of the messages that speak of the goal.
    """
    found = []
    for key, rows in _groups(table, by, alike=False):
        unscored = rows[rows["outcome"] == "unscored"]
        causes = unscored["cause"].fillna("unknown").value_counts().sort_index()
        known = rows[rows["on_objective"].notna()]
        messages, calls = int(known["queries"].sum()), int(rows["attacker_calls"].sum())
        refusals = int(rows["attacker_refusals"].sum())
        found.append(
            dict(zip(by, key, strict=True))
            | {"planned": len(rows), "reached": int((rows["answers"] > 0).sum()), "scored": len(rows) - len(unscored)}
            | {"successes": int((rows["outcome"] == "success").sum()), "unscored": len(unscored)}
            | {"causes": "; ".join(f"{cause}: {count}" for cause, count in causes.items())}
            | {"attacker_calls": calls, "attacker_refusals": refusals, "attacker_refused": refusals / calls if calls else _NAN}
            | {"on_objective": float((known["on_objective"] * known["queries"]).sum() / messages) if messages else _NAN}
        )
    counts = ("planned", "reached", "scored", "successes", "unscored", "causes")
    return _frame(found, by, (*counts, "attacker_calls", "attacker_refusals", "attacker_refused", "on_objective"), k=False)


def weaknesses(
    table: pd.DataFrame, by: Sequence[str] = ("category", "strategy"), k: int | None = None, least: int = 3
) -> pd.DataFrame:
    """Cells ranked by the lower end of their interval, then by their rate: it says where to look, not how often. Ties share a rank.

    The first of many cells is partly first by luck, so its own interval promises too much. `low_simultaneous` holds for all ranked cells
    at once with 95 %: Bonferroni over their number, by the exact (beta) bound on the effective sample size, because far out in the
    tail Wilson's is no bound for cells of a few attempts. To say how often, attack the cell again with other goals.

    Args:
        table: As `attempt_table` gives it.
        by: Columns that make a cell.
        k: As for `attack_success`.
        least: Fewest scored attempts of a cell that is ranked.

    Raises:
        InputError: As `attack_success`, or `least` below 1.

    Source: Korn and Graubard 1998 (beta bound on an effective sample size).
    """
    if least < 1:
        raise InputError(f"least={least} scored attempts; give 1 or more.")
    k, rates = _queries(table, k), attack_success(table, by, k)
    cells = [(key, rows) for (key, rows), n in zip(_groups(table, by), rates["n"], strict=True) if n >= least]
    ranked = rates[rates["n"] >= least]
    scored = [_scored(rows, k) for _, rows in cells]
    lows = [_exact_low(*one, alpha=(1 - CONFIDENCE) / 2 / len(cells)) for one in scored]
    ranked = ranked.assign(successes=[int(values.sum()) for values, _ in scored], low_simultaneous=np.array(lows, dtype=float))
    names = [name for name in by if name in ranked]  # last, so that the order of the attempts decides nothing
    ranked = ranked.sort_values(["low", "value", *names], ascending=[False, False, *[True] * len(names)], ignore_index=True)
    pairs = list(zip(ranked["low"], ranked["value"], strict=True))
    ranked.insert(0, "rank", [pairs.index(pair) + 1 for pair in pairs])
    return ranked


def ways(table: pd.DataFrame) -> pd.DataFrame:
    """Replayed and adaptive attempts side by side, never in one rate: of every model, arm and strategy, and of all strategies.

    `adaptive` and `replay` are success rates with `_low`, `_high`, `_n` and `_unscored`; n = 0 where that way was not gone. `k` is the
    adaptive attempts' budget; a replay has what was recorded to say. Replays are often of attacks that were recorded *because* they
    succeeded elsewhere: their rate is one of transfer, and no measure of the strategy.

    Raises:
        InputError: As `attack_success`; several budgets among the adaptive attempts of a model.
    """
    found = []
    for (model, arm), rows in _groups(table, ("model", "arm"), alike=False):
        _alike(rows, f"model {model}", [name for name in _ONE_EACH if name != "way"])
        adaptive = rows["way"] == "adaptive"
        k = _queries(rows[adaptive], None) if adaptive.any() else _NAN
        for strategy, part in [("all", rows), *((one, part) for (one,), part in _groups(rows, ("strategy",), alike=False))]:
            row = {"model": model, "arm": arm, "strategy": strategy, "k": k}
            for way in ("adaptive", "replay"):
                gone = part[part["way"] == way]
                rate = _rate(gone, gone["budget"].to_numpy(dtype=float))
                row |= {way: rate["value"], f"{way}_low": rate["low"], f"{way}_high": rate["high"]}
                row |= {f"{way}_n": rate["n"], f"{way}_unscored": rate["n_unscored"]}
            found.append(row | {"judge": rows["judge"].iloc[0]})
    names = [f"{way}{part}" for way in ("adaptive", "replay") for part in ("", "_low", "_high", "_n", "_unscored")]
    return _frame(found, ("model", "arm", "strategy"), (*names, "judge"))


def _frame(rows: list[dict[str, Any]], by: Sequence[str], names: Sequence[str], k: bool = True) -> pd.DataFrame:
    """A frame with these columns, also without rows."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(dict.fromkeys([*by, *(["k"] if k else []), *names])))


def _groups(table: pd.DataFrame, by: Sequence[str], alike: bool = True) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups in the order of their first attempt; `alike` ones hold only attempts that one rate may be made of."""
    if missing := [name for name in by if name not in table]:
        raise InputError(
            f"'{missing[0]}' is no column of an attempt table; group by some of {', '.join(map(str, table.columns))}."
        )
    several = [name for name in _ONE_EACH if alike and table[name].nunique() > 1]
    groups = table.groupby(list(by), sort=False) if by else [((), table)] if len(table) else []
    for key, rows in groups:
        _alike(rows, ", ".join(f"{name} {one}" for name, one in zip(by, key, strict=True)) or "all attempts", several)
        yield key, rows


def _alike(rows: pd.DataFrame, words: str, names: Sequence[str]) -> None:
    for name in names:
        if len(several := sorted(set(rows[name]))) > 1:
            raise InputError(
                f"attempts of {len(several)} {_ONE_EACH[name]} ({', '.join(map(str, several))}) in one rate ({words}); these do not "
                f"compare: pass the rows of one {name}, or add '{name}' to `by`."
            )


def _queries(table: pd.DataFrame, k: int | None) -> int:
    """The k that is meant, checked against the budgets."""
    budgets = sorted({int(one) for one in table["budget"]})
    if k is None and len(budgets) > 1:
        raise InputError(
            f"attempts with budgets of {', '.join(map(str, budgets))} queries; give k, at most {budgets[0]}, or the rows of one budget."
        )
    if k is None:
        return budgets[0] if budgets else 1
    if k < 1 or (budgets and k > budgets[0]):
        raise InputError(
            f"k={k} queries; give 1 to {budgets[0] if budgets else 'the budget'}, the smallest budget of these attempts."
        )
    return k


def _scored(rows: pd.DataFrame, k: float | NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Outcomes of the scored attempts, and their goals."""
    outcomes = outcome_at(rows, k)
    return outcomes[~np.isnan(outcomes)], rows["goal"].to_numpy()[~np.isnan(outcomes)]


def _rate(rows: pd.DataFrame, k: float | NDArray[np.float64]) -> dict[str, Any]:
    values, goals = _scored(rows, k)
    value, low, high, method = rate_interval(values, goals)
    n, total = len(values), len(rows)
    bounds = (values.sum() / total, (values.sum() + total - n) / total) if n else (_NAN, _NAN)
    return {
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "n_unscored": total - n,
        "bound_low": float(bounds[0]),
        "bound_high": float(bounds[1]),
        "n_goals": len(set(goals)),
        "method": method,
        "judge": rows["judge"].iloc[0] if total else "",
    }


def _exact_low(values: NDArray[np.float64], goals: NDArray[Any], alpha: float) -> float:
    """One-sided exact lower bound of a share at level `alpha`, on the effective sample size."""
    from scipy.stats import beta, norm, t

    share, size, _ = effective_size(values, goals)
    sizes = cluster_sums(values, goals)[1]
    if (
        0 < share < 1 < len(sizes) < len(values)
    ):  # `effective_size` has put in Student's t at 95 %: put in that of this level instead
        free = effective_clusters(sizes) - 1
        size *= float((t.isf((1 - CONFIDENCE) / 2, free) / Z * norm.isf(alpha) / t.isf(alpha, free)) ** 2)
    return float(beta.ppf(alpha, share * size, (1 - share) * size + 1)) if share > 0 else 0.0
