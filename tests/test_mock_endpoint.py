"""That the mock endpoint does what it says, so that a test against it means something."""

import email.utils
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mock_endpoint
import pytest
from mock_endpoint import MockEndpoint

from rai_kit.data import rubric
from rai_kit.judges.llm import parse, verdict_schema


def ask(mock, text="Hi", model="target", timeout=5, **more):
    """Status, headers and body of one call on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", mock.port, timeout=timeout)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]} | more)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"authorization": "Bearer sesame"})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def text_of(reply):
    return json.loads(reply[2])["choices"][0]["message"]["content"]


def test_a_good_answer_follows_from_the_request_alone():
    with MockEndpoint() as one, MockEndpoint(seed=7, latency=0.01) as other:
        assert ask(one)[2] == ask(one)[2] == ask(other)[2]
        texts = {
            text_of(ask(one, text, model, seed=seed)) for text in "ab" for model in ("target", "simulator") for seed in (1, 2)
        }
    assert len(texts) == 8


@pytest.mark.parametrize(("name", "count"), [("harm", 1), ("grounding", 5)])
def test_verdicts_are_what_the_judge_reads(name, count):
    guide = rubric(name)
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": verdict_schema(guide, count), "strict": True}}
    with MockEndpoint() as mock:
        found = [parse(text_of(ask(mock, str(i), "judge", response_format=schema)), guide, count, []) for i in range(40)]
    scores = {turn["score"] for verdict in found for turn in verdict["turns"]}
    assert len(scores) > 3


def test_shares_are_kept_and_neither_order_nor_attempts_of_others_change_them():
    faults = {"500": 0.3, "429": 0.2}
    with MockEndpoint(faults=faults, seed=1) as mock:

        def run(texts):
            mock.reset()
            return {text: [ask(mock, text)[0] for _ in range(3)] for text in texts}

        texts = [str(i) for i in range(120)]
        forward = run(texts)
        assert run(reversed(texts)) == forward
        mock.change(seed=2)
        assert run(texts) != forward
    every = [status for statuses in forward.values() for status in statuses]
    assert 0.2 < every.count(500) / 360 < 0.4
    assert 0.1 < every.count(429) / 360 < 0.3
    assert any(len(set(statuses)) > 1 for statuses in forward.values())


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        ("429-quota", 429, b"insufficient_quota"),
        ("500", 500, b"error"),
        ("502", 502, b"<html>"),
        ("401", 401, b"sesame"),
        ("404-model", 404, b"model_not_found"),
        ("content-filter", 400, b"invalid_prompt"),
        ("content-filter-azure", 400, b"content_filter"),
    ],
)
def test_errors(mode, status, words):
    with MockEndpoint(faults={mode: 1.0}) as mock:
        reply = ask(mock)
        assert (reply[0], mock.stats().status) == (status, {str(status): 1})
        assert words in reply[2]


def test_how_long_to_wait():
    with MockEndpoint(faults=["429", "429-ms", "429-date", "429-bare", "503"], retry_after=2.5) as mock:
        headers = [ask(mock)[1] for _ in range(5)]
    assert headers[0]["retry-after"] == headers[4]["retry-after"] == "2.5"
    assert headers[1]["retry-after-ms"] == "2500"
    wait = email.utils.parsedate_to_datetime(headers[2]["retry-after"]).timestamp() - time.time()
    assert 0 < wait < 3
    assert not {"retry-after", "retry-after-ms"} & set(headers[3])


def test_answers_that_are_none():
    modes = [
        "missing-choices",
        "missing-message",
        "wrong-type",
        "empty-choices",
        "empty-text",
        "content-filter-finish",
        "length",
        "no-usage",
    ]
    with MockEndpoint(faults=modes) as mock:
        sent = {mode: json.loads(ask(mock)[2]) for mode in modes}
        mock.change(faults={"bad-json": 1.0})
        with pytest.raises(json.JSONDecodeError):
            json.loads(ask(mock)[2])
    choice = {mode: body["choices"][0] for mode, body in sent.items() if body.get("choices")}
    assert "choices" not in sent["missing-choices"]
    assert "message" not in choice["missing-message"]
    assert not isinstance(choice["wrong-type"]["message"]["content"], str)
    assert sent["empty-choices"]["choices"] == []
    assert choice["empty-text"]["message"]["content"] == ""
    assert (choice["content-filter-finish"]["finish_reason"], choice["length"]["finish_reason"]) == ("content_filter", "length")
    assert choice["length"]["message"]["content"]
    assert [mode for mode in modes if "usage" not in sent[mode]] == ["no-usage"]


def test_lines_that_break():
    with MockEndpoint(faults=["reset", "reset-mid", "hang", "trickle", "crash"], crash_seconds=0.2) as mock:
        with pytest.raises(ConnectionResetError):
            ask(mock)
        with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
            ask(mock)
        with pytest.raises(TimeoutError):
            ask(mock, timeout=0.1)
        connection = http.client.HTTPConnection("127.0.0.1", mock.port, timeout=5)
        connection.request("POST", "/v1/chat/completions", json.dumps({"model": "m", "messages": []}))
        response = connection.getresponse()
        assert (response.status, response.read(3)) == (200, b"   ")
        connection.close()
        with pytest.raises(ConnectionResetError):
            ask(mock)
        with pytest.raises(ConnectionRefusedError):
            ask(mock)
        back = time.monotonic() + 5
        while True:
            try:
                assert ask(mock)[0] == 200
                break
            except ConnectionRefusedError:
                assert time.monotonic() < back
        stats = mock.stats()
        assert (stats.total, stats.in_flight, stats.status) == (6, 0, {"200": 1})


def test_states_by_number_of_requests():
    with MockEndpoint(expired=6, down=(2, 3)) as mock:
        assert [ask(mock)[0] for _ in range(7)] == [200, 503, 503, 200, 200, 401, 401]


def test_modes_by_a_function_of_request_and_attempt():
    with MockEndpoint(faults=lambda body, attempt: "500" if body["model"] == "judge" and attempt < 3 else None) as mock:
        assert [ask(mock, model=model)[0] for model in ("judge", "target", "judge", "judge")] == [500, 200, 500, 200]


def test_counts():
    with MockEndpoint(latency=0.05, overload=4) as mock, ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda i: ask(mock, str(i % 3))[0], range(12)))
        stats = mock.stats()
        assert (stats.total, stats.max_in_flight, stats.in_flight) == (12, 4, 0)
        assert stats.modes["overload"] == statuses.count(429) == stats.status["429"] > 0
        assert stats.duplicates == statuses.count(200) - len({i % 3 for i in range(12) if statuses[i] == 200})
        assert [len(mock.requests), mock.requests[0]["model"]] == [12, "target"]
        mock.reset()
        assert (mock.stats().total, mock.requests) == (0, [])


def test_an_unknown_fault_is_named():
    with pytest.raises(ValueError, match="'404' is unknown; known are 401"):
        MockEndpoint(faults={"404": 0.1})


def test_as_a_script():
    command = [sys.executable, str(Path(mock_endpoint.__file__)), "--latency-ms", "1", "--fault", "500=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline().split()
            assert line[0] == "listening"
            port = int(line[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("POST", "/v1/chat/completions", json.dumps({"model": "judge", "messages": []}))
            assert connection.getresponse().status == 500
            connection.close()
            stats = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=5))
            assert (stats["total"], stats["models"], stats["modes"]) == (1, {"judge": 1}, {"500": 1})
        finally:
            process.kill()


def test_it_ends_with_the_block():
    before = threading.active_count()
    with MockEndpoint(faults=["hang"]) as mock, pytest.raises(TimeoutError):
        ask(mock, timeout=0.05)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        ask(mock)
