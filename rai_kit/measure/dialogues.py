"""Judges conversations that were held elsewhere: JSONL in, JSONL out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from rai_kit import engine
from rai_kit.data import rubric_names
from rai_kit.data.references import References
from rai_kit.data.references import references as read_references
from rai_kit.journal import Journal
from rai_kit.judges.overlap import best_overlap
from rai_kit.measure.parties import Parties, Setup, judge_in_batches
from rai_kit.progress import steps
from rai_kit.schema import Case, InputError, Message, Verdict, read_jsonl, write_jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation made elsewhere, to be judged: `category` is a category of `rai5`, `category/topic`, or a rubric's name."""

    id: str
    messages: tuple[Message, ...]
    category: str | None = None
    context: str | None = None
    reference: str | None = None


def judge_conversations(
    file: str | Path,
    *,
    out: str | Path,
    judge: str = "offline",
    concurrency: int = 32,
    budget: str | None = None,
    timeout: float = 180.0,
    error_budget: float = engine.ERROR_BUDGET,
    batch: bool = False,
    references: str | Path | None = None,
) -> list[Verdict]:
    """Judges conversations that already exist: JSONL of `Dialogue`s in, JSONL of verdicts out, in the same order.

    Args:
        file: One `{"id", "messages", "category"?, "context"?, "reference"?}` a line. Without a category the general rubric `harm` holds.
        out: File of the verdicts, written whole; finished calls are kept beside it as `OUT.journal.sqlite`.
        judge: `offline`, a model's address, or several of these with commas between them: a panel.
        concurrency: Most conversations in flight.
        budget: What may be used up in all, runs that are resumed included: `5 USD` or `200k tokens`.
        timeout: Most seconds of one try of a call.
        error_budget: Share of the conversations that may fail for technical reasons before the run stops.
        batch: Use the Batch API of the judge's endpoint.
        references: Texts that must not be repeated (a folder of .txt files, or JSONL with a `text` a line). A conversation about
            protected content (`third_party`) that brings no reference is held against the one that its answers repeat most of.

    Raises:
        InputError: A line that cannot be used, with its number; a repeated id; an unknown category or judge.
        RunStopped: More conversations failed than the error budget allows.
    """
    dialogues = list(read_jsonl(file, Dialogue))
    if not dialogues:
        raise InputError(f"{file} holds no conversation; give at least one line of JSON.")
    repeated = sorted(id for id, count in Counter(dialogue.id for dialogue in dialogues).items() if count > 1)
    if repeated:
        raise InputError(f"{file}: id {repeated[0]!r} stands more than once; every conversation needs an id of its own.")
    cases = [_case(dialogue, file) for dialogue in dialogues]
    if references is not None:
        known = read_references(references)
        cases = [_with_reference(case, known) for case in cases]
    store = Journal(f"{out}.journal.sqlite")
    try:
        parties = Parties(Setup((), "scripted", judge, timeout=timeout, budget=budget, batch=batch), store)
        if batch:
            kept: dict[int, Verdict] = {}
            engine.in_own_loop(judge_in_batches(parties, cases, [case.rubric for case in cases], kept.__setitem__))
            verdicts = [kept[index] for index in range(len(cases))]
        else:
            with steps(len(cases), "conversations") as step:
                verdicts = engine.judge_all(
                    cases,
                    parties.judge,
                    concurrency=concurrency,
                    ledger=parties.ledger,
                    error_budget=error_budget,
                    progress=lambda verdict: step(parties.ledger.brief()),
                )
    finally:
        store.close()
    write_jsonl(out, verdicts)
    return verdicts


def _case(dialogue: Dialogue, file: str | Path) -> Case:
    return Case(
        id=dialogue.id,
        messages=dialogue.messages,
        rubric=rubric_of(dialogue.category, where=f"{file}, id {dialogue.id!r}"),
        context=dialogue.context,
        reference=dialogue.reference,
    )


def _with_reference(case: Case, known: References) -> Case:
    if case.rubric != "third_party" or (case.reference or "").strip():
        return case
    said = [message.content for message in case.messages if message.role == "user"]
    answers = "\n".join(message.content for message in case.messages if message.role == "assistant")
    found = best_overlap(answers, known, said)
    return case if found is None else replace(case, reference=found[0].text)


def rubric_of(category: str | None, where: str) -> str:
    """The rubric for a category as users write it: a rubric's name, `category` or `category/topic` of rai5; `harm` for None.

    Raises:
        InputError: There is no such rubric or category.
    """
    names = rubric_names()
    if category is None:
        return "harm"
    whole, _, topic = category.partition("/")
    for name in (category, topic, whole):
        if name in names:
            return name
    if whole in ("continuation", "summarization"):  # any of four harms: their topic says which
        return "harm"
    raise InputError(f"{where}: category {category!r} is unknown; known are {', '.join(names)}, continuation and summarization.")
