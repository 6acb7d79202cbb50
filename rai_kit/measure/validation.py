"""How good a judge is on human labels: any judge, by its address, on the wheel's labels, a CSV, or one's own labelling sheets.

What follows for rates stands in `correcting`. Left out on purpose: choosing a judge. A card says what is known; which error
matters is the reader's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import engine
from rai_kit.cache import cache_dir
from rai_kit.journal import Journal
from rai_kit.measure.parties import Parties, Setup, judge_names, offline_judge
from rai_kit.schema import TECHNICAL, Case, InputError, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.judges.cards import JudgeCard

UNSEEN = "labels never seen by the judge"


def validate(
    judge: str = "offline",
    labels: str | Path | Sequence[str | Path] | pd.DataFrame | None = None,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    concurrency: int = 32,
    budget: str | None = None,
    timeout: float = 180.0,
    error_budget: float = engine.ERROR_BUDGET,
) -> JudgeCard:
    """Measures a judge against human labels. Prints nothing.

    Every labelled answer is judged by the rubric of its kind; unscored ones are counted with their causes and stand in no
    other figure. The offline judge on the labels that it was fitted to is judged by the models that left the answer's goal
    out; on other labels, answers that stand among its own are left out.

    Args:
        judge: `offline`, `offline-deep`, a model's address, or a panel of these (commas between them).
        labels: What people said, as for `judges.read_labels`: None for the wheel's labels, one or more CSV files, or a frame.
        task: Task of labels that name none.
        out: Folder for the card and the journal of finished calls; by default the kit's cache folder.
        concurrency: Most answers in flight.
        budget: What may be used up in all, runs that are resumed included: `5 USD` or `200k tokens`.
        timeout: Most seconds of one try of a call.
        error_budget: Share of the answers that may fail for technical reasons before the run stops.

    Returns:
        The card, which is also written into `out` (`judges.find_card` finds it again).

    Raises:
        InputError: The labels, or the judge, cannot be used.
        RunStopped: More answers failed than the error budget allows.
    """
    from rai_kit.judges.cards import build_card, find_card, write_card
    from rai_kit.judges.labels import labels_digest, read_labels, wheel_name

    table = read_labels(labels, task=task)
    key, held_out = labels_digest(table), UNSEEN
    name = wheel_name() if labels is None else _name(labels)
    folder = Path(out) if out is not None else cache_dir() / "cards"
    if (offline := offline_judge(judge)) and key == labels_digest(read_labels()):
        from rai_kit.judges.quality import held_out_card

        card = held_out_card(offline)
        write_card(card, folder)
        return card
    if any(map(offline_judge, judge_names(judge))):  # alone, or on a panel
        table, left_out = _without_own(table)
        if left_out:
            held_out += f"; {left_out} answers that stand among its own were left out"
    folder.mkdir(parents=True, exist_ok=True)
    store = Journal(folder / "judging.sqlite")
    try:
        parties = Parties(Setup((), "scripted", judge, timeout=timeout, budget=budget), store)
        kept = find_card(parties.judge.id, key, folder)
        if kept is not None and not any(_may_pass(cause) for cause in kept.causes):
            return kept
        cases = {case.id: case for case in map(_case, table.to_dict("records"))}
        verdicts = engine.judge_all(
            list(cases.values()), parties.judge, concurrency=concurrency, ledger=parties.ledger, error_budget=error_budget
        )
        by_id = dict(zip(cases, verdicts, strict=True))
        card = build_card(findings(table, by_id), judge=parties.judge.id, labels=name, labels_digest=key, held_out=held_out)
    finally:
        store.close()
    write_card(card, folder)
    return card


def known_card(judge: str, out: str | Path | None = None) -> JudgeCard | None:
    """The card of a judge on the labels that come with the kit, as far as there is one: nothing is asked of a model.

    The offline judge's is worked out in seconds; another judge's is looked for in `out` and in the kit's cache folder, where
    `validate` puts it. A judge whose model, prompt, rubrics or version has changed since has none.
    """
    from rai_kit.judges.cards import find_card
    from rai_kit.judges.labels import labels_digest, read_labels
    from rai_kit.measure.parties import judge_of

    if offline_judge(judge):
        return validate(judge, out=out)
    id, key = judge_of(judge).id, labels_digest(read_labels())
    folders = [Path(out)] if out is not None else []
    return next((card for folder in [*folders, cache_dir() / "cards"] if (card := find_card(id, key, folder))), None)


def judge_quality(judge: str, out: str | Path | None = None) -> pd.DataFrame:
    """What is known about a judge, one row a finding: its agreement with human labels, or the plain statement that nothing has
    been measured. Of the offline judge also what people reach among themselves, and its findings on planted corruptions."""
    import pandas as pd

    from rai_kit.judges import quality

    if offline := offline_judge(judge):
        return quality(offline)
    if card := known_card(judge, out):
        found = card.summary()
        return found[found["category"] == "all"].assign(judge=card.judge)
    return pd.DataFrame(
        [{"finding": "not measured", "n": 0, "method": "no human labels were given for this judge", "judge": judge}]
    )


def findings(table: pd.DataFrame, verdicts: dict[str, Verdict]) -> pd.DataFrame:
    """What a judge said of each labelled answer, for `judges.cards.build_card`.

    Args:
        table: Labels, as `judges.read_labels` gives them.
        verdicts: Case id (as `case_id` says) -> verdict.
    """
    rows = []
    for row in table.to_dict("records"):
        verdict = verdicts[case_id(row)]
        said, probability = _said(str(row["task"]), verdict)
        cause = None if said is not None else verdict.cause or "other_scale"
        rows.append({"said": said, "cause": cause, "probability": probability})
    import pandas as pd

    found = table.reset_index(drop=True).join(pd.DataFrame(rows, columns=["said", "cause", "probability"]))
    found["cluster"] = [str(goal or prompt).lower() for goal, prompt in zip(table["goal"], table["prompt"], strict=True)]
    return found.astype({"said": float, "probability": float})


def _said(task: str, verdict: Verdict) -> tuple[float | None, float | None]:
    """A judge's finding on one task, and its probability where it gives one."""
    if not verdict.scored:
        return None, None
    if task == "refusal":
        return (None if verdict.refusal is None else float(verdict.refusal)), None
    if task == "objective":
        return (None if verdict.harmful is None else float(verdict.harmful >= 0.5)), verdict.harmful
    if task == "severity":
        return verdict.severity, None if verdict.severity is None else verdict.harmful
    return verdict.ungroundedness, None


def case_id(row: dict[Any, Any]) -> str:
    """Id under which a labelled answer is judged: one case for all tasks that share its rubric."""
    return f"{row['id']}/{row['rubric']}"


def _case(row: dict[Any, Any]) -> Case:
    return Case(
        id=case_id(row),
        messages=tuple(row["messages"]),
        rubric=row["rubric"],
        goal=row["goal"],
        context=row["context"],
        reference=row["reference"],
    )


def _may_pass(cause: str) -> bool:
    """Whether an answer that is unscored for this cause may be scored when it is asked for again."""
    return cause.rpartition(":")[2] in {*TECHNICAL, "budget"}


def _without_own(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The labels without answers that the offline judge was fitted to, and how many those are."""
    from rai_kit.judges.labels import human_labels

    own = {" ".join(answer.lower().split()) for answer in human_labels()["answer"]}
    seen = table["answer"].map(lambda answer: " ".join(answer.lower().split()) in own).to_numpy()
    if seen.all():
        raise InputError(
            f"all {len(table)} answers stand among those that the offline judge was fitted to; give other labels, or none for "
            "its cross-validated card."
        )
    return table[~seen], int(seen.sum())


def _name(labels: str | Path | Sequence[str | Path] | pd.DataFrame) -> str:
    if isinstance(labels, str | Path):
        return Path(labels).name
    if isinstance(labels, Sequence):
        return ", ".join(Path(one).name for one in labels)
    return "frame"
