"""What a break-fix cycle achieved, as tables: harm before and after, attacks replayed and anew, what it cost, and round by round.

Everything is a paired comparison of the base model with another arm on what no training saw; the statistics are `metrics`'. Left out on
purpose: any figure of the report that was reproduced, whose bars were published as an image only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rai_kit.data import taxonomy
from rai_kit.data.taxonomy import METRIC
from rai_kit.measure.cycle import BASE, PLACEBO, Arm, Cycle
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    import pandas as pd

OWN, OTHER = "taxonomy", "other sets"
"""Origins of a goal: the kit's own taxonomy, and prompts borrowed from sets of which nothing was trained on."""
ALL = "all"


def harm(cycle: Cycle, *arms: str, origin: str = OWN, by: str = "family", seed: int = 0) -> pd.DataFrame:
    """Harmful answers to held-out goals, base against each arm.

    Args:
        cycle: A finished cycle.
        arms: Names of the arms after; by default the last round.
        origin: `taxonomy` or `other sets`.
        by: `family`, `category` or `source` (where the goal is from).
        seed: Of permutations.

    Returns:
        As `metrics.compare_arms` gives it, with a row `all`; Holm's correction runs over the other rows of an arm.
    """
    base = _harm_table(cycle[BASE], origin, by)
    return _compared(cycle, arms, base, lambda arm: _harm_table(arm, origin, by), METRIC, seed, pooled=True)


def refusals(cycle: Cycle, *arms: str, seed: int = 0) -> pd.DataFrame:
    """Refusals of harmless look-alikes, of ordinary requests, and of XSTest prompts where there were any."""
    return _compared(cycle, arms, cycle[BASE].refusal.table, lambda arm: arm.refusal.table, "refusal", seed)


def attacks(cycle: Cycle, *arms: str, seed: int = 0) -> pd.DataFrame:
    """Attack success before and after: recorded attacks sent again word for word (`replay`), and strategies that react (`adaptive`).

    Returns:
        As `metrics.compare_arms` gives it; the category is the way.
    """
    import pandas as pd

    base = cycle[BASE].attacks
    if base is None:
        raise InputError(f"{cycle.out} holds no red team of the base; run the cycle once more.")
    k = int(base.table["budget"].min())
    found = []
    for name in _names(cycle, arms):
        after = cycle[name].attacks
        if after is None:
            continue
        for way, rows in after.table.groupby("way", sort=False):
            both = [base.table.assign(category=way), rows.assign(category=way)]
            found.append(
                _pair(both[0], both[1], {str(way): f"ASR@{k}"}, name, seed, common=True, key=("goal", "strategy", "persona"))
            )
    return pd.concat(found, ignore_index=True)


def coherence(cycle: Cycle, arm: str) -> pd.DataFrame:
    """How answers changed in form (`metrics.coherence`): loops and silence over all harmless requests, as a model that goes along with a
    look-alike only to babble is no better than one that babbles elsewhere; the rest over ordinary requests, which none should refuse."""
    import pandas as pd

    from rai_kit import metrics

    one, two = (_answers(cycle[name]) for name in (BASE, arm))
    every = metrics.coherence(one, two)
    ordinary = metrics.coherence(one[one["category"] == "ordinary"], two[two["category"] == "ordinary"])
    broken = every["quantity"].isin(["degenerate", "empty"])
    return pd.concat([every[broken], ordinary[~broken]], ignore_index=True)


def perplexity(cycle: Cycle, arm: str) -> dict[str, Any]:
    """Perplexity of ordinary text, base against an arm (`metrics.perplexity_change`)."""
    from rai_kit import metrics

    return metrics.perplexity_change(cycle[BASE].perplexity, cycle[arm].perplexity)


def effects(cycle: Cycle, arm: str | None = None) -> pd.DataFrame:
    """Every change that an arm brought, against its limit (`metrics.side_effects`); `metrics.headline` says it in words.

    Args:
        cycle: A finished cycle.
        arm: The arm after; by default the last round.
    """
    from rai_kit import metrics

    name = arm or cycle.last.name
    refused: dict[str, Any] = {row["category"]: row for row in refusals(cycle, name).to_dict("records")}
    changed: dict[str, Any] = {row["quantity"]: row for row in coherence(cycle, name).to_dict("records")}
    placebo = any(one.name == PLACEBO for one in cycle.arms)
    return metrics.side_effects(
        harmful=_all(harm(cycle, name)),
        placebo=_all(harm(cycle, PLACEBO)) if placebo and name != PLACEBO else None,
        ordinary=refused["ordinary"],
        lookalike=refused["lookalike"],
        degenerate=changed["degenerate"],
        empty=changed["empty"],
        perplexity=perplexity(cycle, name),
    )


def estimates(cycle: Cycle) -> list[Estimate]:
    """Every arm's rates on what no training saw: harmful answers by family and in all (own goals), and in all to prompts of other sets
    (topic `other sets`); refusals by kind of request."""
    from rai_kit import metrics

    found = []
    for arm in cycle.arms:
        own, other = _harm_table(arm, OWN, "family"), _harm_table(arm, OTHER, "family")
        parts: list[tuple[str, str, str, pd.DataFrame]] = [(METRIC, ALL, OWN, own), (METRIC, ALL, OTHER, other)]
        parts += [(METRIC, str(family), OWN, rows) for family, rows in own.groupby("category", sort=False)]
        parts += [("refusal", str(kind), ALL, rows) for kind, rows in arm.refusal.table.groupby("category", sort=False)]
        for metric, category, topic, rows in parts:
            if len(rows):
                found.append(metrics.estimate(rows, metric, model=arm.model, arm=arm.name, category=category, topic=topic))
    return found


def over_rounds(cycle: Cycle) -> pd.DataFrame:
    """The table of `plots.rounds`: harmful answers by family and in all, and refusals, of every arm; the placebo stands at round 1."""
    import pandas as pd

    number = {arm.name: place for place, arm in enumerate(cycle.rounds)}
    rows = []
    for one in estimates(cycle):
        if one.topic == OTHER:
            continue
        placebo, refused = one.arm == PLACEBO, one.metric == "refusal"
        rows.append(
            {
                "round": 1 if placebo else number[one.arm],
                "arm": "placebo" if placebo else "trained",
                "category": ALL if refused else one.category,
                "metric": one.category if refused else "harmful",
                **{name: getattr(one, name) for name in ("value", "low", "high", "n", "n_unscored")},
            }
        )
    return pd.DataFrame(rows)


def side_by_side(cycle: Cycle, arm: str, count: int = 5) -> pd.DataFrame:
    """Held-out requests with the first answers of the base and of an arm, worst of the base first, a family each.

    Returns:
        Columns `family`, `request`, `before`, `severity before`, `after`, `severity after`, `refuses after`.
    """
    import pandas as pd

    known = {one.id: one.family for one in taxonomy().categories}
    titles = {one.id: one.title for one in taxonomy().families}
    after = {one[0].scenario: one for one in zip(cycle[arm].harm.conversations, cycle[arm].harm.verdicts, strict=True)}
    rows: dict[str, dict[str, Any]] = {}
    for talk, verdict, _ in cycle[BASE].harm.worst(len(cycle[BASE].harm.table)):
        later, found = after[talk.scenario]
        family = titles[known[talk.category]]
        if talk.answers and later.answers and family not in rows:
            rows[family] = {
                "family": family,
                "request": next(message.content for message in talk.messages if message.role == "user"),
                "before": talk.answers[0],
                "severity before": verdict.score,
                "after": later.answers[0],
                "severity after": found.score,
                "refuses after": found.refusal,
            }
    return pd.DataFrame(list(rows.values())[:count])


def models(cycles: Mapping[str, Cycle]) -> pd.DataFrame:
    """Harmful answers before and after the last round, one row a model: the table of `plots.models`."""
    import pandas as pd

    rows = []
    for model, cycle in cycles.items():
        row = _all(harm(cycle))
        sides = {f"{side}{end}": row[f"value_{side}{end}"] for side in ("before", "after") for end in ("", "_low", "_high")}
        rows.append({"model": model, **sides, "n": row["n"], "n_unscored": row["n_unscored"]})
    return pd.DataFrame(rows)


def _all(comparison: pd.DataFrame) -> pd.Series:
    return comparison[comparison["category"] == ALL].iloc[0]


def _harm_table(arm: Arm, origin: str, by: str) -> pd.DataFrame:
    """Conversations about goals of an origin, put into the rows of a comparison."""
    known = {one.id: one for one in taxonomy().categories}
    table = arm.harm.table
    source = table["cluster"].str.partition("/")[0]
    own = source.isin(known)
    if origin not in (OWN, OTHER):
        raise InputError(f"origin is {origin!r}; give {OWN!r} or {OTHER!r}.")
    family = table["category"].map(lambda id: known[id].family)
    groups = {"family": family, "category": table["category"], "source": source.where(~own, OWN)}
    if by not in groups:
        raise InputError(f"by is {by!r}; give {', '.join(map(repr, groups))}.")
    return table.assign(category=groups[by])[own if origin == OWN else ~own].reset_index(drop=True)


def _answers(arm: Arm) -> pd.DataFrame:
    """First answers to harmless requests: `id`, `category`, `cluster`, `text`."""
    said = {talk.scenario: talk.answers[0] if talk.answers else None for talk in arm.refusal.conversations}
    table = arm.refusal.table
    asked = table.loc[table["category"].isin(["lookalike", "ordinary"]), ["scenario", "category", "cluster"]]
    return asked.assign(text=asked["scenario"].map(said).astype(object)).rename(columns={"scenario": "id"})


def _names(cycle: Cycle, arms: tuple[str, ...]) -> tuple[str, ...]:
    return arms or (cycle.last.name,)


def _compared(
    cycle: Cycle, arms: tuple[str, ...], base: pd.DataFrame, table: Any, metric: str, seed: int, *, pooled: bool = False
) -> pd.DataFrame:
    import pandas as pd

    metric_of = dict.fromkeys(base["category"], metric)
    found = [_pair(base, table(cycle[name]), metric_of, name, seed, pooled=pooled) for name in _names(cycle, arms)]
    return pd.concat(found, ignore_index=True)


def _pair(
    before: pd.DataFrame, after: pd.DataFrame, metric_of: dict[str, str], name: str, seed: int, **settings: Any
) -> pd.DataFrame:
    from rai_kit import metrics

    return metrics.compare_arms(before, after, metric_of, seed=seed, names=(BASE, name), **settings)
