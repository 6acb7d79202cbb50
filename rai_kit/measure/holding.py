"""Holds the planned conversations of a benchmark and has them judged; what came of it stands in files, and in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import engine
from rai_kit.measure.folder import Spool
from rai_kit.measure.parties import Parties, judge_in_batches
from rai_kit.measure.stopping import Watch
from rai_kit.progress import steps
from rai_kit.schema import Case, Conversation, Verdict

if TYPE_CHECKING:
    import pandas as pd


def hold_and_judge(
    parties: Parties,
    plans: Sequence[engine.Plan],
    folder: Path,
    concurrency: int,
    error_budget: float,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Holds and judges the planned conversations; their two files appear whole, and the table of them is returned."""

    rows: list[dict[str, Any] | None] = [None] * len(plans)
    waiting: list[int] = []
    with Spool(folder / "conversations.jsonl", len(plans)) as talks, Spool(folder / "verdicts.jsonl", len(plans)) as verdicts:

        def judged(index: int, conversation: Conversation, verdict: Verdict) -> None:
            from rai_kit import metrics  # like pandas below, not before the first call is under way

            verdicts.put(index, verdict)
            rows[index] = row = metrics.verdict_row(conversation, verdict, plans[index].scenario)
            if watch is not None:
                watch.came(index, row)

        def held(index: int, conversation: Conversation, verdict: Verdict) -> None:
            talks.put(index, conversation)
            if verdict.cause == "pending":
                waiting.append(index)
            else:
                judged(index, conversation, verdict)
            step(parties.ledger.brief())

        with steps(len(plans), "conversations") as step:
            engine.stream(
                plans,
                parties.user,
                parties.during,
                done=held,
                wanted=None if watch is None else watch.wanted,
                concurrency=concurrency,
                ledger=parties.ledger,
                error_budget=error_budget,
            )
        if waiting:
            cases = _Cases(talks, plans, sorted(waiting))
            engine.in_own_loop(
                judge_in_batches(parties, cases, cases.categories, lambda index, verdict: judged(*cases.talk(index), verdict))
            )
        kept = None if watch is None else [index for index in range(len(plans)) if watch.wanted(index)]
        talks.finish(kept)
        verdicts.finish(kept)
    import pandas as pd

    return pd.DataFrame(rows if kept is None else [rows[index] for index in kept])


class _Cases(Sequence[Case]):
    """Cases of conversations that lie in a spool, each read when it is asked for."""

    def __init__(self, talks: Spool, plans: Sequence[engine.Plan], indices: Sequence[int]) -> None:
        self._talks, self._plans, self._indices = talks, plans, indices
        self.categories = [plans[index].scenario.category for index in indices]

    def talk(self, index: int) -> tuple[int, Conversation]:
        """The plan's index and the conversation."""
        return self._indices[index], self._talks.read(self._indices[index], Conversation)

    def __getitem__(self, index: Any) -> Any:
        plan, conversation = self.talk(index)
        return engine.case_of(conversation, self._plans[plan].scenario)

    def __len__(self) -> int:
        return len(self._indices)


def counts_of(table: pd.DataFrame, planned: int) -> dict[str, Any]:
    """Planned, reached, scored, unscored by cause, and those that a stopping rule spared (`not_needed`); they add up."""
    unscored = table.loc[~table["scored"], "cause"].fillna("unknown").value_counts().sort_index()
    return {
        "planned": planned,
        "reached": int((table["answers"] > 0).sum()),
        "scored": int(table["scored"].sum()),
        "unscored": {str(cause): int(count) for cause, count in unscored.items()},
        **({"not_needed": planned - len(table)} if planned > len(table) else {}),
    }
