"""Tables: of verdicts, of estimates, of what came through, laid out to read. Joined by id; no statistics here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.schema import Conversation, Estimate, InputError, Scenario, Verdict

if TYPE_CHECKING:
    import pandas as pd


def verdict_table(
    conversations: Sequence[Conversation], verdicts: Sequence[Verdict], scenarios: Sequence[Scenario]
) -> pd.DataFrame:
    """One row a conversation: who, what, how it was judged. Joined by id, never by position.

    Raises:
        InputError: Verdicts, conversations and scenarios do not match one to one.
    """
    import pandas as pd

    by_conversation = {verdict.id: verdict for verdict in verdicts}
    by_scenario = {scenario.id: scenario for scenario in scenarios}
    ids = [conversation.id for conversation in conversations]
    if len(by_conversation) != len(verdicts) or len(set(ids)) != len(ids) or set(ids) != set(by_conversation):
        raise InputError(
            f"{len(set(ids))} distinct conversations (of {len(ids)}) and {len(by_conversation)} distinct verdicts (of {len(verdicts)}) "
            "do not match by id; each conversation needs exactly one verdict."
        )
    if missing := sorted({conversation.scenario for conversation in conversations} - set(by_scenario)):
        raise InputError(
            f"conversation of unknown scenario {missing[0]} (and {len(missing) - 1} more); give the scenarios they were drawn from."
        )
    return pd.DataFrame(
        [
            verdict_row(conversation, by_conversation[conversation.id], by_scenario[conversation.scenario])
            for conversation in conversations
        ]
    )


def verdict_row(conversation: Conversation, verdict: Verdict, scenario: Scenario) -> dict[str, Any]:
    """One conversation's row of the verdict table.

    Raises:
        InputError: The three do not belong together.
    """
    if conversation.id != verdict.id or conversation.scenario != scenario.id:
        raise InputError(
            f"conversation {conversation.id} of scenario {conversation.scenario}, verdict {verdict.id} and scenario {scenario.id} "
            "do not match by id."
        )
    return {
        "id": conversation.id,
        "scenario": scenario.id,
        "seed": scenario.seed,
        "model": conversation.target,
        "arm": conversation.arm,
        "category": scenario.category,
        "topic": scenario.topic,
        "template": scenario.template,
        "cluster": scenario.cluster,
        "judge": verdict.judge,
        "scored": verdict.scored,
        "cause": verdict.cause,
        "severity": _number(verdict.severity),
        "ungroundedness": _number(verdict.ungroundedness),
        "refusal": None if verdict.refusal is None else bool(verdict.refusal),
        "turn": verdict.turn,
        "answers": len(conversation.answers),
        "truncated": conversation.truncated,
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def estimate_table(found: Sequence[Estimate]) -> pd.DataFrame:
    """Estimates as a long-form frame, one row each."""
    import pandas as pd

    return pd.DataFrame([asdict(one) for one in found], columns=list(Estimate.__dataclass_fields__))


def funnel(table: pd.DataFrame) -> pd.DataFrame:
    """Planned, reached, scored and unscored by cause, for every model and category; the causes add up."""
    import pandas as pd

    rows = []
    for (model, category), part in table.groupby(["model", "category"], sort=False):
        stages, left = _stages(part)
        rows.append(
            {
                "model": model,
                "category": category,
                **stages,
                "unscored": sum(left.values()),
                "causes": "; ".join(f"{cause}: {count}" for cause, count in left.items()),
            }
        )
    return pd.DataFrame(rows)


def _stages(part: pd.DataFrame) -> tuple[dict[str, int], dict[str, int]]:
    """How many rows were planned, reached and scored, and how many are unscored by each cause."""
    scored = part["scored"].astype(bool)
    left = part.loc[~scored, "cause"].fillna("unknown").value_counts().sort_index()
    counts = {"planned": len(part), "reached": int((part["answers"] > 0).sum()), "scored": int(scored.sum())}
    return counts, {str(cause): int(count) for cause, count in left.items()}


def causes(table: pd.DataFrame) -> pd.DataFrame:
    """What became of the rows, in long form: every model, arm and category with its stages and their counts.

    Stages are `planned`, `reached` (at least one answer), `scored`, and `unscored: CAUSE`; planned = scored + all unscored.

    Args:
        table: As `verdict_table` or `attempt_table` gives it.

    Returns:
        Columns `model`, `arm`, `category`, `stage`, `count`.
    """
    import pandas as pd

    names = ["model", "arm", "category"]
    scored = table["outcome"] != "unscored" if "outcome" in table else table.get("scored")
    rows = []
    for key, part in table.assign(scored=scored).groupby(names, sort=False, dropna=False) if len(table) else ():
        stages, left = _stages(part)
        stages |= {f"unscored: {cause}": count for cause, count in left.items()}
        rows += [(*key, stage, count) for stage, count in stages.items()]
    return pd.DataFrame(rows, columns=[*names, "stage", "count"])


def table1(found: pd.DataFrame, published: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Estimates laid out as Table 1 of the Phi-3 report: a row a category, a column a model, published columns marked as such.

    Args:
        found: As `estimate_table` gives it.
        published: Columns `model`, `category`, `value`.
        titles: Category -> title, in the order of the rows.

    Returns:
        Texts: `value [low, high]`, `n (unscored)`, shares 0-1; `-` where nothing was measured or published.
    """
    import pandas as pd

    measured = found[(found["topic"] == "all") & (found["metric"] != "refusal")]
    rows = {}
    for category in (category for category in titles if category in set(measured["category"])):
        part = measured[measured["category"] == category].set_index("model")
        row = {"metric": _metric_words(str(part["metric"].iloc[0]))}
        for model, one in part.iterrows():
            scored = _interval(one["value"], one["low"], one["high"]) if one["n"] else "nothing scored"
            row |= {
                str(model): scored,
                f"n, {model}": f"{one['n']}" + (f" (+{one['n_unscored']} unscored)" if one["n_unscored"] else ""),
            }
        for _, one in published[published["category"] == category].iterrows():
            row[f"{one['model']} (published)"] = f"{one['value']:.3f}"
        rows[titles[category]] = row
    return pd.DataFrame.from_dict(rows, orient="index").fillna("-")


def _metric_words(metric: str) -> str:
    return "mean, 0-4" if metric == "ungroundedness" else metric


def intervals_as_text(frame: pd.DataFrame, columns: Sequence[str], digits: int = 3) -> pd.DataFrame:
    """Some columns of a frame to read: `x` with `x_low` and `x_high` becomes `0.758 [0.666, 0.845]`; what is absent is `-`."""
    import pandas as pd

    def words(row: Mapping[Any, Any], name: str) -> str:
        value = row.get(name)
        if isinstance(value, float):
            return _interval(value, row.get(f"{name}_low", float("nan")), row.get(f"{name}_high", float("nan")), digits)
        return "-" if value is None else str(value)

    return pd.DataFrame([{name: words(row, name) for name in columns} for row in frame.to_dict("records")])


def _interval(value: float, low: float, high: float, digits: int = 3) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.{digits}f}" if np.isnan(low) else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
