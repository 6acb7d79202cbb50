"""Properties of the journal: keys, histories of puts, kills and merges against a dictionary, and resuming with any calls already made."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mock_endpoint import MockEndpoint

from rai_kit import engine
from rai_kit.data import draw_scenarios
from rai_kit.engine import Plan, Target
from rai_kit.journal import Journal, call_key
from rai_kit.judges import LLMJudge
from rai_kit.models import ChatModel
from rai_kit.schema import InputError, Reply
from rai_kit.simulators import LLMUser

swift = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Keys

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
requests = st.fixed_dictionaries(
    {
        "endpoint": texts,
        "model": texts,
        "messages": st.lists(st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts})),
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 10**6),
        "seed": st.integers(),
        "json_schema": st.none() | st.dictionaries(texts, values, max_size=3),
    }
)


def turned_round(value):
    """The same value with every dictionary in the opposite order."""
    if isinstance(value, dict):
        return {name: turned_round(inner) for name, inner in reversed(value.items())}
    return [turned_round(inner) for inner in value] if isinstance(value, list) else value


def places(value, path=()):
    """Paths to all parts of a request."""
    yield path
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, name))


def changed(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def exact(value):
    """What distinguishes two values, also 1 from 1.0 and from true."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


@swift
@given(requests)
def test_the_order_of_names_does_not_shape_the_key(request):
    assert call_key(turned_round(request)) == call_key(request)
    assert call_key(json.loads(json.dumps(request))) == call_key(request)


@swift
@given(st.data(), requests, values)
def test_any_change_of_any_part_changes_the_key(data, request, new):
    path = data.draw(st.sampled_from([path for path in places(request) if path]))
    other = changed(request, path, new)
    assert (call_key(other) == call_key(request)) == (exact(other) == exact(request))


@swift
@given(requests, st.integers(), st.integers())
def test_replicates_have_keys_of_their_own(request, first, second):
    keys = [call_key(request | {"seed": seed}) for seed in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)


@swift
@given(requests, texts, texts)
def test_words_do_not_move_between_messages(request, first, second):
    one = [{"role": "user", "content": first + second}, {"role": "user", "content": ""}]
    two = [{"role": "user", "content": first}, {"role": "user", "content": second}]
    same = first + second == first
    assert (call_key(request | {"messages": one}) == call_key(request | {"messages": two})) == same


@pytest.mark.parametrize("name", ["endpoint", "model", "messages"])
def test_half_a_character_is_told(name):
    """Such a text comes of names of files and of other programs' output; no JSON and no endpoint can take it."""
    words = "cut off \ud83d"
    with pytest.raises(InputError, match="surrogate"):
        call_key({name: [{"role": "user", "content": words}] if name == "messages" else words})


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), -0.5])
def test_a_temperature_that_is_none_is_told(temperature):
    """In JSON they would all be null, and have one key."""
    with pytest.raises(InputError, match="temperature"):
        ChatModel("m@http://127.0.0.1:9/v1", temperature=temperature)


@pytest.mark.parametrize("odd", [{1: 2}, {"a": {2: 3}}, object()])
def test_what_is_no_json_has_no_key(odd):
    with pytest.raises(TypeError):
        call_key({"json_schema": odd})


# A journal and its model


counts = st.none() | st.integers(0, 10**12)
replies = st.builds(Reply, text=texts.filter(bool), prompt_tokens=counts, finish_reason=st.sampled_from(["stop", "length"]))
events = st.builds(Reply, cause=st.sampled_from(["filtered", "empty", "error", "timeout", "budget"]), detail=st.none() | texts)
KEYS = ["a", "b", "c", "d", "ü", "'; --"]
keys = st.sampled_from(KEYS)
names = st.sampled_from(["one", "two", "three"])


class Journals(RuleBasedStateMachine):
    """Three journals that are written to, killed, opened again and merged, and the dictionaries that they should equal."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="journals-"))
        self.generation = 0
        self.open = {name: Journal(self.folder / f"{name}.sqlite") for name in ("one", "two", "three")}
        self.calls = {name: {} for name in self.open}
        self.events = {name: Counter() for name in self.open}

    def teardown(self):
        for journal in getattr(self, "open", {}).values():
            journal.close()
        with contextlib.suppress(AttributeError):
            shutil.rmtree(self.folder)

    @rule(name=names, key=keys, reply=replies)
    def answer(self, name, key, reply):
        wins = self.calls[name].setdefault(key, reply)
        assert self.open[name].put(key, {"key": key}, reply) == wins

    @rule(name=names, key=keys, reply=events)
    def fail(self, name, key, reply):
        assert self.open[name].put(key, {"key": key}, reply) == reply
        self.events[name][key, reply.cause] += 1

    @rule(name=names)
    def close(self, name):
        self.open[name].close()

    @rule(name=names)
    def reopen(self, name):
        self.open[name].close()
        self.open[name] = Journal(self.open[name].path)

    @rule(name=names)
    def kill(self, name):
        """What a killed process leaves: the files as they are, with no chance to close."""
        self.generation += 1
        old, folder = self.open[name], self.folder / str(self.generation)
        folder.mkdir()
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{old.path}{suffix}", folder)
        old.close()
        self.open[name] = Journal(folder / old.path.name)

    @rule(into=names, source=names)
    def merge(self, into, source):
        path = self.open[source].path
        if into == source or not path.exists():
            return
        new = self.calls[source].keys() - self.calls[into].keys()
        assert self.open[into].merge(path) == len(new)
        self.calls[into] = self.calls[source] | self.calls[into]
        self.events[into] |= self.events[source]  # the union: an event that is here already is the same event

    @rule(name=names, other=names)
    def look_up_elsewhere(self, name, other):
        self.open[other].close()  # a journal that nobody writes to
        both = Journal(self.open[name].path, also=self.open[other].path)
        expected = self.calls[other] | self.calls[name]
        assert {key: both.get(key) for key in expected} == expected
        assert both.get("unknown") is None
        both.close()

    @invariant()
    def answers_are_those_of_the_model(self):
        for name, journal in getattr(self, "open", {}).items():
            calls = self.calls[name]
            assert {key: journal.get(key) for key in KEYS} == {key: calls.get(key) for key in KEYS}
            assert len(journal) == len(calls)

    @invariant()
    def events_are_kept_and_are_no_answers(self):
        for name, journal in getattr(self, "open", {}).items():
            if journal.path.exists() and journal.path.stat().st_size:
                connection = sqlite3.connect(journal.path)
                rows = connection.execute("SELECT key, reply FROM events").fetchall()
                connection.close()
                found = {(key, json.loads(reply)["cause"]) for key, reply in rows}
                assert found == self.events[name].keys()


TestJournals = Journals.TestCase
TestJournals.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


# Merging

halves = st.lists(st.tuples(keys, texts.filter(bool)), max_size=8)


def journal_of(folder, name, puts):
    journal = Journal(folder / name)
    for key, text in puts:
        journal.put(key, {"key": key}, Reply(text=text))
    journal.put("no answer", {}, Reply(cause="error", detail=name))
    journal.close()
    return journal


def content(journal):
    """The calls' keys, and the events."""
    connection = sqlite3.connect(journal.path)
    calls = {key for (key,) in connection.execute("SELECT key FROM calls")}
    events = Counter(connection.execute("SELECT key, reply, at FROM events").fetchall())
    connection.close()
    return calls, events


@settings(swift, max_examples=12)
@given(halves, halves, halves)
def test_merging_is_idempotent_commutative_and_associative(first, second, third):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parts = [journal_of(folder, str(number), puts) for number, puts in enumerate((first, second, third))]

        def merged(name, order):
            whole = Journal(folder / name)
            for part in order:
                whole.merge(part.path)
            whole.close()
            return whole

        expected = {key for puts in (first, second, third) for key, _ in puts}
        results = [
            merged("in order", parts),
            merged("the other way", parts[::-1]),
            merged("twice", [*parts, *parts[1:]]),
            merged("pairs", [merged("a pair", parts[:2]), parts[2]]),
            merged("other pairs", [parts[0], merged("another pair", parts[1:])]),
        ]
        found = [content(result) for result in results]
        assert [calls for calls, _ in found] == [expected] * 5
        assert [events for _, events in found] == [found[0][1]] * 5
        assert sum(found[0][1].values()) == 3
        # Where two tell of one call, who is merged first is believed.
        told = [dict(reversed(puts)) for puts in (first, second, third)]
        for key in expected:
            assert results[0].get(key).text == next(answers[key] for answers in told if key in answers)
        for result in results:
            result.close()


# Resuming


@pytest.fixture(scope="module")
def mock():
    with MockEndpoint() as mock:
        yield mock


SCENARIOS = {
    turns: draw_scenarios("rai5", categories=["jailbreak", "grounding"], n=3, turns=turns, seed=turns) for turns in (1, 2, 3)
}


def hold(mock, journal, scenarios, concurrency):
    """Conversations and verdicts of a run of which all parties are models at the endpoint, and the calls that were made."""
    before = len(mock.modes)
    targets = [Target(name, ChatModel(f"{name}@{mock.url}", journal=journal)) for name in ("first", "second")]
    user = LLMUser(ChatModel(f"simulator@{mock.url}", journal=journal))
    judge = LLMJudge(ChatModel(f"judge@{mock.url}", journal=journal, max_tokens=500), name="judge")
    plans = [Plan(scenario, target) for target in targets for scenario in scenarios]
    found = engine.run(plans, user, judge, concurrency=concurrency)
    return found, Counter(json.dumps(body, sort_keys=True) for body in mock.requests[before:])


@settings(swift, max_examples=15)
@given(data=st.data(), turns=st.sampled_from([1, 2, 3]), count=st.integers(1, 6), concurrency=st.integers(1, 8))
def test_a_run_makes_exactly_the_calls_that_are_missing(mock, data, turns, count, concurrency):
    scenarios = SCENARIOS[turns][:count]
    with tempfile.TemporaryDirectory() as folder:
        whole = Journal(Path(folder) / "whole.sqlite")
        expected, all_calls = hold(mock, whole, scenarios, 4)
        whole.close()
        assert set(all_calls.values()) == {1}, "no call is made twice"
        connection = sqlite3.connect(whole.path)
        rows = connection.execute("SELECT key, request, reply FROM calls ORDER BY key").fetchall()
        connection.close()
        assert len(rows) == all_calls.total()
        there = data.draw(st.sets(st.sampled_from(range(len(rows)))), "rows that are in the journal already")
        part = Journal(Path(folder) / "part.sqlite")
        for index in there:
            key, request, reply = rows[index]
            part.put(key, json.loads(request), Reply(**json.loads(reply)))
            assert key == call_key(json.loads(request)), "a key can be computed again from its row"
        part.put(rows[0][0], {}, Reply(cause="timeout"))  # an event is no answer
        found, made = hold(mock, part, scenarios, concurrency)
        assert found == expected
        assert made.total() == len(rows) - len(there)
        assert not made - all_calls, "nothing else is asked, and nothing twice"
        assert len(part) == len(rows)
        assert hold(mock, part, scenarios, concurrency) == (expected, Counter())
        part.close()
