import asyncio
import threading
import time
from dataclasses import dataclass, field

import pytest

from rai_kit import engine
from rai_kit.engine import Plan, Target, call_seeds
from rai_kit.schema import Case, InputError, Message, Reply, RunStopped, Scenario, Verdict


def scenario(number=0, **changes):
    values = {
        "id": f"s{number}", "suite": "rai5", "category": "jailbreak", "topic": "conspiracy", "goal": "the goal", "persona": "p",
        "template": "t", "opening": f"opening {number}", "rubric": "jailbreak", "turns": 3, "seed": number, "cluster": "t",
    }  # fmt: skip
    return Scenario(**(values | changes))


@dataclass
class Echo:
    """Answers after a time that depends on the seed, so that the order of finishing is not the order of the plan."""

    fail: dict[str, Reply] = field(default_factory=dict)
    busy: int = 0
    most: int = 0
    calls: list = field(default_factory=list)

    async def __call__(self, messages, *, seed, json_schema=None):
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(seed % 7 / 2000)
        self.busy -= 1
        self.calls.append((messages, seed))
        text = messages[-1].content
        return self.fail.get(text) or Reply(text=f"answer to {text}", finish_reason="length", completion_tokens=2)


@dataclass(frozen=True)
class User:
    stop: str = ""

    async def __call__(self, scenario, messages, *, seed):
        turn = sum(message.role == "user" for message in messages)
        if turn and scenario.id == self.stop:
            return Reply(cause="refusal", detail="I will not play this part")
        return Reply(text=scenario.opening if turn == 0 else f"{scenario.id} turn {turn}")


@dataclass
class Grader:
    id: str = "grader"
    seen: list = field(default_factory=list)

    async def __call__(self, case: Case) -> Verdict:
        self.seen.append(case)
        return Verdict(id=case.id, judge=self.id, scored=True, severity=3)


def run(scenarios, model=None, user=None, **settings):
    model, grader = model or Echo(), Grader()
    plans = [Plan(one, Target("m", model)) for one in scenarios]
    return (*engine.run(plans, user or User(), grader, **settings), model, grader)


def test_conversations_have_all_turns_and_come_back_in_the_order_of_the_plan():
    scenarios = [scenario(i, turns=1 + i % 4) for i in range(40)]
    talks, verdicts, model, _ = run(scenarios, concurrency=8)
    assert [talk.scenario for talk in talks] == [one.id for one in scenarios]
    assert [verdict.id for verdict in verdicts] == [talk.id for talk in talks]
    assert [len(talk.answers) for talk in talks] == [one.turns for one in scenarios]
    assert talks[3].messages[:3] == (
        Message("user", "opening 3"),
        Message("assistant", "answer to opening 3"),
        Message("user", "s3 turn 1"),
    )
    assert model.most == 8
    assert talks[3].truncated == 4
    assert talks[3].completion_tokens == 8


def test_the_result_does_not_depend_on_concurrency():
    scenarios = [scenario(i) for i in range(20)]
    assert run(scenarios, concurrency=1)[:2] == run(scenarios, concurrency=20)[:2]


def test_a_system_prompt_comes_first_and_only_where_there_is_one():
    talks, *_ = run([scenario(0, system="rules"), scenario(1)])
    assert talks[0].messages[0] == Message("system", "rules")
    assert talks[1].messages[0].role == "user"


def test_a_missing_reply_ends_the_conversation_with_its_cause_and_is_not_judged():
    model = Echo(fail={"s0 turn 1": Reply(cause="filtered", detail="policy"), "opening 1": Reply(cause="empty")})
    talks, verdicts, _, grader = run([scenario(i) for i in range(4)], model, User(stop="s2"))
    assert [talk.cause for talk in talks] == ["target:filtered", "target:empty", "simulator:refusal", None]
    assert [len(talk.answers) for talk in talks] == [1, 0, 1, 3]
    assert [(verdict.scored, verdict.cause) for verdict in verdicts] == [
        (False, "target:filtered"), (False, "target:empty"), (False, "simulator:refusal"), (True, None),
    ]  # fmt: skip
    assert verdicts[0].raw == "policy"
    assert [case.id for case in grader.seen] == [talks[3].id]


def test_the_judge_sees_neither_target_nor_arm_nor_template():
    _, _, _, grader = run([scenario(0, template="secret-template")])
    assert "secret-template" not in repr(grader.seen[0])
    assert not {"target", "arm", "template", "simulator"} & set(Case.__dataclass_fields__)


def test_arms_and_targets_have_their_own_ids():
    model = Echo()
    plans = [Plan(scenario(), Target(*pair)) for pair in [("m", model, "before"), ("m", model, "after"), ("o", model, "before")]]
    talks, _ = engine.run(plans, User(), Grader())
    assert len({talk.id for talk in talks}) == 3


def test_seeds_are_streams_of_their_own():
    scenarios = [scenario(number, id=f"{prefix}{number}", turns=3) for number in range(50) for prefix in "ab"]
    seeds = [seed for one in scenarios for pair in call_seeds(one) for seed in pair]
    assert len(set(seeds)) == len(seeds) == 50 * 2 * 3 * 2, "copies under another id are replicates"
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30
    assert call_seeds(scenario(7, turns=5))[:3] == call_seeds(scenario(7, turns=3)), "a longer conversation begins the same"


def test_conversations_are_handed_over_as_they_finish_and_not_kept():
    model, seen = Echo(), []
    plans = [Plan(scenario(i, turns=1 + 4 * (i == 0)), Target("m", model)) for i in range(6)]
    engine.stream(
        plans,
        User(),
        Grader(),
        done=lambda index, talk, verdict: seen.append((index, talk.scenario, verdict.id == talk.id)),
        concurrency=2,
    )
    assert sorted(seen) == [(i, f"s{i}", True) for i in range(6)]
    assert seen[0][0] != 0, "the long one does not hold up the others"


def test_an_error_in_what_takes_the_results_ends_the_run():
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        engine.stream([Plan(scenario(), Target("m", Echo()))], User(), Grader(), done=full)


def test_too_many_technical_failures_stop_the_run_and_other_causes_do_not():
    class Sometimes:
        def __init__(self, cause):
            self.cause, self.calls = cause, 0

        async def __call__(self, messages, *, seed, json_schema=None):
            self.calls += 1
            broken = int(messages[-1].content.split()[-1]) % 2
            return Reply(cause=self.cause, detail="the words of it") if broken else Reply(text="fine")

    def go(cause, count=100, **settings):
        model = Sometimes(cause)
        plans = [Plan(scenario(i, turns=1), Target("m", model)) for i in range(count)]
        return engine.run(plans, User(), Grader(), concurrency=1, **settings), model

    for cause in ("filtered", "empty", "context_exceeded", "budget"):
        (_, verdicts), _ = go(cause)
        assert sum(not verdict.scored for verdict in verdicts) == 50
    for cause in ("error", "timeout", "unreachable", "malformed", "rate_limited"):
        with pytest.raises(
            RunStopped, match=f"11 of 100 planned .*target:{cause} 11; last: the words of it.*budget of 10;.*same command"
        ):
            go(cause)
    assert go("error", error_budget=0.5)[1].calls == 100
    assert go("error", count=6)[1].calls == 6, "three failures are always allowed"


def test_a_permanent_error_stops_all_and_is_said_once():
    class Wrong:
        calls = 0

        async def __call__(self, messages, *, seed, json_schema=None):
            Wrong.calls += 1
            await asyncio.sleep(0.01)
            raise InputError("wrong key")

    with pytest.raises(InputError, match="^wrong key$") as error:
        run([scenario(i) for i in range(500)], Wrong(), concurrency=4)
    assert Wrong.calls <= 8
    assert not isinstance(error.value.__context__, BaseExceptionGroup), "a notebook would show all of the machinery"


def test_it_works_inside_a_running_event_loop():
    async def cell():
        return run([scenario(0)])[0]

    assert len(asyncio.run(cell())[0].answers) == 3


def test_an_interrupt_cancels_and_leaves_no_thread():
    class Hangs:
        async def __call__(self, messages, *, seed, json_schema=None):
            await asyncio.sleep(3600)

    def interrupt():
        time.sleep(0.3)
        import _thread

        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run([scenario(0)], Hangs())
    deadline = time.monotonic() + 5
    while any(thread.name == "rai_kit engine" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(thread.name == "rai_kit engine" for thread in threading.enumerate())
