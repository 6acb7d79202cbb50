"""The RAI benchmark from addresses to files: draws the scenarios, puts the parties together, runs them, sums up.

Here the parts meet; each can be used alone. A folder `out` receives `scenarios.jsonl`, `conversations.jsonl`, `verdicts.jsonl`,
`summary.json` (the estimates), `run.json` (how it was made) and `journal.sqlite` (every finished model call). The same call again on
the same folder takes up where it stopped.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rai_kit import __version__, engine
from rai_kit.cache import write_json
from rai_kit.cost import Forecast, Ledger, Prices, Sizes, forecast
from rai_kit.data import draw_scenarios, load_scenarios
from rai_kit.data import suite as suite_of
from rai_kit.journal import Journal
from rai_kit.measure.folder import Spool, locked, run_folder
from rai_kit.measure.parties import (
    JUDGE_TOKENS,
    SIMULATOR_TOKENS,
    Parties,
    Setup,
    check,
    judge_in_batches,
    judge_names,
    offline_judge,
)
from rai_kit.measure.shards import fill, take_in
from rai_kit.progress import steps
from rai_kit.schema import Case, Conversation, Estimate, InputError, Scenario, Verdict, read_jsonl, write_jsonl

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found. The records are read from the folder when they are first asked for.

    Attributes:
        out: The run folder.
        table: One row a conversation (`metrics.verdict_table`), in the order targets x scenarios.
        estimates: One row a rate (`metrics.estimate_table`).
        run: What `run.json` says.
    """

    out: Path
    table: pd.DataFrame
    estimates: pd.DataFrame
    run: dict[str, Any]

    @cached_property
    def scenarios(self) -> list[Scenario]:
        """What was asked."""
        return list(read_jsonl(self.out / "scenarios.jsonl", Scenario))

    @cached_property
    def conversations(self) -> list[Conversation]:
        """What was said, in the order of the table."""
        return list(read_jsonl(self.out / "conversations.jsonl", Conversation))

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """How it was judged, in the order of the table."""
        return list(read_jsonl(self.out / "verdicts.jsonl", Verdict))

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
    budget: str | None = None,
    timeout: float = 180.0,
    error_budget: float = engine.ERROR_BUDGET,
    batch: bool = False,
    executor: Executor | None = None,
    shards: int | None = None,
) -> Benchmark:
    """Simulates users against one or more models, judges every answer, and estimates the rates.

    Args:
        target: Address or addresses of the models under test.
        out: Run folder; relative to the project's root.
        simulator: `scripted`, or the address of the model that plays the user.
        judge: `offline`, the address of the model that judges, or several of these with commas between them: a panel.
        suite: Set of categories.
        category: Only these categories of the suite.
        n: Scenarios a category.
        turns: Answers of the target in a conversation.
        seed: Of everything random.
        concurrency: Most conversations in flight (in each shard).
        max_tokens: Most new tokens of a target's reply.
        temperature: Of the target.
        scenarios: JSONL file of one's own scenarios instead of drawn ones.
        journal: Journal to share; by default `out/journal.sqlite`.
        self_judging: Allow a judge that is one of the targets.
        budget: What the run may use up in all, resumed runs included: `5 USD` or `200k tokens`. When it is used up, the conversations
            that are left are unscored with the cause `budget`; with a larger one the same call goes on.
        timeout: Most seconds of one try of a call.
        error_budget: Share of the conversations that may fail for technical reasons before the run stops.
        batch: Let the judge's endpoint work through its calls as a batch (OpenAI Batch API), within a day and at its price.
        executor: Where shards of the run are worked on: a process pool, Dask's `Client.get_executor()`, any
            `concurrent.futures.Executor`. Its workers see the run folder under the same path.
        shards: Into how many parts the run is cut for the executor; by default one for every `4 * concurrency` conversations.

    Raises:
        InputError: Something that was given cannot be used; nothing was written then but finished calls in the journal.
        RunStopped: More conversations failed than the error budget allows, or the executor lost its workers.
    """
    addresses = (target,) if isinstance(target, str) else tuple(target)
    check(addresses, judge, self_judging, concurrency=concurrency, max_tokens=max_tokens, timeout=timeout)
    setup = Setup(addresses, simulator, judge, max_tokens, temperature, concurrency, timeout, budget, batch)
    folder = run_folder(out)
    metric_of = {one.id: one.metric for one in suite_of(suite).categories}
    drawn = _draw(suite, category, n, turns, seed, scenarios)
    store = Journal(journal if journal is not None else folder / "journal.sqlite")
    parties = Parties(setup, store)
    parameters = {
        "target": list(addresses),
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
        "budget": budget,
        "batch": batch,
    }
    try:
        with locked(folder):
            _announce(setup, drawn, parties.ledger)
            started = datetime.now(UTC)
            shards_in = folder / "shards"
            take_in(store, shards_in)
            if executor is not None:
                fill(store, shards_in, setup, drawn, executor, shards=shards, error_budget=error_budget)
            table = _hold(parties, parties.plans(drawn), folder, concurrency, error_budget)
            from rai_kit import metrics

            found = metrics.estimates(table, metric_of, seed=seed)
            run = {
                "what": "benchmark",
                "suite": suite,
                "parameters": parameters,
                "simulator": repr(parties.user),
                "counts": _counts(table),
                **how_made(parties, started),
            }
            write_jsonl(folder / "scenarios.jsonl", drawn)
            write_summary(folder / "summary.json", found)
            write_json(folder / "run.json", run)
    finally:
        store.close()
    return Benchmark(folder, table, metrics.estimate_table(found), run)


def forecast_benchmark(
    target: str | Sequence[str],
    *,
    simulator: str = "scripted",
    judge: str = "offline",
    suite: str = "rai5",
    category: Sequence[str] | str | None = None,
    n: int = 20,
    turns: int = 3,
    seed: int = 0,
    max_tokens: int = 96,
    scenarios: str | Path | None = None,
) -> Forecast:
    """What a `benchmark` with these settings will take (calls, tokens, money), without starting it."""
    addresses = (target,) if isinstance(target, str) else tuple(target)
    setup = Setup(addresses, simulator, judge, max_tokens)
    return _forecast(setup, _draw(suite, category, n, turns, seed, scenarios), Prices.load())


def _draw(
    suite: str, category: Sequence[str] | str | None, n: int, turns: int, seed: int, scenarios: str | Path | None
) -> list[Scenario]:
    if scenarios is None:
        chosen = [category] if isinstance(category, str) else category
        return draw_scenarios(suite, categories=chosen, n=n, turns=turns, seed=seed)
    drawn = load_scenarios(scenarios)
    known = [one.id for one in suite_of(suite).categories]
    if unknown := sorted({scenario.category for scenario in drawn} - set(known)):
        raise InputError(f"{scenarios}: category {unknown[0]!r} is not in suite {suite!r}; known are {', '.join(known)}.")
    return drawn


def _forecast(setup: Setup, scenarios: Sequence[Scenario], prices: Prices) -> Forecast:
    sizes = Sizes(
        opening=fmean(len(one.opening) for one in scenarios),
        system=fmean(len(one.system or "") for one in scenarios),
        target_most=setup.max_tokens,
        simulator_most=SIMULATOR_TOKENS,
        judge_most=JUDGE_TOKENS,
    )
    return forecast(
        len(scenarios),
        [one.turns for one in scenarios],
        target=setup.targets,
        simulator=None if setup.simulator == "scripted" else setup.simulator,
        judge=[name for name in judge_names(setup.judge) if offline_judge(name) is None],
        prices=prices,
        sizes=sizes,
    )


def _announce(setup: Setup, scenarios: Sequence[Scenario], ledger: Ledger) -> None:
    """Says what the run will take, unless it costs nothing; a budget's first reckoning is with that."""
    found = _forecast(setup, scenarios, ledger.prices)
    if ledger.budget is not None:
        ledger.expected = found.each(ledger.budget.unit) or 0.0
    if ledger.budget is not None or found.total("money") != 0:
        print(found, flush=True)


def _hold(parties: Parties, plans: Sequence[engine.Plan], folder: Path, concurrency: int, error_budget: float) -> pd.DataFrame:
    """Holds and judges the planned conversations; their two files appear whole, and the table of them is returned."""

    rows: list[dict[str, Any] | None] = [None] * len(plans)
    waiting: list[int] = []
    with Spool(folder / "conversations.jsonl", len(plans)) as talks, Spool(folder / "verdicts.jsonl", len(plans)) as verdicts:

        def judged(index: int, conversation: Conversation, verdict: Verdict) -> None:
            from rai_kit import metrics  # like pandas below, not before the first call is under way

            verdicts.put(index, verdict)
            rows[index] = metrics.verdict_row(conversation, verdict, plans[index].scenario)

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
                concurrency=concurrency,
                ledger=parties.ledger,
                error_budget=error_budget,
            )
        if waiting:
            cases = _Cases(talks, plans, sorted(waiting))
            engine.in_own_loop(
                judge_in_batches(parties, cases, cases.categories, lambda index, verdict: judged(*cases.talk(index), verdict))
            )
        talks.finish()
        verdicts.finish()
    import pandas as pd

    return pd.DataFrame(rows)


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


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    """Planned, reached, scored, and unscored by cause; they add up."""
    unscored = table.loc[~table["scored"], "cause"].fillna("unknown").value_counts().sort_index()
    return {
        "planned": len(table),
        "reached": int((table["answers"] > 0).sum()),
        "scored": int(table["scored"].sum()),
        "unscored": {str(cause): int(count) for cause, count in unscored.items()},
    }


def how_made(parties: Parties, started: datetime) -> dict[str, Any]:
    """What `run.json` says of every run: who took part, what it took, when, and with which versions."""
    setup, ledger = parties.setup, parties.ledger
    return {
        "models": {model.address: model.identity for model in parties.targets},
        "left_out": {model.address: model.left_out for model in parties.models() if model.left_out},
        "judge": {"id": parties.judge.id, "self_judging": not set(setup.targets).isdisjoint(judge_names(setup.judge))},
        "calls": parties.calls(),
        "cost": {"summary": ledger.summary(), **ledger.totals(), "rows": ledger.rows()},
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the kit, of Python and of what shapes results."""
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "openai", "xllamacpp")
    return {"rai_kit": __version__, "python": platform.python_version(), "platform": sys.platform} | {
        name: version(name) for name in packages
    }


def write_summary(path: Path, found: Sequence[Estimate]) -> None:
    """Writes estimates as a JSON list; values are never rounded."""
    write_json(path, [asdict(one) for one in found])
