"""A run in parts on executors: the same tables as in one process, nothing twice, whatever is killed."""

import json
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mock_endpoint import MockEndpoint

from rai_kit import measure
from rai_kit.measure.folder import locked
from rai_kit.schema import InputError, RunStopped

TABLES = ("scenarios.jsonl", "conversations.jsonl", "verdicts.jsonl", "summary.json")


def run(mock, out, **settings):
    defaults = {"category": ["jailbreak", "continuation"], "n": 8, "turns": 2, "concurrency": 4}
    return measure.benchmark(
        f"target@{mock.url}",
        simulator=f"simulator@{mock.url}",
        judge=f"judge@{mock.url}",
        out=out,
        **(defaults | settings),
    )


def tables(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in TABLES]


@pytest.fixture
def mock():
    with MockEndpoint() as mock:
        yield mock


@pytest.mark.parametrize("shards", [None, 1, 3, 16])
def test_shards_give_the_tables_of_one_process(tmp_path, shards):
    with MockEndpoint() as mock:
        run(mock, tmp_path / "one")
        alone = mock.stats().total
        with ThreadPoolExecutor(2) as executor:
            found = run(mock, tmp_path / "many", executor=executor, shards=shards)
        assert mock.stats().total == 2 * alone
    assert tables(tmp_path / "many") == tables(tmp_path / "one")
    assert found.run["calls"]["targets"]["made"] == 0, "the run itself only reads what the shards have made"
    assert not (tmp_path / "many" / "shards").exists()


def test_calls_of_an_earlier_run_are_not_made_again(tmp_path, mock):
    run(mock, tmp_path / "run", n=4)
    before = mock.stats().total
    with ThreadPoolExecutor(2) as executor:
        run(mock, tmp_path / "run", executor=executor, shards=4)
    assert mock.stats().total == 2 * before


class Loses(ThreadPoolExecutor):
    """An executor that loses a shard after its work, and one before."""

    count = 0

    def submit(self, fn, /, *args, **kwargs):
        self.count += 1
        if self.count == 2:
            lost: Future = Future()
            lost.set_exception(RuntimeError("the node is gone"))
            return lost
        if self.count == 3:

            def dies(*given):
                fn(*given)
                raise RuntimeError("the node died with its last word")

            return super().submit(dies, *args, **kwargs)
        return super().submit(fn, *args, **kwargs)


def test_a_lost_shard_is_one_sentence_and_the_same_call_goes_on(tmp_path, mock):
    run(mock, tmp_path / "one")
    alone = mock.stats().total
    mock.reset()
    with Loses(1) as executor, pytest.raises(RunStopped, match="a shard was lost .*the node .*run the same command again"):
        run(mock, tmp_path / "many", executor=executor, shards=4)
    assert not (tmp_path / "many" / "summary.json").exists()
    with ThreadPoolExecutor(2) as executor:
        run(mock, tmp_path / "many", executor=executor, shards=3)
    assert tables(tmp_path / "many") == tables(tmp_path / "one")
    assert mock.stats().total == alone, "no call was made twice"


def test_errors_of_a_shard_are_told_as_they_are(tmp_path):
    with MockEndpoint(faults=lambda body, attempt: "401") as mock, ThreadPoolExecutor(2) as executor:
        with pytest.raises(InputError, match="refused the key"):
            run(mock, tmp_path / "a", executor=executor, shards=3)
        mock.change(faults=lambda body, attempt: "context")
        run(mock, tmp_path / "b", executor=executor, shards=3)
        with pytest.raises(InputError, match="shards is 0"):
            run(mock, tmp_path / "c", executor=executor, shards=0)


def test_a_shard_in_use_is_left_alone(tmp_path, mock):
    with locked(tmp_path / "run" / "shards" / "0001"), ThreadPoolExecutor(2) as executor:
        (tmp_path / "run" / "shards" / "0001" / "scenarios.jsonl").write_text("")
        with pytest.raises(InputError, match="0001 is in use by another process"):
            run(mock, tmp_path / "run", executor=executor, shards=2)
    assert mock.stats().total == 0


def test_a_budget_is_divided(tmp_path, mock):
    alone = run(mock, tmp_path / "one").run["cost"]
    spent = alone["prompt_tokens"] + alone["completion_tokens"]
    with ThreadPoolExecutor(1) as executor:
        found = run(mock, tmp_path / "many", executor=executor, shards=2, budget=f"{spent // 2} tokens")
    cost = found.run["cost"]
    assert 0 < cost["prompt_tokens"] + cost["completion_tokens"] < 0.7 * spent
    assert any(cause.endswith("budget") for cause in found.run["counts"]["unscored"])
    assert 0 < found.run["counts"]["scored"] < 16


def kill_one_when(mock: MockEndpoint, calls: int, pid: int) -> threading.Thread:
    def work():
        deadline = time.monotonic() + 60
        while mock.stats().total < calls and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_process_pool_that_loses_a_worker_is_told_and_resumed(tmp_path):
    with MockEndpoint(latency=0.02) as mock:
        run(mock, tmp_path / "one")
        alone = mock.stats().total
        mock.reset()
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
            victim = executor.submit(os.getpid).result()
            killer = kill_one_when(mock, alone // 3, victim)
            with pytest.raises(RunStopped, match="a shard was lost"):
                run(mock, tmp_path / "many", executor=executor, shards=6, concurrency=2)
            killer.join()
        run(mock, tmp_path / "many")
        assert tables(tmp_path / "many") == tables(tmp_path / "one")
        # The pool ends its other worker, too: each had two calls in flight.
        assert mock.stats().total <= alone + 4


def test_a_dask_cluster_goes_on_when_a_worker_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    with MockEndpoint(latency=0.02) as mock:
        run(mock, tmp_path / "one")
        alone = mock.stats().total
        mock.reset()
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            victim = next(iter(client.run(os.getpid).values()))
            killer = kill_one_when(mock, alone // 3, victim)
            found = run(mock, tmp_path / "many", executor=client.get_executor(), shards=6, concurrency=2)
            killer.join()
        with pytest.raises(ProcessLookupError):
            os.kill(victim, 0)
        assert tables(tmp_path / "many") == tables(tmp_path / "one")
        assert alone <= mock.stats().total <= alone + 2, "only what was in flight was asked again"
        assert found.run["counts"]["scored"] == 16
        assert json.loads((tmp_path / "many" / "run.json").read_text())["counts"]["planned"] == 16
