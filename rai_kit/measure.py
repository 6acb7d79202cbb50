"""The RAI benchmark from addresses to files: draws the scenarios, puts the parties together, runs them, sums up.

Here the parts meet; each can be used alone. A folder `out` receives `scenarios.jsonl`, `conversations.jsonl`, `verdicts.jsonl`,
`summary.json` (the estimates), `run.json` (how it was made) and `journal.sqlite` (every finished model call). The same call again on
the same folder takes up where it stopped.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import __version__, engine, metrics
from rai_kit.cache import write_json
from rai_kit.data import draw_scenarios, load_scenarios, rubric_names
from rai_kit.data import suite as suite_of
from rai_kit.journal import Journal
from rai_kit.models import ChatModel
from rai_kit.progress import steps
from rai_kit.schema import (
    Case,
    Conversation,
    Estimate,
    InputError,
    Judge,
    Message,
    Scenario,
    Simulator,
    Verdict,
    read_jsonl,
    write_jsonl,
)

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, against which a relative run folder is resolved wherever a notebook is opened."""


def run_folder(out: str | Path) -> Path:
    """A run folder; a relative one counts from the project's root, so that notebooks find it from their own folder."""
    path = Path(out).expanduser()
    return path if path.is_absolute() else (ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()) / path


def simulator_of(address: str, journal: Journal | None = None) -> Simulator:
    """The simulated user that a word stands for: `scripted`, or a model's address."""
    from rai_kit.simulators import LLMUser, ScriptedUser

    return (
        ScriptedUser() if address == "scripted" else LLMUser(ChatModel(address, temperature=0.7, max_tokens=200, journal=journal))
    )


def judge_of(address: str, journal: Journal | None = None) -> Judge:
    """The judge that a word stands for: `offline`, or a model's address."""
    from rai_kit.judges import LLMJudge, OfflineJudge

    if address == "offline":
        return OfflineJudge()
    return LLMJudge(ChatModel(address, temperature=0.0, max_tokens=1200, journal=journal), name=address)


def judge_quality(address: str) -> pd.DataFrame:
    """What is known about a judge: its agreement with human labels, or the plain statement that nothing has been measured.

    Returns:
        One row a finding (`judges.quality` names the columns).
    """
    import pandas as pd

    from rai_kit.judges import OfflineJudge, quality

    if address == "offline":
        return quality(OfflineJudge())
    return pd.DataFrame(
        [{"finding": "not measured", "n": 0, "method": "no human labels were given for this judge", "judge": address}]
    )


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes:
        out: The run folder.
        scenarios: What was asked.
        conversations: What was said, in the order targets x scenarios.
        verdicts: How it was judged, in the same order.
        table: One row a conversation (`metrics.verdict_table`).
        estimates: One row a rate (`metrics.estimate_table`).
        run: What `run.json` says.
    """

    out: Path
    scenarios: list[Scenario]
    conversations: list[Conversation]
    verdicts: list[Verdict]
    table: pd.DataFrame
    estimates: pd.DataFrame
    run: dict[str, Any]

    def __repr__(self) -> str:
        counts = self.run["counts"]
        return f"Benchmark({counts['planned']} conversations, {counts['scored']} scored by {self.run['judge']['id']})"

    def worst(self, count: int = 5, category: str | None = None) -> list[tuple[Conversation, Verdict, Scenario]]:
        """The `count` conversations that were judged worst, one a scenario template first, in a stable order."""
        scenario_of = {scenario.id: scenario for scenario in self.scenarios}
        scored = [
            (conversation, verdict, scenario_of[conversation.scenario])
            for conversation, verdict in zip(self.conversations, self.verdicts, strict=True)
            if verdict.scored and category in (None, conversation.category)
        ]
        scored.sort(key=lambda item: (-(item[1].score or 0), -(item[1].harmful or 0), item[0].id))
        seen: set[str] = set()
        first = [item for item in scored if item[2].template not in seen and not seen.add(item[2].template)]  # type: ignore[func-returns-value]
        return (first + [item for item in scored if item not in first])[:count]


def benchmark(
    target: str | Sequence[str],
    *,
    out: str | Path,
    simulator: str = "scripted",
    judge: str = "offline",
    suite: str = "rai5",
    category: Sequence[str] | str | None = None,
    n: int = 20,
    turns: int = 3,
    seed: int = 0,
    concurrency: int = 32,
    max_tokens: int = 96,
    temperature: float = 0.7,
    scenarios: str | Path | None = None,
    journal: str | Path | None = None,
    self_judging: bool = False,
) -> Benchmark:
    """Simulates users against one or more models, judges every answer, and estimates the rates.

    Args:
        target: Address or addresses of the models under test.
        out: Run folder; relative to the project's root.
        simulator: `scripted`, or the address of the model that plays the user.
        judge: `offline`, or the address of the model that judges.
        suite: Set of categories.
        category: Only these categories of the suite.
        n: Scenarios a category.
        turns: Answers of the target in a conversation.
        seed: Of everything random.
        concurrency: Most conversations in flight.
        max_tokens: Most new tokens of a target's reply.
        temperature: Of the target.
        scenarios: JSONL file of one's own scenarios instead of drawn ones.
        journal: Journal to share; by default `out/journal.sqlite`.
        self_judging: Allow a judge that is one of the targets.

    Raises:
        InputError: Something that was given cannot be used; nothing was written then but finished calls in the journal.
    """
    addresses = [target] if isinstance(target, str) else list(target)
    chosen = [category] if isinstance(category, str) else category
    _check(addresses, judge, self_judging, concurrency=concurrency, max_tokens=max_tokens)
    folder = run_folder(out)
    drawn = (
        load_scenarios(scenarios)
        if scenarios is not None
        else draw_scenarios(suite, categories=chosen, n=n, turns=turns, seed=seed)
    )
    metric_of = {one.id: one.metric for one in suite_of(suite).categories}
    if unknown := sorted({scenario.category for scenario in drawn} - set(metric_of)):
        raise InputError(f"{scenarios}: category {unknown[0]!r} is not in suite {suite!r}; known are {', '.join(metric_of)}.")
    store = Journal(journal if journal is not None else folder / "journal.sqlite")
    try:
        models = [ChatModel(address, temperature=temperature, max_tokens=max_tokens, journal=store) for address in addresses]
        user, grader = simulator_of(simulator, store), judge_of(judge, store)
        plans = [engine.Plan(scenario, engine.Target(model.address, model)) for model in models for scenario in drawn]
        started = datetime.now(UTC)
        with steps(len(plans), "conversations") as step:
            conversations, verdicts = engine.run(
                plans, user, grader, concurrency=concurrency, progress=lambda conversation: step(conversation.category)
            )
    finally:
        store.close()
    table = metrics.verdict_table(conversations, verdicts, drawn)
    found = metrics.estimates(table, metric_of, seed=seed)
    parties: dict[str, Sequence[Any]] = {"targets": models, "simulator": [user], "judge": [grader]}
    run = {
        "what": "benchmark",
        "suite": suite,
        "parameters": {
            "target": addresses,
            "simulator": simulator,
            "judge": judge,
            "category": sorted({scenario.category for scenario in drawn}),
            "n": n,
            "turns": turns,
            "seed": seed,
            "concurrency": concurrency,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "scenarios": None if scenarios is None else Path(scenarios).name,
        },
        "models": {model.address: model.identity for model in models},
        "simulator": repr(user),
        "judge": {"id": grader.id, "self_judging": judge in addresses},
        "counts": _counts(table),
        "calls": {role: _calls(members) for role, members in parties.items()},
        "cost": None,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "versions": versions(),
    }
    write_jsonl(folder / "scenarios.jsonl", drawn)
    write_jsonl(folder / "conversations.jsonl", conversations)
    write_jsonl(folder / "verdicts.jsonl", verdicts)
    write_summary(folder / "summary.json", found)
    write_json(folder / "run.json", run)
    return Benchmark(folder, drawn, conversations, verdicts, table, metrics.estimate_table(found), run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A conversation made elsewhere, to be judged: `category` is a category of `rai5`, `category/topic`, or a rubric's name."""

    id: str
    messages: tuple[Message, ...]
    category: str | None = None
    context: str | None = None
    reference: str | None = None


def judge_conversations(file: str | Path, *, out: str | Path, judge: str = "offline", concurrency: int = 32) -> list[Verdict]:
    """Judges conversations that already exist: JSONL of `Dialogue`s in, JSONL of verdicts out, in the same order.

    Args:
        file: One `{"id", "messages", "category"?, "context"?, "reference"?}` a line. Without a category the general rubric `harm` holds.
        out: File of the verdicts, written whole; a model's calls are kept beside it as `OUT.journal.sqlite`.
        judge: `offline`, or a model's address.
        concurrency: Most conversations in flight.

    Raises:
        InputError: A line that cannot be used, with its number; a repeated id; an unknown category or judge.
    """
    dialogues = list(read_jsonl(file, Dialogue))
    if not dialogues:
        raise InputError(f"{file} holds no conversation; give at least one line of JSON.")
    repeated = sorted(id for id, count in Counter(dialogue.id for dialogue in dialogues).items() if count > 1)
    if repeated:
        raise InputError(f"{file}: id {repeated[0]!r} stands more than once; every conversation needs an id of its own.")
    cases = [_case(dialogue, file) for dialogue in dialogues]
    store = Journal(f"{out}.journal.sqlite")
    try:
        grader = judge_of(judge, store)
        with steps(len(cases), "conversations") as step:
            verdicts = engine.judge_all(
                cases, grader, concurrency=concurrency, progress=lambda verdict: step(verdict.cause or "")
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


def _check(addresses: Sequence[str], judge: str, self_judging: bool, **positive: int) -> None:
    if not addresses:
        raise InputError("target is empty; give at least one model address, such as smollm2-135m@embedded.")
    if len(set(addresses)) != len(addresses):
        raise InputError(f"target names a model twice ({', '.join(addresses)}); name each once.")
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1.")
    if judge in addresses and not self_judging:
        raise InputError(
            f"judge '{judge}' is also a target, and would judge itself; choose another judge or pass self_judging (--self-judging)."
        )


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    """Planned, reached, scored, and unscored by cause; they add up."""
    unscored = table.loc[~table["scored"], "cause"].fillna("unknown").value_counts().sort_index()
    return {
        "planned": len(table),
        "reached": int((table["answers"] > 0).sum()),
        "scored": int(table["scored"].sum()),
        "unscored": {str(cause): int(count) for cause, count in unscored.items()},
    }


def _calls(members: Sequence[Any]) -> dict[str, int]:
    """Calls made, calls replayed from the journal and tokens of the models behind some parties."""
    totals = {"made": 0, "replayed": 0, "prompt_tokens": 0, "completion_tokens": 0}
    for member in members:
        for name, value in getattr(getattr(member, "model", member), "calls", {}).items():
            totals[name] += value
    return totals


def versions() -> dict[str, str]:
    """Versions of the kit, of Python and of what shapes results."""
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "openai", "xllamacpp")
    return {"rai_kit": __version__, "python": platform.python_version(), "platform": sys.platform} | {
        name: version(name) for name in packages
    }


def write_summary(path: Path, found: Sequence[Estimate]) -> None:
    """Writes estimates as a JSON list; values are never rounded."""
    write_json(path, [asdict(one) for one in found])
