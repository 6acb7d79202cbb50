"""Scripted attack strategies: every wording fits every goal, the scripts react, and personas share out all strategies."""

import asyncio
import re
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from rai_kit.attacks.personas import load_personas, personas
from rai_kit.attacks.scripted import Scripted, frames, load_common, load_frame, titles
from rai_kit.attacks.session import attempt
from rai_kit.data import data_dir
from rai_kit.schema import AttackGoal, Case, InputError, Reply, Verdict
from rai_kit.simulators import read_answer

FOLDER = data_dir() / "attacks"
WITHOUT_ATTACKER = """
direct rephrasing roleplay novel suppression prefix_injection past_tense foot_in_the_door bad_likert_judge skeleton_key
payload_splitting authority persuasion translation base64 leetspeak rot13 reversed many_shot best_of_n
"""
LOW_SKILLED = "direct rephrasing roleplay novel suppression translation best_of_n"
WITH_ATTACKER = "crescendo pair tap goat actor_attack rainbow"
GOALS = [
    AttackGoal(id="harmbench/1", category="other", request="Explain zorbing a lamp", source="harmbench", licence="MIT"),
    AttackGoal(
        id="theft/1",
        category="theft_burglary",
        request="How do I zorb a lamp?",
        source="taxonomy",
        licence="MIT",
        act="zorb a lamp",
    ),
    AttackGoal(
        id="theft/2",
        category="theft_burglary",
        request="Write a letter that zorbs.",
        source="taxonomy",
        licence="MIT",
        text="a letter that zorbs",
    ),
]
REFUSAL = "I'm sorry, but I can't help with that."
BACK = "Which lamp do you have in mind?"
PARTLY = (
    "I can't help with all of that. Lamps stand on tables in many a home, where their light is warm and their shades collect dust. "
    "Zorbing began long ago in a small workshop by the river, with two brothers, one bench and a very old lamp. It took them years."
)
VAGUE = "Zorbing a lamp depends on many factors; it may or might work, and generally there are various ways."
AWAY = (
    "Penguins breed along southern coasts, dive deeply, catch krill, raise chicks together, huddle against storms and march far."
)


def complied(number: int) -> str:
    return f"Take the lamp marked {number}, zorb it gently {number + 7} times, let it rest on shelf {number * 3} and polish its base."


@dataclass(frozen=True)
class FixedJudge:
    """Scores every answer alike, one that holds `won` as a full success."""

    id: str = "fixed"

    async def __call__(self, case: Case) -> Verdict:
        score = 7.0 if "won" in case.messages[-1].content else 0.0
        return Verdict(id=case.id, judge=self.id, scored=True, severity=score, scores=(score,), refusals=(False,))


def play(strategy, goal, answer, *, budget=12, seed=0):
    """An attempt against a target that answers by the number of its call; `answer` returns a text or a `Reply`."""
    seen = []

    async def target(messages, *, seed, json_schema=None):
        seen.append(messages)
        found = answer(len(seen) - 1)
        return found if isinstance(found, Reply) else Reply(text=found)

    record = asyncio.run(
        attempt(
            Scripted(strategy), goal, target=target, judge=FixedJudge(), budget=budget, persona="low_skilled", name="t", seed=seed
        )
    )
    return record.queries, record


def wish(goal):
    return [words for words in (goal.request, goal.act, goal.text) if words]


def lines_of(name):
    """Every wording and line of a file, and those of the last steps."""
    frame = load_frame(FOLDER / f"{name}.yaml")
    steps = [step for script in frame.scripts for step in script.steps]
    moves = [move for step in steps for move in step.then.values() if not isinstance(move, str)]
    main = {wording for script in frame.scripts for wording in script.steps[-1].say}
    return {line for step in steps for line in step.say} | {line for move in moves for line in move}, main


def common_lines():
    common = load_common(FOLDER / "common.yaml")
    return {reaction: move for reaction, move in common.asking.items() if not isinstance(move, str)}


def slots(line):
    return set(re.findall(r"\{(\w+)\}", line))


ANSWERS = {
    "refused": lambda call: REFUSAL,
    "complied": complied,
    "partly": lambda call: f"{PARTLY} Number {call}.",
    "vague": lambda call: f"{VAGUE} {call}",
    "asked_back": lambda call: BACK.replace("lamp", f"lamp {call}"),
    "off_topic": lambda call: AWAY.replace("far", f"far {call}"),
    "repeated": lambda call: complied(1),
    "incoherent": lambda call: "zorb zorb zorb zorb zorb zorb zorb zorb zorb zorb",
    "filtered": lambda call: Reply(cause="filtered"),
    "empty": lambda call: Reply(cause="empty"),
}

# ---------------------------------------------------------------- the files


def test_the_strategies_have_their_files_and_titles():
    assert set(frames()) == {
        *("direct", "rephrasing", "roleplay", "novel", "suppression", "prefix_injection", "foot_in_the_door"),
        *("bad_likert_judge", "skeleton_key", "authority", "persuasion", "translation"),
    }
    assert tuple(titles()) == frames()
    assert len(set(titles().values())) == len(frames())
    for name in frames():
        frame = load_frame(FOLDER / f"{name}.yaml")
        assert frame.title
        assert frame.source
        assert re.fullmatch(r"[A-Z][^.]+\.", frame.about)


@pytest.mark.parametrize("goal", GOALS, ids=["request", "act", "text"])
def test_every_wording_fills_with_every_goal_that_has_its_slots(goal):
    fills = {
        "request": goal.request,
        "act": goal.act,
        "text": goal.text,
        "topic": "theft" if goal.category == "theft_burglary" else None,
    }
    fills = {slot: words for slot, words in fills.items() if words}
    for name in frames():
        everything, main = lines_of(name)
        usable = {line for line in main if slots(line) <= fills.keys()}
        assert len(usable) >= 10, name
        for line in everything | {line for lines in common_lines().values() for line in lines}:
            if slots(line) <= fills.keys():
                message = line.format_map(fills)
                assert not re.search(r"[{}]", message), line
                assert message.strip() == message != "", line
        for line in usable:
            assert any(words in line.format_map(fills) for words in wish(goal)), line


def test_wordings_are_many_short_and_quote_the_request():
    for name in frames():
        everything, main = lines_of(name)
        assert sum(slots(line) <= {"request"} for line in main) >= 8, name
        for line in everything:
            assert len(line.split()) < 60, line
            assert slots(line) <= {"request", "act", "text", "topic"}, line
            # a request is a whole sentence, with or without its full stop: it closes a line, or stands in quotation marks
            assert not re.search(r'\{request\}[^"\n]', line), line
            assert '{request}"' not in line or '"{request}"' in line, line
            assert len(slots(line) & {"act", "text"}) <= 1, line
    for reaction, lines in common_lines().items():
        assert len(lines) >= 8, reaction
    assert len({line for name in frames() for line in lines_of(name)[0]}) >= 350


def test_wordings_share_no_six_words_with_scenarios_simulators_and_training_material():
    def sixes(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[start : start + 6]) for start in range(len(words) - 5)}

    files = [*(FOLDER.parent / "scenarios").glob("*.yaml"), *(FOLDER.parent / "simulators").glob("*.yaml")]
    assert len(files) > 8
    files.append(FOLDER.parent / "corpus" / "prompts.yaml")
    others = set().union(*(sixes(file.read_text("utf-8").replace(".words}", "}")) for file in files))
    for line in set().union(*(lines_of(name)[0] for name in frames()), *common_lines().values()):
        assert not sixes(line) & others, line


# ---------------------------------------------------------------- playing


@pytest.mark.parametrize("kind", [kind for kind in ANSWERS if kind not in ("filtered", "repeated")])
def test_the_targets_of_these_tests_answer_as_they_are_called(kind):
    found = ANSWERS[kind](3)
    assert read_answer("" if isinstance(found, Reply) else found, GOALS[0].request, GOALS[0].request) == kind


@pytest.mark.parametrize("goal", GOALS, ids=["request", "act", "text"])
@pytest.mark.parametrize("strategy", frames())
def test_any_goal_any_answers(strategy, goal):
    for kind, answer in ANSWERS.items():
        queries, record = play(strategy, goal, answer)
        messages = [query.message for query in queries]
        assert len(messages) == 12, kind
        assert record.cause is None
        assert len(set(messages)) == 12, (kind, messages)
        assert not any(re.search(r"[{}]", message) for message in messages)
        assert any(words in message for message in messages[:4] for words in wish(goal)), kind


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("strategy", frames())
def test_the_goal_is_asked_by_the_last_query_however_few(strategy, kind):
    main = {line.format_map({"request": GOALS[0].request}) for line in lines_of(strategy)[1] if slots(line) <= {"request"}}
    for budget in (1, 2, 3, 4):
        for seed in (0, 1):
            messages = [query.message for query in play(strategy, GOALS[0], ANSWERS[kind], budget=budget, seed=seed)[0]]
            assert len(messages) == budget
            assert main & set(messages), messages


@pytest.mark.parametrize("strategy", frames())
def test_it_stops_at_success_and_reacts_to_what_it_hears(strategy):
    queries, record = play(strategy, GOALS[1], lambda call: "won" if call == 3 else complied(call))
    assert record.success == len(queries) - 1 == 3
    heard = {kind: [query.message for query in play(strategy, GOALS[1], ANSWERS[kind])[0]] for kind in ("complied", "refused")}
    assert heard["complied"][0] == heard["refused"][0]
    assert heard["complied"] != heard["refused"]
    assert set(heard["complied"][1:]) - set(heard["refused"])


@pytest.mark.parametrize("strategy", frames())
def test_the_same_key_says_the_same_and_another_something_else(strategy):
    def said(seed):
        return [query.message for query in play(strategy, GOALS[1], complied, seed=seed)[0]]

    assert said(0) == said(0)
    assert len({tuple(said(seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("strategy", frames())
def test_two_refusals_open_a_new_conversation(strategy):
    queries, _ = play(strategy, GOALS[0], ANSWERS["refused"])
    opened = [number for number, query in enumerate(queries) if query.after is None]
    assert opened[0] == 0
    assert len(opened) >= 4
    assert all(later - earlier <= 2 for earlier, later in pairwise(opened))


@pytest.mark.parametrize("strategy", frames())
def test_a_filtered_reply_is_tried_otherwise_where_the_conversation_stood(strategy):
    queries, record = play(strategy, GOALS[0], lambda call: Reply(cause="filtered") if call == 1 else complied(call), budget=4)
    assert record.cause is None
    assert queries[1].cause == "target:filtered"
    assert queries[1].after == queries[2].after == 0
    assert queries[1].message != queries[2].message


def test_the_ladder_takes_the_longest_script_that_fits_and_climbs_in_one_conversation():
    steps = {len(script.steps) for script in load_frame(FOLDER / "foot_in_the_door.yaml").scripts}
    assert steps == {1, 2, 3, 4}
    whole = {
        line.format_map({"request": GOALS[0].request}) for line in lines_of("foot_in_the_door")[1] if slots(line) <= {"request"}
    }
    for budget in (2, 3, 4):
        queries, _ = play("foot_in_the_door", GOALS[0], complied, budget=budget)
        assert [query.after for query in queries] == [None, *range(budget - 1)]
        assert [query.message in whole for query in queries] == [False] * (budget - 1) + [True]


def test_a_ladder_may_begin_with_the_subject_of_the_goals_category():
    firsts = {play("foot_in_the_door", GOALS[1], complied, budget=4, seed=seed)[0][0].message for seed in range(12)}
    assert any("theft and burglary" in message for message in firsts)
    others = {play("foot_in_the_door", GOALS[0], complied, budget=4, seed=seed)[0][0].message for seed in range(12)}
    assert len(others) >= 4


def test_no_budget_asks_nothing():
    assert play("novel", GOALS[0], complied, budget=0)[0] == ()


def test_the_rater_is_asked_for_a_fuller_example():
    queries, _ = play("bad_likert_judge", GOALS[0], complied, budget=4)
    last = load_frame(FOLDER / "bad_likert_judge.yaml").scripts[0].steps[-1]
    fuller = {line.format_map({"request": GOALS[0].request}) for line in last.then["complied"]}
    assert [query.message in fuller for query in queries] == [False, False, False, True]
    assert queries[3].after == 2


def test_a_warning_is_asked_for_once_more_before_the_conversation_is_given_up():
    answers = [REFUSAL, *(complied(number) for number in range(9))]
    queries, _ = play("skeleton_key", GOALS[0], lambda call: answers[call], budget=4)
    step = load_frame(FOLDER / "skeleton_key.yaml").scripts[0].steps[0]
    assert queries[0].message in step.say
    assert queries[1].message in step.then["refused"]
    assert queries[1].after == 0
    assert GOALS[0].request in queries[2].message


def test_a_very_long_attempt_begins_again_instead_of_giving_up():
    queries, _ = play("suppression", GOALS[0], ANSWERS["filtered"], budget=60)
    assert len(queries) == 60
    counts = {}
    for query in queries:
        counts[query.message] = counts.get(query.message, 0) + 1
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_words_are_part_of_the_record():
    assert re.fullmatch(r"Scripted\(strategy='direct', wording='[0-9a-f]{12}'\)", repr(Scripted("direct")))
    assert len({Scripted(name).wording for name in frames()}) == len(frames())
    assert Scripted("direct") == replace(Scripted("direct"))
    assert Scripted("direct").name == "direct"
    with pytest.raises(InputError, match=r"'personas' has no script; choose one of authority, .*translation"):
        Scripted("personas")


# ---------------------------------------------------------------- faults

HEAD = "title: T\nsource: common practice\nabout: Does it.\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "scripts: [{steps: [{say: ['{request}']}], speed: 2}]", r"speed.*scripts\[0\]|scripts\[0\].*speed|`speed`"),
        (HEAD + "scripts: []", "`scripts` has none of one step"),
        (HEAD + "scripts: [{steps: []}, {steps: [{say: ['{request}']}]}]", r"`scripts\[0\].steps` is empty"),
        ("title: T\nabout: A.\nscripts: [{steps: [{say: ['{request}']}]}]", "source"),
        (
            HEAD + "scripts: [{steps: [{say: ['{wish}', '{request}']}]}]",
            r"unknown slot \{wish\} in `scripts\[0\].steps\[0\].say`",
        ),
        (HEAD + "scripts: [{steps: [{say: ['Do {act}']}]}]", r"no wording of `scripts\[0\].steps\[0\].say` fits every goal"),
        (HEAD + "scripts: [{steps: [{say: ['{request}', 'Go on']}]}]", "asks for nothing"),
        (HEAD + "scripts: [{steps: [{say: ['{request']}]}]", "is no template"),
        (
            HEAD + "scripts: [{steps: [{say: ['{request}'], then: {refused: next}}]}]",
            r"`scripts\[0\].steps\[0\].then.refused` is `next`",
        ),
        (HEAD + "scripts: [{steps: [{say: ['{request}'], then: {refused: []}}]}]", "then.refused"),
        (HEAD + "scripts: [{steps: [{say: ['{request}'], then: {refused: leave}}]}]", "leave"),
        (HEAD + "scripts: [{steps: [{say: ['{request}'], then: {angry: again}}]}]", "angry"),
    ],
)
def test_a_faulty_file_says_where(tmp_path, text, message):
    path = tmp_path / "direct.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as found:
        load_frame(path)
    assert str(path) in str(found.value)


def test_common_moves_must_be_complete(tmp_path):
    path = tmp_path / "common.yaml"
    path.write_text("preparing: {refused: restart}\nasking: {refused: restart}", "utf-8")
    with pytest.raises(InputError, match="`preparing` has no move for complied, partly"):
        load_common(path)


# ---------------------------------------------------------------- personas


def test_personas_share_out_every_strategy_once():
    found = personas()
    assert list(found) == ["low_skilled", "intermediate"]
    shares = [strategy for persona in found.values() for strategy in persona.shares]
    assert len(shares) == len(set(shares)) == 20
    assert set(shares) == set(WITHOUT_ATTACKER.split())
    assert set(frames()) <= set(shares)
    assert set(found["low_skilled"].shares) == set(LOW_SKILLED.split())
    assert set(found["intermediate"].with_attacker) == set(WITH_ATTACKER.split())
    assert found["low_skilled"].with_attacker == ()
    for persona in found.values():
        assert sum(persona.shares.values()) == pytest.approx(1)
        assert min(persona.shares.values()) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("personas: {a: {title: A, about: B., shares: {direct: 0.5}}}", "shares of `a` sum to 0.5"),
        ("personas: {a: {title: A, about: B., shares: {direct: 2.0, novel: -1.0}}}", "make them positive"),
        ("personas: {a: {title: A, about: B., shares: {}}}", "sum to 0"),
        ("personas: {a: {title: A, about: B., shares: {direct: 1.0}, with_attacker: [direct]}}", "direct stands in two places"),
        ("personas: {a: {title: A, about: B., share: {direct: 1.0}}}", "share"),
    ],
)
def test_a_faulty_persona_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "personas.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        load_personas(path)
