import asyncio
import gc
import json
import random
import re
import signal
import ssl
import subprocess
import sys
import threading
import tracemalloc
import zlib

import pytest
from batch_endpoint import LOST, BatchEndpoint, Course
from conftest import completion

from rai_kit.cost import Budget, Ledger, Prices
from rai_kit.journal import Journal, call_key
from rai_kit.judges import LLMJudge
from rai_kit.models import ChatModel, settling
from rai_kit.models.batch import Collecting, Requests, judge_in_batches, settle
from rai_kit.schema import Case, InputError, Message, encode, write_jsonl


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch):
    """A client that speaks plain HTTP need not read the world's certificates (0.1 s each)."""
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *places, **settings: None)


NO_VERDICT = "I would rather talk about the weather."


def cases(numbers=range(6)):
    texts = {number: f"Answer {number}\u2028 with a line separator, and ünïcode." for number in numbers}
    return [
        Case(id=f"c{number}", messages=(Message("user", "Tell me."), Message("assistant", text)), rubric="violence")
        for number, text in texts.items()
    ]


def number_of(body):
    return int(re.search(r"Answer (\d+)\u2028", body["messages"][1]["content"])[1])


def verdict(body):
    """A verdict that follows from the prompt alone; every third case's first reply is none."""
    if number_of(body) % 3 == 0 and body.get("seed", 0) == 0:
        return 200, completion(NO_VERDICT)
    score = zlib.crc32(json.dumps(body["messages"]).encode()) % 8
    turns = [{"turn": 1, "reason": "It says so.\u2028", "score": score, "refusal": False}]
    return 200, completion(json.dumps({"reasoning": "Read and weighed.", "turns": turns}, ensure_ascii=False))


def plain(body):
    """The same without first replies that are no verdict."""
    return verdict(body | {"seed": 1})


def model_at(endpoint, journal, **settings):
    return ChatModel(f"m@{endpoint.url}", temperature=0.0, max_tokens=900, journal=journal, **settings)


def judge_of(model):
    return LLMJudge(model, name="m")


def in_batches(endpoint, path, chosen, model=None, said=None):
    """Judges through batches with a journal of its own process; the verdicts."""
    journal = Journal(path)
    try:
        model = model or model_at(endpoint, journal)
        words = [] if said is None else said
        return asyncio.run(judge_in_batches(chosen, judge_of, model, poll_seconds=0.002, progress=words.append))
    finally:
        journal.close()


def live(endpoint, path, chosen):
    async def work():
        model = model_at(endpoint, Journal(path))
        try:
            return [await judge_of(model)(case) for case in chosen]
        finally:
            await model.close()

    return asyncio.run(work())


def calls_of(path):
    journal = Journal(path)
    return journal._guarded(lambda connection: connection.execute("SELECT key, request FROM calls ORDER BY key").fetchall())


def noted(path, endpoint):
    return Journal(path).batches(endpoint.url)


def once_each(endpoint, count):
    assert len(endpoint.billed) == count
    assert set(endpoint.billed.values()) == {1}


def test_judging_in_batches_is_judging_live(tmp_path):
    with BatchEndpoint(verdict) as endpoint:
        batched = in_batches(endpoint, tmp_path / "b.sqlite", cases())
        assert not endpoint.live, "nothing goes at the full price"
        once_each(endpoint, 8)  # six, and two of them once more with the next seed
        assert len(endpoint.made) == 2, "one batch a round"
        spoken = live(endpoint, tmp_path / "l.sqlite", cases())
    assert batched == spoken
    assert all(one.scored for one in batched)
    assert len({one.judge for one in batched}) == 1
    assert calls_of(tmp_path / "b.sqlite") == calls_of(tmp_path / "l.sqlite"), "either journal replays the other's run"


def test_again_on_a_finished_journal_asks_for_nothing(tmp_path):
    with BatchEndpoint(verdict) as endpoint:
        first = in_batches(endpoint, tmp_path / "j.sqlite", cases())
        before = endpoint.seen.copy()
        journal = Journal(tmp_path / "j.sqlite")
        model = model_at(endpoint, journal)
        assert in_batches(endpoint, tmp_path / "j.sqlite", cases(), model) == first
        assert endpoint.seen == before
    assert model.calls["replayed"] == 8
    assert model.calls["made"] == 0


def test_calls_are_counted_as_those_of_a_live_run(tmp_path):
    with BatchEndpoint(verdict) as endpoint:
        in_batches(endpoint, tmp_path / "j.sqlite", cases(range(3)))
        model = model_at(endpoint, Journal(tmp_path / "j.sqlite"))
        in_batches(endpoint, tmp_path / "j.sqlite", cases(range(6)), model)
    assert model.calls == {"made": 4, "replayed": 4, "prompt_tokens": 28, "completion_tokens": 12}


def test_the_stand_in_gives_a_judge_the_same_id(tmp_path):
    with BatchEndpoint(verdict) as endpoint:
        model = model_at(endpoint, Journal(tmp_path / "j.sqlite"))
        stand_in = Collecting(model)
        assert repr(stand_in) == repr(model)
        assert stand_in.identity == model.identity
        assert judge_of(stand_in).id == judge_of(model).id
        reply = asyncio.run(stand_in([Message("user", "Hello")], seed=3))
    assert reply.cause == "pending"
    request = model.request([Message("user", "Hello")], seed=3)
    assert dict(stand_in.requests) == {call_key(request): request}
    assert not (tmp_path / "j.sqlite").exists(), "a pending call leaves no trace in the journal"


def test_without_a_journal_there_are_no_batches():
    with pytest.raises(InputError, match="no journal"):
        Collecting(ChatModel("m@http://127.0.0.1:9/v1"))


def test_lines_in_any_order_twice_foreign_and_damaged(tmp_path):
    def arranged(lines):
        foreign = lines[0] | {"custom_id": "somebody else's"}
        return [foreign, *lines[::-1], *lines, '{"custom_id": "cut o', "", '{"no": "id"}']

    said = []
    with BatchEndpoint(plain, courses=[Course(arrange=arranged)]) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(), said=said)
        once_each(endpoint, 6)
        assert found == live(endpoint, tmp_path / "l.sqlite", cases())
    assert any("3 lines belong to no call" in words for words in said)


ERRORS = {
    0: (400, {"error": {"code": "content_filter", "message": "The response was filtered."}}, "filtered"),
    1: (400, {"error": {"code": "context_length_exceeded", "message": "Maximum context length."}}, "context_exceeded"),
    2: (500, {"error": {"message": "The server had an error."}}, "error"),
    3: (None, {"code": "request_timeout", "message": "It took too long."}, "timeout"),
    4: (200, {"nothing": "sensible"}, "malformed"),
    5: (429, {"error": {"message": "Rate limit."}}, "rate_limited"),
}


def test_lines_with_errors_are_events_with_their_cause_and_no_answers(tmp_path):
    def answer(body):
        return ERRORS.get(number_of(body), (0, 0, 0))[:2] if number_of(body) in ERRORS else plain(body)

    path = tmp_path / "j.sqlite"
    with BatchEndpoint(answer) as endpoint:
        found = in_batches(endpoint, path, cases(range(9)))
        assert [one.cause for one in found] == [f"judge:{cause}" for *_, cause in ERRORS.values()] + [None] * 3
        assert len(endpoint.made) == 1, "the endpoint has tried these calls itself"
        assert len(Journal(path)) == 3
        events = Journal(path)._guarded(lambda connection: connection.execute("SELECT count(*) FROM events").fetchone())
        assert events == (6,)
        assert not noted(path, endpoint)
        endpoint.answer = plain
        assert all(one.scored for one in in_batches(endpoint, path, cases(range(9))))
        assert [len(batch.outcomes) for batch in endpoint.made.values()] == [9, 6], "only what is missing is asked for again"


def test_a_parameter_that_is_refused_is_left_out(tmp_path):
    def answer(body):
        for name in ("max_tokens", "temperature", "seed"):
            if name in body:
                return 400, {"error": {"code": "unsupported_parameter", "message": f"Unsupported parameter: '{name}'."}}
        assert body["max_completion_tokens"] == 900
        return plain(body)

    with BatchEndpoint(answer) as endpoint:
        model = model_at(endpoint, Journal(tmp_path / "j.sqlite"))
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(), model)
        assert all(one.scored for one in found)
        once_each(endpoint, 6)
        assert len(endpoint.made) == 4, "refusals do not count as rounds"
        assert found == live(endpoint, tmp_path / "l.sqlite", cases())
    assert model.left_out == ["max_tokens", "seed", "temperature"]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_an_unfinished_batch_brought_is_kept_and_the_rest_submitted_again(tmp_path, end, told):
    with BatchEndpoint(plain, courses=[Course(end, 0.5, told=told), Course(end, 0.5, told=told)]) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(range(8)))
        once_each(endpoint, 8)
        assert [batch.calls for batch in endpoint.made.values()] == [8, 4, 2]
        assert found == live(endpoint, tmp_path / "l.sqlite", cases(range(8)))


def test_batches_that_always_expire_end_with_a_cause(tmp_path):
    path = tmp_path / "j.sqlite"
    with BatchEndpoint(plain, courses=[Course("expired", 0.0) for _ in range(20)]) as endpoint:
        found = in_batches(endpoint, path, cases())
        assert {one.cause for one in found} == {"judge:timeout"}
        assert "expired" in found[0].raw
        assert len(endpoint.made) == settling.ROUNDS
        assert not noted(path, endpoint)
        endpoint.courses.clear()
        assert all(one.scored for one in in_batches(endpoint, path, cases()))


def test_a_batch_that_is_turned_down_is_one_sentence_in_the_endpoints_words(tmp_path):
    course = Course("failed", errors=[("model_not_found", "The provided model 'm' is not\n supported by the Batch API.")])
    with BatchEndpoint(plain, courses=[course]) as endpoint:
        with pytest.raises(InputError, match="The provided model 'm' is not supported by the Batch API.") as told:
            in_batches(endpoint, tmp_path / "j.sqlite", cases())
        assert str(told.value).count("\n") == 0
        assert not endpoint.billed
        assert all(one.scored for one in in_batches(endpoint, tmp_path / "j.sqlite", cases())), "and it can be mended"


def test_a_wrong_key_and_no_batch_api_and_nobody_there_are_one_sentence(tmp_path, monkeypatch, unused_port):
    monkeypatch.setenv("RAI_KIT_API_KEY", "sk-wrong-0123456789")
    with BatchEndpoint(plain, key="right") as endpoint:
        with pytest.raises(InputError, match=r"refused the key \(401\); set RAI_KIT_API_KEY") as told:
            in_batches(endpoint, tmp_path / "j.sqlite", cases())
        assert "sk-wrong" not in str(told.value)
        assert endpoint.seen.total() == 1
    with (
        BatchEndpoint(plain, batches=False) as endpoint,
        pytest.raises(InputError, match=r"no Batch API \(HTTP 404\); judge live"),
    ):
        in_batches(endpoint, tmp_path / "j.sqlite", cases())
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    endpoint.url = f"http://127.0.0.1:{unused_port}/v1"
    with pytest.raises(InputError, match="does not answer"):
        in_batches(endpoint, tmp_path / "j.sqlite", cases())


def test_a_permanent_error_in_a_line_stops_after_the_others_are_stored(tmp_path):
    def answer(body):
        return (401, {"error": {"message": "Key expired."}}) if number_of(body) == 2 else plain(body)

    path = tmp_path / "j.sqlite"
    with BatchEndpoint(answer) as endpoint:
        with pytest.raises(InputError, match="refused the key"):
            in_batches(endpoint, path, cases())
        assert len(Journal(path)) == 5
        assert not noted(path, endpoint), "or the same error would come for ever"
        endpoint.answer = plain
        assert all(one.scored for one in in_batches(endpoint, path, cases()))
        once_each(endpoint, 6)


@pytest.mark.parametrize("queue", [3, 1])
def test_too_much_at_a_time_goes_in_one_batch_after_another(tmp_path, queue):
    with BatchEndpoint(plain, queue=queue) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(range(10)))
        once_each(endpoint, 10)
        assert found == live(endpoint, tmp_path / "l.sqlite", cases(range(10)))


def test_a_queue_without_room_is_one_sentence(tmp_path):
    with (
        BatchEndpoint(plain, queue=0) as endpoint,
        pytest.raises(InputError, match="Enqueued token limit reached: 0"),
    ):
        in_batches(endpoint, tmp_path / "j.sqlite", cases())


@pytest.mark.parametrize(("name", "value"), [("MOST_REQUESTS", 4), ("MOST_BYTES", 18_000)])
def test_more_than_a_file_holds_becomes_several_batches(tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(settling, name, value)
    with BatchEndpoint(plain) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(range(10)))
        once_each(endpoint, 10)
        assert len(endpoint.lines) >= 3
        assert all(len(lines) <= 4 for lines in endpoint.lines.values())
        assert found == live(endpoint, tmp_path / "l.sqlite", cases(range(10)))


@pytest.mark.parametrize("faults", [[LOST], [500], [429], [503, LOST], [LOST, LOST]])
@pytest.mark.parametrize("listed_from", [0, 1])
def test_a_batch_whose_making_was_not_answered_is_not_made_twice(tmp_path, faults, listed_from):
    with BatchEndpoint(plain, faults=[("batches", fault) for fault in faults], listed_from=listed_from) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases())
        once_each(endpoint, 6)
        assert len(endpoint.made) == 1
        assert all(one.scored for one in found)


def test_faults_on_the_way_cost_nothing(tmp_path):
    faults = [(event, fault) for event in ("files", "poll", "content") for fault in (500, 429, 503)]
    faults += [("poll", 500)] * 8  # more than the client's own tries
    with BatchEndpoint(verdict, faults=faults) as endpoint:
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases())
        once_each(endpoint, 8)
        assert not endpoint.faults
        assert all(one.scored for one in found)


def test_a_batch_that_is_known_no_more_is_submitted_again(tmp_path):
    said = []
    with BatchEndpoint(plain) as endpoint:
        endpoint.on = lambda event: endpoint.made.pop("batch_1", None) if event == "poll" else None
        found = in_batches(endpoint, tmp_path / "j.sqlite", cases(), said=said)
    assert all(one.scored for one in found)
    assert any("batch_1 is not known any more" in words for words in said)


async def cancelled_when(endpoint, path, chosen, event, count=1):
    """Starts judging and cancels it, as Ctrl-C does, at an event of the endpoint."""
    loop = asyncio.get_running_loop()
    met = asyncio.Event()
    endpoint.on = lambda now: loop.call_soon_threadsafe(met.set) if now == event and endpoint.seen[event] >= count else None
    model = model_at(endpoint, Journal(path))
    work = asyncio.create_task(judge_in_batches(chosen, judge_of, model, poll_seconds=0.002))
    await met.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    endpoint.on = lambda now: None


def test_ctrl_c_while_polling_leaves_the_batch_to_the_next_run(tmp_path):
    path = tmp_path / "j.sqlite"
    with BatchEndpoint(plain, courses=[Course(polls=5)]) as endpoint:
        asyncio.run(cancelled_when(endpoint, path, cases(), "poll", 2))
        assert list(noted(path, endpoint)) == ["batch_1"]
        assert all(one.scored for one in in_batches(endpoint, path, cases()))
        once_each(endpoint, 6)
        assert endpoint.seen["batches"] == endpoint.seen["files"] == 1
        assert not noted(path, endpoint)


def test_runs_on_overlapping_cases_share_what_is_under_way(tmp_path):
    path = tmp_path / "j.sqlite"
    with BatchEndpoint(plain, courses=[Course(polls=5)]) as endpoint:
        asyncio.run(cancelled_when(endpoint, path, cases(range(6)), "poll"))
        assert all(one.scored for one in in_batches(endpoint, path, cases(range(3, 9))))
        assert [len(keys) for keys in noted(path, endpoint).values()] == [3], "what this run did not ask for is still to be had"
        assert all(one.scored for one in in_batches(endpoint, path, cases(range(6))))
        once_each(endpoint, 9)
        assert not noted(path, endpoint)


def test_a_batch_that_does_not_end_is_left_there_in_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "j.sqlite"
    monkeypatch.setattr(settling, "PATIENCE", 0.02)
    with BatchEndpoint(plain, courses=[Course("stuck")]) as endpoint:
        with pytest.raises(InputError, match="has not ended batch_1 within .* run the same command later"):
            in_batches(endpoint, path, cases())
        monkeypatch.setattr(settling, "PATIENCE", 60)
        assert list(noted(path, endpoint)) == ["batch_1"]
        endpoint.made["batch_1"].course.end = "completed"
        assert all(one.scored for one in in_batches(endpoint, path, cases()))
        once_each(endpoint, 6)


def test_calls_are_charged_once_to_role_and_category_and_the_budget_holds_before_a_batch(tmp_path):
    ledger = Ledger(Prices(), Budget.parse("60 tokens", "USD"))
    with BatchEndpoint(verdict) as endpoint:
        model = model_at(endpoint, Journal(tmp_path / "j.sqlite"), role="judge", ledger=ledger)
        charged = ["even", "odd"] * 3
        found = asyncio.run(judge_in_batches(cases(), judge_of, model, charged=charged.__getitem__, poll_seconds=0.002))
        once_each(endpoint, 6)
        rows = [(row["role"], row["category"], row["made"], row["replayed"], row["prompt_tokens"]) for row in ledger.rows()]
        assert rows == [("judge", "even", 3, 0, 21), ("judge", "odd", 3, 0, 21)]
        assert [one.cause for one in found] == ["judge:budget", None, None] * 2, "each took ten tokens; second tries are over it"


def test_requests_lie_on_disk_and_not_in_memory():
    request = {"messages": ["x" * 20_000]}
    tracemalloc.start()
    try:
        requests = Requests()
        for number in range(2000):  # 40 MB
            requests.add(f"{number:032}", request)
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
    requests.add(f"{7:032}", {"another": "request"})
    assert len(requests) == 2000
    assert requests[f"{7:032}"] == request
    requests.clear()
    requests.add("a", {"b": 1})
    assert dict(requests) == {"a": {"b": 1}}


@pytest.mark.filterwarnings("error")
def test_requests_close_their_file_wherever_they_are_collected():
    requests = Requests()
    requests.add("a", {"b": 1})
    requests.itself = requests  # such a circle is collected at some other time, in the middle of other work
    del requests
    gc.collect()


def test_nothing_to_settle_asks_nobody(tmp_path):
    model = ChatModel("m@http://127.0.0.1:9/v1", journal=Journal(tmp_path / "j.sqlite"))
    assert asyncio.run(settle(model, {}, finished=print)) is None
    assert asyncio.run(judge_in_batches([], judge_of, model)) == []


class Died(BaseException):
    pass


class Dying(Journal):
    """A journal whose process dies at its n-th write, before or after it."""

    def __init__(self, path, write, before):
        super().__init__(path)
        self.left, self.before = write, before

    def _dying(self, write, *arguments):
        self.left -= 1
        if self.left == 0 and self.before:
            raise Died
        found = write(*arguments)
        if self.left == 0:
            raise Died
        return found

    def put(self, *arguments):
        return self._dying(super().put, *arguments)

    def add_batch(self, *arguments):
        return self._dying(super().add_batch, *arguments)

    def drop_batch(self, *arguments):
        return self._dying(super().drop_batch, *arguments)


@pytest.mark.parametrize("before", [True, False])
def test_dead_at_any_write_of_the_journal_and_run_again_nothing_is_paid_twice(tmp_path, before):
    write, ended = 0, False
    while not ended:
        write += 1
        path = tmp_path / f"{write}.sqlite"
        with BatchEndpoint(verdict) as endpoint:
            journal = Dying(path, write, before)
            try:
                asyncio.run(judge_in_batches(cases(range(3)), judge_of, model_at(endpoint, journal), poll_seconds=0.002))
                ended = True
            except Died:
                journal.close()
            assert all(one.scored for one in in_batches(endpoint, path, cases(range(3))))
            once_each(endpoint, 4)
            assert not noted(path, endpoint)
    assert write == 1 + (3 + 3 + 1) + (3 + 1 + 1), "each of the two rounds: three notes, the replies, and the batch is forgotten"


CHILD = """
import asyncio, sys
from rai_kit.cost import Budget, Ledger, Prices
from rai_kit.journal import Journal
from rai_kit.judges import LLMJudge
from rai_kit.models import ChatModel, settling
from rai_kit.models.batch import judge_in_batches
from rai_kit.schema import Case, read_jsonl, write_jsonl

address, journal, cases, out = sys.argv[1:]
settling.MOST_REQUESTS = 15
model = ChatModel(address, temperature=0.0, max_tokens=900, journal=Journal(journal))
judging = judge_in_batches(list(read_jsonl(cases, Case)), lambda model: LLMJudge(model, name="m"), model, poll_seconds=0.002)
write_jsonl(out, asyncio.run(judging))
"""

MOMENTS = ["batches:done", "batches:sent", "content:sent"]


def test_killed_at_any_moment_and_run_again_nothing_is_paid_twice(tmp_path):
    """One journal and one kill after another, before, within and after each step of the way; at the end an undisturbed run."""
    path, asked, out = tmp_path / "j.sqlite", tmp_path / "cases.jsonl", tmp_path / "v.jsonl"
    write_jsonl(asked, cases(range(60)))
    chance = random.Random(20)

    def run(moment=None):
        """Starts the program and kills it at a moment, or a little after it; how it ended."""
        children = []

        def kill(event):
            if event == moment:
                threading.Event().wait(chance.uniform(0, 0.01) if event.endswith(":sent") else 0)
                children[0].kill()

        endpoint.on = kill
        children.append(subprocess.Popen([sys.executable, "-c", CHILD, f"m@{endpoint.url}", path, asked, out]))
        return children[0].wait()

    with BatchEndpoint(verdict) as endpoint:
        ends = [run(moment) for moment in MOMENTS]
        assert ends.count(-signal.SIGKILL) >= 2
        assert run() == 0
        once_each(endpoint, 80)
        assert not noted(path, endpoint)
        assert endpoint.seen["chat"] == 0
        undisturbed = live(endpoint, tmp_path / "l.sqlite", cases(range(60)))
    assert out.read_bytes() == b"".join(encode(one) + b"\n" for one in undisturbed)
    assert calls_of(path) == calls_of(tmp_path / "l.sqlite")
