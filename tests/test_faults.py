"""What endpoints do wrong, against one model and against whole runs: what passes leaves no trace, what does not says so."""

import asyncio
import json
from pathlib import Path

import pytest
from mock_endpoint import MockEndpoint

from rai_kit import measure
from rai_kit.models import ChatModel
from rai_kit.schema import InputError, Message, RunStopped

TABLES = ("scenarios.jsonl", "conversations.jsonl", "verdicts.jsonl", "summary.json")
CALLS = 40 * (2 + 3 + 1)
"""Of `play`: the first of three messages of a user needs no call."""
PASSING = (
    "429", "429-ms", "429-date", "429-bare", "500", "502", "503", "reset", "reset-mid", "hang", "trickle",
    "bad-json", "missing-choices", "missing-message", "wrong-type",
)  # fmt: skip
PERMANENT = {"401": "refused the key", "404-model": "knows no such model", "429-quota": "quota"}


@pytest.fixture
def swift(monkeypatch):
    """No waiting beyond what the endpoint itself asks for."""
    monkeypatch.setattr("rai_kit.models.endpoint.backoff", lambda attempt, random: 0.01)
    monkeypatch.setattr("rai_kit.models.pace.LONGEST_PAUSE", 0.05)


def ask(mock, *texts, **settings):
    """Replies of one model to several questions, one after the other."""

    async def work():
        model = ChatModel(f"target@{mock.url}", **({"timeout": 0.5} | settings))
        try:
            return [await model([Message("user", text)], seed=1) for text in texts]
        finally:
            await model.close()

    return asyncio.run(work())


def play(mock, out, **settings):
    """A benchmark of which every party is a model at the endpoint."""
    parties = {role: f"{role}@{mock.url}" for role in ("simulator", "judge")}
    defaults = {"category": "jailbreak", "n": 40, "turns": 3, "seed": 5, "concurrency": 16, "timeout": 1.5}
    return measure.benchmark(f"target@{mock.url}", out=out, **(parties | defaults | settings))


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


# One model


@pytest.mark.parametrize("mode", PASSING)
@pytest.mark.usefixtures("swift")
def test_a_passing_fault_is_tried_again(mode):
    with MockEndpoint() as mock:
        (good,) = ask(mock, "Hi")
        mock.reset()
        mock.change(faults=[mode, mode])
        assert ask(mock, "Hi") == [good]
        assert mock.modes == [mode, mode, "good"]
        assert mock.stats().duplicates == 0


@pytest.mark.parametrize(
    ("mode", "asked", "least"), [("429", 0.3, 0.3), ("429-ms", 0.3, 0.3), ("503", 0.3, 0.3), ("429-date", 1.2, 0.2)]
)
@pytest.mark.usefixtures("swift")
def test_the_endpoint_is_left_alone_for_as_long_as_it_asks(mode, asked, least):
    with MockEndpoint(faults=[mode], retry_after=asked) as mock:
        ask(mock, "Hi")
        assert mock.stats().t_last - mock.stats().t_first >= least * 0.99


@pytest.mark.usefixtures("swift")
def test_a_longer_pause_than_anyone_waits_for_stops_at_once():
    with MockEndpoint(faults={"429": 1.0}, retry_after=86_400) as mock:
        with pytest.raises(InputError, match="86400 s"):
            ask(mock, "Hi")
        assert mock.stats().total == 1


@pytest.mark.parametrize("mode", PERMANENT)
def test_a_permanent_error_is_one_sentence_without_the_key(mode, monkeypatch):
    monkeypatch.setenv("RAI_KIT_API_KEY", "sesame")
    with MockEndpoint(faults={mode: 1.0}) as mock:
        with pytest.raises(InputError, match=PERMANENT[mode]) as error:
            ask(mock, "Hi")
        assert mock.stats().total == 1
    assert "sesame" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "cause"),
    [
        ("content-filter", "filtered"),
        ("content-filter-azure", "filtered"),
        ("content-filter-finish", "filtered"),
        ("empty-choices", "empty"),
        ("empty-text", "empty"),
    ],
)
def test_no_usable_answer_is_a_cause_and_not_asked_for_again(mode, cause):
    with MockEndpoint(faults={mode: 1.0}) as mock:
        (reply,) = ask(mock, "Hi")
        assert (reply.cause, reply.text) == (cause, "")
        assert mock.stats().total == 1


def test_one_conversation_too_long_changes_nothing_for_the_others():
    with MockEndpoint(faults=lambda body, attempt: "context" if body["messages"][0]["content"] == "long" else None) as mock:
        replies = ask(mock, "a", "long", "b")
        assert [reply.cause for reply in replies] == [None, "context_exceeded", None]
        assert [request["max_tokens"] for request in (mock.requests[0], mock.requests[-1])] == [96, 96]


def test_a_cut_answer_and_one_without_counts_are_answers():
    with MockEndpoint() as mock:
        good, other = ask(mock, "Hi", "Ho")
        mock.reset()
        mock.change(faults=["length", "no-usage"])
        cut, uncounted = ask(mock, "Hi", "Ho")
    assert (cut.text, cut.finish_reason, cut.cause) == (good.text, "length", None)
    assert (uncounted.text, uncounted.prompt_tokens, uncounted.completion_tokens) == (other.text, None, None)


@pytest.mark.parametrize(
    ("mode", "cause"),
    [("500", "error"), ("429", "rate_limited"), ("hang", "timeout"), ("reset", "unreachable"), ("bad-json", "malformed")],
)
@pytest.mark.usefixtures("swift")
def test_a_fault_that_stays_is_given_up_with_its_cause(mode, cause):
    with MockEndpoint(faults=lambda body, attempt: mode if body["messages"][0]["content"] == "bad" else None) as mock:
        good, bad, after = ask(mock, "good", "bad", "after", timeout=0.05)
        assert (good.cause, bad.cause, after.cause) == (None, cause, None)
        assert 3 <= mock.modes.count(mode) <= (100 if mode == "429" else 10)


@pytest.mark.usefixtures("swift")
def test_a_restart_of_the_endpoint_is_waited_for():
    with MockEndpoint(faults=[None, "crash"], crash_seconds=0.2) as mock:
        first, second, third = ask(mock, "a", "b", "c")
        assert [reply.cause for reply in (first, second, third)] == [None, None, None]


# Whole runs


@pytest.fixture(scope="module")
def endpoint_and_tables(tmp_path_factory):
    """An endpoint with the tables of a run on which nothing went wrong; the port is part of the models' names."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with MockEndpoint(latency=0.002, retry_after=0.01) as mock:
        play(mock, folder)
        assert (mock.stats().modes, mock.stats().duplicates) == ({"good": CALLS}, 0)
        yield mock, tables(folder)


@pytest.fixture
def undisturbed(endpoint_and_tables):
    mock, expected = endpoint_and_tables
    mock.reset()
    before = mock.settings
    yield mock, expected
    mock.settings = before


@pytest.mark.parametrize("concurrency", [4, 64])
@pytest.mark.usefixtures("swift")
def test_with_faults_of_all_kinds_a_run_is_complete_and_tells_the_same(undisturbed, tmp_path, concurrency):
    mock, expected = undisturbed
    mock.change(faults={"500": 0.05, "429": 0.05, "hang": 0.01, "bad-json": 0.01}, seed=3)
    found = play(mock, tmp_path / "run", concurrency=concurrency)
    assert found.run["counts"] == {"planned": 40, "reached": 40, "scored": 40, "unscored": {}}
    assert tables(tmp_path / "run") == expected
    stats = mock.stats()
    assert min(stats.modes["500"], stats.modes["429"], stats.modes["hang"] + stats.modes["bad-json"]) > 0
    assert stats.duplicates == 0
    assert stats.modes["good"] == CALLS


@pytest.mark.usefixtures("swift")
def test_rarer_faults_do_not_show_either(undisturbed, tmp_path):
    mock, expected = undisturbed
    modes = ("502", "503", "reset", "reset-mid", "trickle", "missing-choices", "missing-message", "wrong-type", "429-bare")
    mock.change(faults=dict.fromkeys(modes, 0.02), seed=1)
    play(mock, tmp_path / "run")
    assert tables(tmp_path / "run") == expected
    assert sum(mock.stats().modes[mode] > 0 for mode in modes) > 6
    assert mock.stats().duplicates == 0


@pytest.mark.parametrize("mode", PERMANENT)
def test_a_permanent_error_stops_the_run_at_once(mode, tmp_path):
    with MockEndpoint(faults={mode: 1.0}, latency=0.01) as mock:
        with pytest.raises(InputError, match=PERMANENT[mode]):
            play(mock, tmp_path / "run", n=200)
        assert mock.stats().total <= 16
    assert not [name for name in TABLES if (tmp_path / "run" / name).exists()]


def test_a_key_that_expires_stops_the_run_and_the_next_one_goes_on_from_there(undisturbed, tmp_path):
    mock, expected = undisturbed
    mock.change(expired=50)
    with pytest.raises(InputError, match="refused the key"):
        play(mock, tmp_path / "run")
    assert mock.stats().total < 50 + 16
    mock.change(expired=None)
    play(mock, tmp_path / "run")
    assert tables(tmp_path / "run") == expected
    assert mock.stats().duplicates == 0
    assert mock.stats().modes["good"] == CALLS


@pytest.mark.usefixtures("swift")
def test_the_run_finds_what_an_overloaded_endpoint_takes(tmp_path):
    with MockEndpoint(latency=0.02, overload=8, retry_after=0.02) as mock:
        found = play(mock, tmp_path / "run", n=90, turns=2, concurrency=64)
        assert found.run["counts"]["scored"] == 90
        stats, later = mock.stats(), mock.modes[len(mock.modes) // 2 :]
    assert stats.modes["good"] == 90 * 4
    assert stats.duplicates == 0
    assert stats.max_in_flight == 8
    assert stats.modes["overload"] < stats.modes["good"]
    assert later.count("overload") < 0.3 * len(later)


@pytest.mark.parametrize(
    "settings",
    [{"faults": [None] * 30 + ["crash"], "crash_seconds": 0.4}, {"down": (30, 70)}, {"down": (30, 70), "down_mode": "reset"}],
)
@pytest.mark.usefixtures("swift")
def test_an_endpoint_that_is_down_for_a_while_is_waited_for(undisturbed, tmp_path, settings):
    mock, expected = undisturbed
    mock.change(**settings)
    found = play(mock, tmp_path / "run")
    assert found.run["counts"]["scored"] == 40
    assert tables(tmp_path / "run") == expected


@pytest.mark.timeout(20)
def test_a_restart_in_the_middle_of_many_calls_costs_a_short_pause_not_the_longest(tmp_path):
    with MockEndpoint(latency=0.02, faults=[None] * 50 + ["crash"], crash_seconds=0.3) as mock:
        found = play(mock, tmp_path / "run", concurrency=32)
        assert found.run["counts"]["scored"] == 40


@pytest.mark.parametrize("mode", ["reset", "503", "hang"])
@pytest.mark.usefixtures("swift")
def test_an_endpoint_that_stays_down_is_one_error_after_few_requests(tmp_path, monkeypatch, mode):
    monkeypatch.setattr("rai_kit.models.wire.PATIENCE", 1.0)
    with MockEndpoint(down=(30, 10**9), down_mode=mode, latency=0.002) as mock:
        with pytest.raises((InputError, RunStopped)) as error:
            play(mock, tmp_path / "run", n=60)
        assert 30 <= mock.stats().total < 30 + 16 * 8
    assert "\n" not in str(error.value)


@pytest.mark.timeout(30)
def test_an_endpoint_that_was_never_there_is_one_error(tmp_path, unused_port):
    with pytest.raises(InputError, match=rf"nothing answers at http://127.0.0.1:{unused_port}/v1"):
        measure.benchmark(f"m@http://127.0.0.1:{unused_port}/v1", out=tmp_path / "run", category="jailbreak", n=40)
    assert not (tmp_path / "run").exists()


def test_what_gave_no_answer_is_counted_under_its_cause(tmp_path):
    modes = ["content-filter", "content-filter-azure", "content-filter-finish", "empty-choices", "empty-text", "length"]
    with MockEndpoint() as mock:
        found = play(mock, tmp_path / "first", n=8)
        mode_of = {scenario.opening: mode for scenario, mode in zip(found.scenarios, modes, strict=False)}

        def fault(body, attempt):
            said = {message["content"] for message in body["messages"]}
            return next((mode for opening, mode in mode_of.items() if body["model"] == "target" and opening in said), None)

        mock.change(faults=fault)
        found = play(mock, tmp_path / "run", n=8)
        counts = found.run["counts"]
        assert counts == {"planned": 8, "reached": 3, "scored": 3, "unscored": {"target:empty": 2, "target:filtered": 3}}
        assert [talk.truncated for talk in found.conversations] == [0, 0, 0, 0, 0, 3, 0, 0]
        mock.change(faults=lambda body, attempt: "content-filter-azure" if body["model"] == "judge" else None)
        found = play(mock, tmp_path / "judge", n=8)
        assert found.run["counts"]["unscored"] == {"judge:filtered": 8}
    rates = json.loads((tmp_path / "judge" / "summary.json").read_text(encoding="utf-8"))
    assert all(rate["value"] is None for rate in rates if rate["metric"] == "DR-1")


@pytest.mark.usefixtures("swift")
def test_few_failures_are_counted_and_many_stop_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("rai_kit.models.pace.TRIP", 10**6)
    with MockEndpoint() as mock:
        found = play(mock, tmp_path / "first", n=30)
        openings = [scenario.opening for scenario in found.scenarios]

        def failing(count):
            return lambda body, attempt: "500" if any(one["content"] in openings[:count] for one in body["messages"]) else None

        mock.change(faults=failing(2))
        found = play(mock, tmp_path / "few", n=30)
        assert found.run["counts"] == {"planned": 30, "reached": 28, "scored": 28, "unscored": {"target:error": 2}}
        mock.reset()
        mock.change(faults=failing(30))
        with pytest.raises(RunStopped, match=r"target:error \d+.*error budget of 3"):
            play(mock, tmp_path / "many", n=30)
        assert mock.stats().total < 16 * 8 + 16
        assert not (tmp_path / "many" / "conversations.jsonl").exists()
