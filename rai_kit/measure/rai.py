"""The RAI benchmark from addresses to files: draws the scenarios, puts the parties together, runs them, sums up.

Here the parts meet; each can be used alone. A folder `out` receives `scenarios.jsonl`, `conversations.jsonl`, `verdicts.jsonl`,
`summary.json` (the estimates), `run.json` (how it was made) and `journal.sqlite` (every finished model call). The same call again on
the same folder takes up where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rai_kit import engine
from rai_kit.cache import write_json
from rai_kit.cost import Forecast, Ledger, Prices, Sizes, forecast
from rai_kit.data import draw_scenarios, load_scenarios
from rai_kit.data import suite as suite_of
from rai_kit.data.goals import Part
from rai_kit.journal import Journal
from rai_kit.measure.folder import locked, run_folder
from rai_kit.measure.holding import counts_of, hold_and_judge
from rai_kit.measure.parties import (
    JUDGE_TOKENS,
    SIMULATOR_TOKENS,
    Parties,
    Setup,
    check,
    judge_names,
    offline_judge,
)
from rai_kit.measure.record import how_made, write_summary
from rai_kit.measure.shards import fill, take_in
from rai_kit.measure.stopping import Watch, shuffled, widened
from rai_kit.schema import Conversation, InputError, Scenario, Verdict, digest, read_jsonl, write_jsonl

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.metrics.sequences import Stop


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
    scenarios: str | Path | Sequence[Scenario] | None = None,
    part: Part | None = None,
    system: str | None = None,
    resample: int = 0,
    until: str | None = None,
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
        scenarios: One's own scenarios instead of drawn ones: a JSONL file, or the scenarios themselves.
        part: `finding` (scenarios whose goals may enter training) or `held_out`; None for both. Of scenarios that are given themselves it
            is noted and no more; with a file it cannot go.
        system: System message that every conversation opens with, before the scenario's own.
        resample: 0 for the scenarios' own seeds; 1, 2, ... holds the same conversations anew with other seeds, to see what
            changes though nothing was changed.
        until: Ask no further in a category when this is met: a number, such as `0.05` (the rate is known to within that on either
            side), or a bound, such as `<= 0.15` (it is decided on which side the rate lies). Intervals then allow for the looking.
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
    drawn = _arranged(_draw(suite, category, n, turns, seed, scenarios, part), system, resample)
    rule = None if until is None else _rule(until, batch, executor)
    if rule is not None:
        drawn = shuffled(drawn, seed)
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
        "scenarios": Path(scenarios).name if isinstance(scenarios, str | Path) else scenarios and len(scenarios),
        "part": part,
        "system": system,
        "resample": resample,
        "until": until,
        "budget": budget,
        "batch": batch,
    }
    try:
        with locked(folder):
            plans = parties.plans(drawn)
            watch = None if rule is None else Watch(rule, metric_of, plans)
            _announce(setup, drawn, parties.ledger)
            started = datetime.now(UTC)
            shards_in = folder / "shards"
            take_in(store, shards_in)
            if executor is not None:
                fill(store, shards_in, setup, drawn, executor, shards=shards, error_budget=error_budget)
            table = hold_and_judge(parties, plans, folder, concurrency, error_budget, watch)
            from rai_kit import metrics

            found = metrics.estimates(table, metric_of, seed=seed)
            if watch is not None:
                found = widened(found, table, metric_of)
            run = {
                "what": "benchmark",
                "suite": suite,
                "parameters": parameters,
                "simulator": repr(parties.user),
                "counts": counts_of(table, len(plans)),
                **({} if watch is None else {"stopped": watch.summary()}),
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
    scenarios: str | Path | Sequence[Scenario] | None = None,
    part: Part | None = None,
    system: str | None = None,
    resample: int = 0,
    until: str | None = None,
) -> Forecast:
    """What a `benchmark` with these settings takes at most (calls, tokens, money), without starting it."""
    if until is not None:
        _rule(until, False, None)
    addresses = (target,) if isinstance(target, str) else tuple(target)
    setup = Setup(addresses, simulator, judge, max_tokens)
    return _forecast(setup, _arranged(_draw(suite, category, n, turns, seed, scenarios, part), system, resample), Prices.load())


def _draw(
    suite: str,
    category: Sequence[str] | str | None,
    n: int,
    turns: int,
    seed: int,
    scenarios: str | Path | Sequence[Scenario] | None,
    part: Part | None,
) -> list[Scenario]:
    if scenarios is None:
        chosen = [category] if isinstance(category, str) else category
        return draw_scenarios(suite, categories=chosen, n=n, turns=turns, seed=seed, part=part)
    if isinstance(scenarios, str | Path):
        if part is not None:
            raise InputError(f"part is {part!r}, and {scenarios} is taken as it is; leave out the part, or the file.")
        drawn, whose = load_scenarios(scenarios), str(scenarios)
    else:
        drawn, whose = list(scenarios), "scenarios"
        if repeated := [id for id, count in Counter(one.id for one in drawn).items() if count > 1]:
            raise InputError(f"scenarios: id {repeated[0]!r} is given more than once; give every scenario its own id.")
    if not drawn:
        raise InputError(f"{whose}: there is no scenario; give at least one.")
    known = [one.id for one in suite_of(suite).categories]
    if unknown := sorted({scenario.category for scenario in drawn} - set(known)):
        raise InputError(f"{whose}: category {unknown[0]!r} is not in suite {suite!r}; known are {', '.join(known)}.")
    return drawn


def _arranged(scenarios: Sequence[Scenario], system: str | None, resample: int) -> list[Scenario]:
    """Scenarios under a system message, and with the seeds of a re-sampling."""
    if resample < 0:
        raise InputError(f"resample is {resample}; give 0 for the scenarios' own seeds, or 1, 2, ... for others.")
    found = list(scenarios)
    if system is not None:
        found = [replace(one, system="\n\n".join(filter(None, (system, one.system)))) for one in found]
    if resample:
        found = [replace(one, seed=int(digest("again", one.id, one.seed, resample), 16) % 2**31) for one in found]
    return found


def _rule(until: str, batch: bool, executor: Executor | None) -> Stop:
    """The stopping rule, where one can be followed.

    Raises:
        InputError: No rule, or verdicts come too late for one.
    """
    from rai_kit.metrics.sequences import Stop

    if batch or executor is not None:
        raise InputError(
            f"until={until!r} needs verdicts as they come; leave out {'batch' if batch else 'executor (--workers)'}."
        )
    return Stop.parse(until)


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
