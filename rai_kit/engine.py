"""Runs scenarios x targets: simulate, then judge. The only place with concurrency.

Conversations run side by side up to a limit; within one, the calls follow one another. The engine
has an event loop in a thread of its own, so that the same call works in a script and inside a notebook's running loop. How many
calls an endpoint gets at a time is for its `Pace` to find out (`rai_kit.models.pace`).
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rai_kit.pool import bounded
from rai_kit.schema import (
    TECHNICAL,
    Attempt,
    Case,
    Conversation,
    Judge,
    Message,
    Model,
    Reply,
    RunStopped,
    Scenario,
    Simulator,
    Verdict,
    digest,
)

if TYPE_CHECKING:
    from rai_kit.cost import Ledger

T = TypeVar("T")

ERROR_BUDGET = 0.1
"""Share of conversations that may fail for technical reasons before a run stops; never fewer than three conversations."""


@dataclass(frozen=True)
class Target:
    """A model under test, under the name by which it is reported."""

    name: str
    model: Model
    arm: str = "before"


@dataclass(frozen=True)
class Plan:
    """One conversation to be held."""

    scenario: Scenario
    target: Target


def call_seeds(scenario: Scenario) -> list[tuple[int, int]]:
    """31-bit seeds of a conversation's calls, one (target, simulator) pair a turn: a stream of its own for each scenario.

    The scenario's id is part of the stream, so that copies of a scenario under other ids are replicates; a longer conversation begins
    with the same seeds.
    """
    stream = hashlib.shake_128(f"{scenario.id}:{scenario.seed}".encode()).digest(8 * scenario.turns)
    return [(target & 0x7FFFFFFF, simulator & 0x7FFFFFFF) for target, simulator in struct.iter_unpack("<II", stream)]


async def simulate(plan: Plan, simulator: Simulator) -> Conversation:
    """Holds one conversation of `scenario.turns` target turns; it ends early, with the cause, where a reply is missing."""
    scenario, target = plan.scenario, plan.target
    messages: list[Message] = [Message("system", scenario.system)] if scenario.system else []
    cause = detail = None
    truncated = tokens = 0
    for target_seed, simulator_seed in call_seeds(scenario):
        said = await simulator(scenario, messages, seed=simulator_seed)
        if said.cause is not None:
            cause, detail = _cause("simulator", said), said.detail
            break
        messages.append(Message("user", said.text))
        answer = await target.model(messages, seed=target_seed)
        if answer.cause is not None:
            cause, detail = _cause("target", answer), answer.detail
            break
        messages.append(Message("assistant", answer.text))
        truncated += answer.finish_reason == "length"
        tokens += answer.completion_tokens or 0
    return Conversation(
        id=f"c-{digest(scenario.id, scenario.seed, target.name, target.arm, repr(simulator))}",
        scenario=scenario.id,
        target=target.name,
        arm=target.arm,
        simulator=repr(simulator),
        messages=tuple(messages),
        category=scenario.category,
        context=scenario.context,
        cause=cause,
        detail=detail,
        truncated=truncated,
        completion_tokens=tokens,
    )


def _cause(who: str, reply: Reply) -> str:
    return reply.cause if reply.cause and reply.cause.startswith(f"{who}:") else f"{who}:{reply.cause}"


def case_of(conversation: Conversation, scenario: Scenario) -> Case:
    """What a judge gets to see of a conversation."""
    return Case(
        id=conversation.id,
        messages=conversation.messages,
        rubric=scenario.rubric,
        goal=scenario.goal,
        # There it is the way of asking, or gives away what is harmless, which no judge sees.
        topic=None if scenario.suite in ("taxonomy", "over_refusal") else scenario.topic,
        context=scenario.context,
        reference=scenario.reference,
    )


async def judge_conversation(conversation: Conversation, scenario: Scenario, judge: Judge) -> Verdict:
    """Judges one conversation; an incomplete one is unscored with its own cause, and the judge is not asked."""
    if conversation.cause is not None:
        return Verdict.unscored(conversation.id, judge.id, conversation.cause, conversation.detail)
    return await judge(case_of(conversation, scenario))


def stream(
    plans: Sequence[Plan],
    simulator: Simulator,
    judge: Judge,
    *,
    done: Callable[[int, Conversation, Verdict], None],
    wanted: Callable[[int], bool] | None = None,
    concurrency: int = 32,
    ledger: Ledger | None = None,
    error_budget: float = ERROR_BUDGET,
) -> None:
    """Simulates and judges every planned conversation, and hands each over as soon as it is finished.

    Nothing is kept here: memory does not grow with the number of conversations.

    Args:
        plans: What is to be held; plans of one target are best kept together.
        simulator: Who speaks for the user.
        judge: Who judges.
        done: Takes the plan's index, the conversation and its verdict, from the engine's thread, in the order of finishing.
        wanted: Asked with a plan's index when its turn comes; a conversation that is no longer wanted is not held.
        concurrency: Most conversations in flight.
        ledger: Where calls are charged; with a budget, a conversation that it has no room for makes no new call.
        error_budget: Share of the planned conversations that may fail for technical reasons (no answer, no sense in it).

    Raises:
        InputError: A model said what no repetition would mend (wrong key, unknown model, nobody there).
        RunStopped: More conversations failed than the error budget allows.
    """
    errors = _Errors(max(3, error_budget * len(plans)), len(plans))

    async def one(index: int) -> None:
        if wanted is not None and not wanted(index):
            return
        plan = plans[index]
        with ledger.conversation(plan.scenario.category) if ledger is not None else nullcontext():
            conversation = await simulate(plan, simulator)
            verdict = await judge_conversation(conversation, plan.scenario, judge)
        done(index, conversation, verdict)
        errors.add(verdict.cause, verdict.raw)

    parties = [*{id(plan.target.model): plan.target.model for plan in plans}.values(), simulator, judge]
    in_own_loop(closing(parties, bounded(len(plans), one, concurrency)))


def run(
    plans: Sequence[Plan],
    simulator: Simulator,
    judge: Judge,
    *,
    concurrency: int = 32,
    error_budget: float = ERROR_BUDGET,
) -> tuple[list[Conversation], list[Verdict]]:
    """`stream` with everything kept: conversations and verdicts, both in the order of `plans`."""
    kept: dict[int, tuple[Conversation, Verdict]] = {}
    stream(
        plans,
        simulator,
        judge,
        done=lambda index, *pair: kept.__setitem__(index, pair),
        concurrency=concurrency,
        error_budget=error_budget,
    )
    pairs = [kept[index] for index in range(len(plans))]
    return [conversation for conversation, _ in pairs], [verdict for _, verdict in pairs]


def in_rounds(
    propose: Callable[[], Sequence[Callable[[], Coroutine[Any, Any, Attempt]]]],
    parties: Sequence[Any],
    *,
    planned: int,
    concurrency: int = 32,
    ledger: Ledger | None = None,
    error_budget: float = ERROR_BUDGET,
) -> None:
    """Makes attack attempts in rounds: all that are proposed at once, then what is proposed in the light of these, until nothing is.

    Args:
        propose: The attempts of the next round; called when the round before has ended, so that its order of finishing decides nothing.
        parties: Models, simulators, attacks and judges whose connections are closed at the end.
        planned: Attempts in all, for the error budget.
        concurrency: Most attempts in flight.
        ledger: Where calls are charged; an attempt counts as one conversation.
        error_budget: Share of the planned attempts that may fail for technical reasons.

    Raises:
        InputError, RunStopped: As `stream`.
    """
    errors = _Errors(max(3, error_budget * planned), planned)

    async def all_rounds() -> None:
        while works := propose():

            async def one(index: int, works: Sequence[Callable[[], Coroutine[Any, Any, Attempt]]] = works) -> None:
                with ledger.conversation("red_team") if ledger is not None else nullcontext():
                    found = await works[index]()
                errors.add(found.cause, found.detail)

            await bounded(len(works), one, concurrency)

    in_own_loop(closing(parties, all_rounds()))


class _Errors:
    """Counts conversations that failed for technical reasons, and stops the run when they are too many."""

    def __init__(self, allowed: float, planned: int) -> None:
        self.allowed, self.planned = allowed, planned
        self.causes: Counter[str] = Counter()

    def add(self, cause: str | None, words: str | None) -> None:
        if cause is None or cause.rpartition(":")[2] not in TECHNICAL:
            return
        self.causes[cause] += 1
        if self.causes.total() > self.allowed:
            said = ", ".join(f"{cause} {count}" for cause, count in sorted(self.causes.items()))
            raise RunStopped(
                f"{self.causes.total()} of {self.planned} planned conversations failed ({said}; last: {(words or '?')[:300]}), "
                f"more than the error budget of {self.allowed:g}; what is finished is kept: mend the endpoint, "
                "and run the same command again."
            )


def judge_all(
    cases: Sequence[Case],
    judge: Judge,
    *,
    concurrency: int = 32,
    ledger: Ledger | None = None,
    error_budget: float = ERROR_BUDGET,
    progress: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Judges cases, at most `concurrency` at a time; verdicts in the order of the cases. Raises as `stream` does."""
    verdicts: dict[int, Verdict] = {}
    errors = _Errors(max(3, error_budget * len(cases)), len(cases))

    async def one(index: int) -> None:
        with ledger.conversation(cases[index].rubric) if ledger is not None else nullcontext():
            verdicts[index] = await judge(cases[index])
        if progress is not None:
            progress(verdicts[index])
        errors.add(verdicts[index].cause, verdicts[index].raw)

    in_own_loop(closing([judge], bounded(len(cases), one, concurrency)))
    return [verdicts[index] for index in range(len(cases))]


async def closing(parties: Sequence[Any], work: Coroutine[Any, Any, T]) -> T:
    """Awaits work, then closes the connections of the models behind targets, simulator and judge."""
    try:
        return await work
    finally:
        models = [getattr(party, "model", party) for party in parties]
        for model in {id(model): model for model in models if hasattr(model, "close")}.values():
            await model.close()


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in an event loop of its own thread and waits for it; Ctrl-C cancels it first."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def main() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait([task]))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            ended.set()

    # Not `join`: interrupted by Ctrl-C, it takes a running thread for one that has ended (Python before 3.13).
    ended = threading.Event()
    thread = threading.Thread(target=main, name="rai_kit engine", daemon=True)
    thread.start()
    try:
        while not ended.wait(0.5):  # a wait without a limit would not notice Ctrl-C on every platform
            pass
    except BaseException:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        ended.wait(2)
        raise
    return task.result()
