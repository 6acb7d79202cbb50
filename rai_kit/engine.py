"""Runs scenarios x targets: simulate, then judge. The only place with concurrency.

Conversations run side by side up to a limit; within one, the calls follow one another. The engine
has an event loop in a thread of its own, so that the same call works in a script and inside a notebook's running loop. Results
come back in the order of the plan, whatever the order in which they were finished.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rai_kit.schema import Case, Conversation, Judge, Message, Model, Reply, Scenario, Simulator, Verdict, digest

T = TypeVar("T")

TARGET, SIMULATOR = 0, 1


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


def turn_seed(seed: int, turn: int, role: int) -> int:
    """A 31-bit seed for one call: a stream of its own for each conversation, turn and role."""
    return int(np.random.SeedSequence([seed, turn, role]).generate_state(1)[0] >> 1)


async def simulate(plan: Plan, simulator: Simulator) -> Conversation:
    """Holds one conversation of `scenario.turns` target turns; it ends early, with the cause, where a reply is missing."""
    scenario, target = plan.scenario, plan.target
    messages: list[Message] = [Message("system", scenario.system)] if scenario.system else []
    cause = detail = None
    truncated = tokens = 0
    for turn in range(scenario.turns):
        said = await simulator(scenario, messages, seed=turn_seed(scenario.seed, turn, SIMULATOR))
        if said.cause is not None:
            cause, detail = _cause("simulator", said), said.detail
            break
        messages.append(Message("user", said.text))
        answer = await target.model(messages, seed=turn_seed(scenario.seed, turn, TARGET))
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


async def judge_conversation(conversation: Conversation, scenario: Scenario, judge: Judge) -> Verdict:
    """Judges one conversation; an incomplete one is unscored with its own cause, and the judge is not asked."""
    if conversation.cause is not None:
        return Verdict.unscored(conversation.id, judge.id, conversation.cause, conversation.detail)
    case = Case(
        id=conversation.id,
        messages=conversation.messages,
        rubric=scenario.rubric,
        goal=scenario.goal,
        topic=scenario.topic,
        context=scenario.context,
        reference=scenario.reference,
    )
    return await judge(case)


def run(
    plans: Sequence[Plan],
    simulator: Simulator,
    judge: Judge,
    *,
    concurrency: int = 32,
    progress: Callable[[Conversation], None] | None = None,
) -> tuple[list[Conversation], list[Verdict]]:
    """Simulates and judges every planned conversation, at most `concurrency` of them at a time.

    Args:
        plans: What is to be held; plans of one target are best kept together.
        simulator: Who speaks for the user.
        judge: Who judges.
        concurrency: Most conversations in flight.
        progress: Called after each conversation, from the engine's thread.

    Returns:
        Conversations and verdicts, both in the order of `plans`.

    Raises:
        InputError: A model said what no repetition would mend (wrong key, unknown model, nobody there).
    """

    async def one(index: int) -> tuple[Conversation, Verdict]:
        plan = plans[index]
        conversation = await simulate(plan, simulator)
        verdict = await judge_conversation(conversation, plan.scenario, judge)
        if progress is not None:
            progress(conversation)
        return conversation, verdict

    parties = [*(plan.target.model for plan in plans), simulator, judge]
    results = in_own_loop(_closing(parties, _bounded(len(plans), one, concurrency)))
    return [conversation for conversation, _ in results], [verdict for _, verdict in results]


def judge_all(
    cases: Sequence[Case], judge: Judge, *, concurrency: int = 32, progress: Callable[[Verdict], None] | None = None
) -> list[Verdict]:
    """Judges cases, at most `concurrency` at a time; verdicts in the order of the cases."""

    async def one(index: int) -> Verdict:
        verdict = await judge(cases[index])
        if progress is not None:
            progress(verdict)
        return verdict

    return in_own_loop(_closing([judge], _bounded(len(cases), one, concurrency)))


async def _closing(parties: Sequence[Any], work: Coroutine[Any, Any, T]) -> T:
    """Awaits work, then closes the connections of the models behind targets, simulator and judge."""
    try:
        return await work
    finally:
        models = [getattr(party, "model", party) for party in parties]
        for model in {id(model): model for model in models if hasattr(model, "close")}.values():
            await model.close()


async def _bounded(count: int, work: Callable[[int], Coroutine[Any, Any, T]], limit: int) -> list[T]:
    """Results of `work(0) .. work(count - 1)` with at most `limit` at a time; the first error ends all."""
    results: dict[int, T] = {}
    waiting = iter(range(count))

    async def worker() -> None:
        for index in waiting:
            results[index] = await work(index)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, count)):
                group.create_task(worker())
    except BaseExceptionGroup as errors:  # all workers meet the same wrong key: say it once
        raise errors.exceptions[0] from None
    return [results[index] for index in range(count)]


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

    thread = threading.Thread(target=main, name="rai_kit engine", daemon=True)
    thread.start()
    try:
        while thread.is_alive():  # a join without a limit would not notice Ctrl-C on every platform
            thread.join(0.5)
    except BaseException:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        thread.join(2)
        raise
    return task.result()
