"""Kills, full disks, spoilt files and Ctrl-C against real processes: the same command goes on, repeats nothing and tells the same.

The endpoint counts what it has answered. A call whose row stands in the journal right after a kill must not be asked for again; one
that was in flight may be. What must happen very often is done by processes forked from an interpreter that has the kit loaded.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from mock_endpoint import MockEndpoint

from rai_kit import engine
from rai_kit.journal import Journal
from rai_kit.schema import InputError, Reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

TABLES = ("conversations.jsonl", "verdicts.jsonl", "scenarios.jsonl", "summary.json")
WIDTH = 4  # conversations in flight
LATENCY = 0.004
ON = "the same command goes on from there"

_WARM = """
import gc, json, os, resource, sys
import aiohttp, pandas, scipy.stats, sklearn, openai  # what a benchmark loads
import rai_kit.cli, rai_kit.judges, rai_kit.measure, rai_kit.simulators
gc.freeze()  # so that a fork need not look at all that when it ends
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        for number, name in enumerate((os.devnull, order["log"] + ".out", order["log"] + ".err")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        if order["limit"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
        sys.argv = ["rai-kit", *order["words"]]
        sys.exit(rai_kit.cli.main())
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Command:
    """A running `rai-kit` command, forked from the warm interpreter, or else a `python -m rai_kit` of its own."""

    def __init__(self, words, log, warm=None, limit=None):
        self.log = str(log)
        self.warm = warm
        if warm is None:
            self.mark = f"RAI_KIT_TEST_MARK={uuid.uuid4().hex}"
            environment = os.environ | dict([self.mark.split("=")])
            with open(f"{log}.out", "wb") as out, open(f"{log}.err", "wb") as err:
                command = [sys.executable, "-m", "rai_kit", *words]
                self.process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True, env=environment)
            self.pid = self.process.pid
        else:
            warm.stdin.write(json.dumps({"words": words, "log": self.log, "limit": limit}) + "\n")
            warm.stdin.flush()
            self.pid = int(warm.stdout.readline())

    @property
    def running(self):
        if self.warm is None:
            return self.process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return True
        return False

    def until(self, condition, limit=90.0):
        """Waits for a condition, or for the end of the process; whether it still runs."""
        deadline = time.monotonic() + limit
        while not condition() and self.running:
            assert time.monotonic() < deadline, "the moment did not come"
            time.sleep(0.0005)
        return self.running

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.ended()

    def interrupt(self, group=True):
        """Ctrl-C on a terminal reaches every process of the group, a notebook's stop button only the first one."""
        (os.killpg if group else os.kill)(self.pid, signal.SIGINT)
        return self.ended()

    def ended(self, limit=60.0):
        """Exit code, standard output and standard error."""
        if self.warm is None:
            try:
                code = self.process.wait(limit)
            except subprocess.TimeoutExpired:
                self.clear()
                raise
        else:
            code = int(self.warm.stdout.readline())
        return code, Path(f"{self.log}.out").read_text(), Path(f"{self.log}.err").read_text()

    def left(self):
        """Processes that it has started, in whatever group, and that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                alive = (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def clear(self):
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def warm():
    command = [sys.executable, "-c", _WARM]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # nothing but the main thread lives on in a fork
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.wait(30)


@pytest.fixture(scope="module")
def endpoint():
    with MockEndpoint(latency=LATENCY) as mock:
        yield mock


@pytest.fixture
def mock(endpoint):
    """One endpoint for all tests, as its port is part of the models' names and so of the tables."""
    endpoint.change(latency=LATENCY, faults={})
    endpoint.reset()
    return endpoint


def words(mock, out, *more, n=6, judge=None):
    parties = ["--target", f"target@{mock.url}", "--simulator", f"simulator@{mock.url}", "--judge", judge or f"judge@{mock.url}"]
    amount = ["--category", "jailbreak", "-n", str(n), "--turns", "2", "--concurrency", str(WIDTH)]
    return ["benchmark", *parties, *amount, "--out", str(out), *more]


@dataclass(frozen=True)
class Undisturbed:
    """What a run gives that nothing happens to.

    Attributes:
        tail: Seconds from the answer to its last request to its last file.
        whole: Seconds that its replay takes.
    """

    folder: Path
    tables: dict[str, bytes]
    calls: int
    tail: float
    whole: float


@pytest.fixture(scope="module")
def undisturbed(endpoint, warm, tmp_path_factory):
    made = {}

    def run(n=6, judge=None):
        if (n, judge) not in made:
            endpoint.change(latency=LATENCY, faults={})
            endpoint.reset()
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            asked = words(endpoint, folder, n=n, judge=judge)
            code, _, errors = Command(asked, f"{folder}.first", warm).ended()
            assert (code, errors) == (0, "")
            stats, written = endpoint.stats(), (folder / "run.json").stat().st_mtime
            assert stats.duplicates == 0
            begin = time.time()
            assert Command(asked, f"{folder}.again", warm).ended()[0] == 0
            assert endpoint.stats().total == stats.total, "a finished run makes no call"
            whole = (folder / "run.json").stat().st_mtime - begin
            made[n, judge] = Undisturbed(folder, tables(folder), stats.total, written - stats.t_last, whole)
            endpoint.reset()
        return made[n, judge]

    return run


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES if (folder / name).exists()}


def canonical(call):
    """A call the same way whether it comes from the wire or from a journal."""
    form = call.get("response_format")
    schema = form["json_schema"]["schema"] if form else call.get("json_schema")
    return json.dumps([call["model"], call["messages"], call["temperature"], call["max_tokens"], call["seed"], schema])


def journaled(folder, scratch):
    """The calls in the journals of a folder, read from copies so that the log of a killed process stays as it is."""
    found = set()
    for number, path in enumerate([folder / "journal.sqlite", *folder.glob("shards/*/journal.sqlite")]):
        copy = scratch / f"copy-{number}-{time.monotonic_ns()}.sqlite"
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        if not copy.exists() or not copy.stat().st_size:
            continue
        connection = sqlite3.connect(copy)
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'calls'").fetchone()[0]:
            requests = [json.loads(text) for (text,) in connection.execute("SELECT request FROM calls")]
            found |= {canonical(request) for request in requests if "messages" in request}
        connection.close()
    return found


def asked_since(mock, number):
    return Counter(canonical(request) for request in mock.requests[number:])


def one_sentence(errors, *words):
    """What a user is told: one line, and no way through the code."""
    assert "Traceback" not in errors
    assert errors.startswith("rai-kit: ")
    assert errors.count("\n") == 1
    for word in words:
        assert str(word) in errors


def whole_or_absent(folder, expected):
    assert not [path.name for path in folder.rglob("*.partial")]
    assert all(expected[name] == content for name, content in tables(folder).items())


# Killed


def kill_at(moment, command, mock, folder, before, left, run):
    """Waits for a moment and kills; the exit code.

    A moment is the number of a request, the name of a file that appears, or a share of the time that is left after the last request.
    """
    if isinstance(moment, int):
        command.until(lambda: len(mock.modes) >= before + min(moment, left))
        time.sleep(random.Random(moment).uniform(0, 2 * LATENCY))
    elif isinstance(moment, str):
        first = {path: path.stat().st_ino for path in folder.glob("*")}
        command.until(lambda: [path for path in folder.glob(moment) if first.get(path) != inode(path)])
    else:
        command.until(lambda: len(mock.modes) >= before + left)
        time.sleep(moment * (run.tail if left else run.whole))
    return command.kill()[0]


def inode(path):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino


def kill_again_and_again(mock, out, run, moments, warm, scratch, judge=None):
    """Kills a run once for each moment, and lets it end; checks after every kill. The number of kills."""
    kept, kills = set(), 0
    for moment in [*moments, None]:
        before = len(mock.modes)
        command = Command(words(mock, out, judge=judge), scratch / "log", warm)
        if moment is None:
            code, _, errors = command.ended()
            assert (code, errors) == (0, "")
        else:
            code = kill_at(moment, command, mock, out, before, run.calls - len(kept), run)
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
        assert not kept & asked_since(mock, before).keys(), "a call that the journal holds is not made again"
        kept = journaled(out, scratch)
        assert all(run.tables[name] == content for name, content in tables(out).items()), "a file is whole or not there"
    assert tables(out) == run.tables
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == sorted([*TABLES, "journal.sqlite", "run.json"])
    record = json.loads((out / "run.json").read_text())
    assert record["counts"] == {"planned": 6, "reached": 6, "scored": 6, "unscored": {}}
    assert sum(role["made"] + role["replayed"] for role in record["calls"].values()) == run.calls == len(kept)
    assert mock.stats().duplicates <= WIDTH * kills, "at most what was in flight is answered twice"
    return kills


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_many_moments_the_run_tells_the_same(mock, undisturbed, warm, tmp_path, seed):
    draw = random.Random(seed)
    requests = [draw.randint(1, 9) for _ in range(3)]
    files = draw.sample(["*.partial", *TABLES, "run.json", "journal.sqlite-wal"], 3)
    late = [draw.uniform(0, 1.2) for _ in range(3)]
    rest = [*files, *late]
    draw.shuffle(rest)
    kills = kill_again_and_again(mock, tmp_path / "run", undisturbed(), [*requests, late[0], *rest], warm, tmp_path)
    assert kills >= 7


def test_killed_with_the_judge_that_asks_no_model(mock, undisturbed, warm, tmp_path):
    run = undisturbed(judge="offline")
    moments = [1, 5, 3, 0.1, "*.partial", 0.5, "verdicts.jsonl", "summary.json", 0.8]
    assert kill_again_and_again(mock, tmp_path / "run", run, moments, warm, tmp_path, judge="offline") >= 6


def test_killed_as_a_program_of_its_own(mock, undisturbed, tmp_path):
    moments = [2, 7, 4, "conversations.jsonl"]
    assert kill_again_and_again(mock, tmp_path / "run", undisturbed(), moments, None, tmp_path) == 4


@pytest.mark.parametrize("tries", [(), ("--tries", "24")], ids=["all", "bandit"])
def test_a_red_team_that_is_killed_goes_on_and_tells_the_same(mock, warm, tmp_path, tries):
    strategies = [word for name in ("direct", "novel", "past_tense", "best_of_n") for word in ("--strategy", name)]
    size = ["-n", "9", "--queries", "2", "--concurrency", str(WIDTH), *tries]

    def asked(out):
        return ["red-team", "--target", f"target@{mock.url}", *strategies, *size, "--out", str(out)]

    def told(out):
        names = (*TABLES, "attempts.jsonl", "goals.jsonl")
        return {name: (out / name).read_bytes() for name in names}

    assert Command(asked(tmp_path / "whole"), tmp_path / "log", warm).ended()[0] == 0
    calls = mock.stats().total
    kept = set()
    for share in (0.1, 0.5, 0.9):
        before = len(mock.modes)
        command = Command(asked(tmp_path / "killed"), tmp_path / "log", warm)
        left = int(share * calls) - len(kept)
        command.until(lambda before=before, left=left: len(mock.modes) >= before + left)
        assert command.kill()[0] == -signal.SIGKILL
        assert not kept & asked_since(mock, before).keys(), "a call that the journal holds is not made again"
        kept = journaled(tmp_path / "killed", tmp_path)
        assert not (tmp_path / "killed" / "attempts.jsonl").exists()
    code, _, errors = Command(asked(tmp_path / "killed"), tmp_path / "log", warm).ended()
    assert (code, errors) == (0, "")
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("*.partial"))


# A full disk


def told_and_mended(mock, warm, out, run, scratch, limit, lift=lambda: None, n=6):
    """A run that meets a full disk says so and leaves nothing half-written; when there is room, it goes on."""
    before = len(mock.modes)
    code, _, errors = Command(words(mock, out, n=n), scratch / "full", warm, limit).ended()
    assert code == 2
    one_sentence(errors, out)
    lift()
    whole_or_absent(out, run.tables)
    kept, between = journaled(out, scratch), len(mock.modes)
    code, _, errors = Command(words(mock, out, n=n), scratch / "again", warm).ended()
    assert (code, errors) == (0, "")
    assert not kept & asked_since(mock, between).keys()
    assert tables(out) == run.tables
    return between - before


@pytest.mark.parametrize("limit", [4_000, 30_000, 100_000, 170_000])
def test_a_full_disk_while_calls_are_made(mock, undisturbed, warm, tmp_path, limit):
    made = told_and_mended(mock, warm, tmp_path / "run", undisturbed(), tmp_path, limit)
    assert 0 < made < undisturbed().calls
    assert mock.stats().duplicates <= WIDTH


def test_a_full_disk_while_the_records_are_written(mock, undisturbed, warm, tmp_path):
    run = undisturbed(n=50)
    (tmp_path / "run").mkdir()
    shutil.copy(run.folder / "journal.sqlite", tmp_path / "run")
    assert told_and_mended(mock, warm, tmp_path / "run", run, tmp_path, limit=40_000, n=50) == 0


def test_a_disk_that_is_really_full(mock, undisturbed, warm, tmp_path):
    run = undisturbed(n=50)
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        sizes = [len(content) for content in run.tables.values()]
        # So much room that the file after the first none, one, two, ... does not find any.
        for room in [20_000, *(sum(sizes[:number]) + 45_056 for number in range(len(sizes)))]:
            out = place / str(room)
            out.mkdir()
            shutil.copy(run.folder / "journal.sqlite", out)
            free = os.statvfs(place)
            (place / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - room))
            told_and_mended(mock, warm, out, run, tmp_path, limit=None, lift=(place / "ballast").unlink, n=50)
            shutil.rmtree(out)
        assert mock.stats().total == 0
    finally:
        subprocess.run(["umount", place], check=True)


# Journals that are none, or not whole


def snapshot(folder):
    """What the files of a folder hold, but for the lock and the log's index, which hold nothing."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name != ".lock" and path.suffix != ".sqlite-shm"]
    return {path.name: path.read_bytes() for path in files}


def other_program(path):
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE calls (theirs); INSERT INTO calls VALUES (1);")
    connection.close()


SPOILT = {
    "text": lambda path: path.write_text("My diary. " * 1000),
    "another program's": other_program,
    "a folder": lambda path: path.mkdir(),
    "cut in the header": lambda path: os.truncate(path, 60),
    "cut in the magic": lambda path: os.truncate(path, 9),
    "cut after a page": lambda path: os.truncate(path, 4096),
    "cut in a page": lambda path: os.truncate(path, path.stat().st_size - 1000),
    "zeros in the middle": lambda path: path.write_bytes(path.read_bytes()[:4096].ljust(path.stat().st_size, b"\0")),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_journal_is_told_and_left_alone(mock, undisturbed, warm, tmp_path, how):
    out = tmp_path / "run"
    out.mkdir()
    journal = out / "journal.sqlite"
    if "cut" in how or "zeros" in how:
        shutil.copy(undisturbed().folder / "journal.sqlite", journal)
    SPOILT[how](journal)
    before = snapshot(out)
    code, _, errors = Command(words(mock, out), tmp_path / "log", warm).ended()
    assert code == 2
    one_sentence(errors, journal)
    assert snapshot(out) == before
    assert mock.stats().total == 0


def answer(number):
    return Reply(text=f"answer {number} " * 20)


@pytest.fixture(scope="module")
def with_log(tmp_path_factory):
    """A journal as a killed process leaves it: 80 calls in the file, 80 more in its log."""
    folder, original = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("original") / "j.sqlite"
    journal = Journal(original)
    for number in range(160):
        if number == 80:
            journal.close()
        journal.put(f"{number:032x}", {"number": number}, answer(number))
    for suffix in ("", "-wal"):
        shutil.copy(f"{original}{suffix}", folder)
    journal.close()
    return folder


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.05, 0.3, 0.6, 0.9, 0.97, 1.0])
def test_a_cut_file_with_its_log_is_told_or_made_whole(with_log, tmp_path, share):
    shutil.copytree(with_log, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "j.sqlite"
    os.truncate(path, int(share * path.stat().st_size))
    before = snapshot(tmp_path)
    told = None
    with contextlib.ExitStack() as stack:
        try:
            journal = Journal(path)
            stack.callback(journal.close)
            found = [journal.get(f"{number:032x}") for number in range(160)]
        except InputError as error:
            told = str(error)
    if told is None:
        assert found == [answer(number) for number in range(160)], "calls that the log holds are not lost in silence"
    else:
        assert share < 1
        assert path.name in told
        assert snapshot(tmp_path) == before, "nothing is overwritten: the log may be all that is left"


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.5, 0.77, 0.999, 1.0])
def test_a_cut_log_costs_its_last_calls_and_no_more(with_log, tmp_path, share):
    shutil.copytree(with_log, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "j.sqlite"
    log = tmp_path / "j.sqlite-wal"
    os.truncate(log, int(share * log.stat().st_size))
    journal = Journal(path)
    found = [journal.get(f"{number:032x}") for number in range(160)]
    kept = found.index(None) if None in found else 160
    assert found == [answer(number) if number < kept else None for number in range(160)]
    assert 80 * (1 + share) - 2 <= kept <= 80 * (1 + share)
    for number in range(kept, 160):
        journal.put(f"{number:032x}", {"number": number}, answer(number))
    journal.close()
    assert len(Journal(path)) == 160


def test_a_run_whose_log_was_cut_makes_the_lost_calls_again(mock, undisturbed, warm, tmp_path):
    out, run = tmp_path / "run", undisturbed()
    command = Command(words(mock, out), tmp_path / "log", warm)
    command.until(lambda: len(mock.modes) > 18)
    command.kill()
    log = out / "journal.sqlite-wal"
    os.truncate(log, log.stat().st_size // 2)
    kept, before = journaled(out, tmp_path), len(mock.modes)
    assert 0 < len(kept) < 16
    assert Command(words(mock, out), tmp_path / "log", warm).ended()[0] == 0
    assert len(mock.modes) - before == run.calls - len(kept)
    assert tables(out) == run.tables


@contextlib.contextmanager
def read_only(folder):
    """A folder into which nobody may write; for root, who may everything, by a mount."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, text=True)
    if bound.returncode:
        pytest.skip(f"root, and no read-only mount possible: {bound.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_that_cannot_be_written_to(mock, undisturbed, warm, tmp_path, finished):
    out = tmp_path / "run"
    if finished:
        shutil.copytree(undisturbed().folder, out)
    else:
        out.mkdir()
    before = snapshot(out)
    with read_only(out):
        code, _, errors = Command(words(mock, out), tmp_path / "log", warm).ended()
    assert code == 2
    one_sentence(errors, out)
    assert snapshot(out) == before
    assert mock.stats().total == 0


# Two processes


def test_the_second_process_on_a_folder_is_told_so(mock, undisturbed, warm, tmp_path):
    out, run = tmp_path / "run", undisturbed()
    mock.change(latency=0.4)
    first = Command(words(mock, out), tmp_path / "first")
    first.until(lambda: len(mock.modes) >= 2)
    code, _, errors = Command(words(mock, out), tmp_path / "second", warm).ended()
    assert first.running
    assert code == 2
    one_sentence(errors, out, "in use")
    mock.change(latency=LATENCY)
    code, _, errors = first.ended()
    assert (code, errors) == (0, "")
    assert tables(out) == run.tables
    assert (mock.stats().total, mock.stats().duplicates) == (run.calls, 0)


def test_the_folder_of_a_killed_process_is_free_at_once(mock, undisturbed, warm, tmp_path):
    out = tmp_path / "run"
    mock.change(faults={"hang": 1.0})
    first = Command(words(mock, out), tmp_path / "first", warm)
    first.until(lambda: len(mock.modes) >= WIDTH)
    assert first.kill()[0] == -signal.SIGKILL
    mock.change(faults={})
    code, _, errors = Command(words(mock, out), tmp_path / "second", warm).ended()
    assert (code, errors) == (0, "")
    assert tables(out) == undisturbed().tables


def test_two_runs_may_share_a_journal(mock, undisturbed, warm, tmp_path):
    run = undisturbed()
    code = (
        "import sys; from rai_kit import measure\n"
        "url, out, seed, journal = sys.argv[1:]\n"
        "measure.benchmark(f'target@{url}', simulator=f'simulator@{url}', judge=f'judge@{url}', category='jailbreak', n=6, turns=2,\n"
        "                  seed=int(seed), concurrency=4, out=out, journal=journal)\n"
    )

    def together(*seeds):
        """One run for each seed at the same time; the calls that they made."""
        before = len(mock.modes)
        folders = [tmp_path / f"{seed}-{place}" for place, seed in enumerate(seeds)]
        processes = [
            subprocess.Popen([sys.executable, "-c", code, mock.url, folder, str(seed), tmp_path / "shared.sqlite"])
            for folder, seed in zip(folders, seeds, strict=True)
        ]
        assert [process.wait(90) for process in processes] == [0] * len(seeds)
        return folders, asked_since(mock, before)

    folders, first = together(0, 1, 0)  # two of them make the same calls
    assert [tables(folder) == run.tables for folder in folders] == [True, False, True]
    connection = sqlite3.connect(tmp_path / "shared.sqlite")
    rows = {canonical(json.loads(text)) for (text,) in connection.execute("SELECT request FROM calls")}
    assert rows == first.keys(), "no row is lost"
    assert len(first) == 2 * run.calls
    assert together(0, 1)[1] == {}


# Ctrl-C


def stopped(command, group=True):
    """After Ctrl-C: the exit code, the sentence, and nothing left running."""
    try:
        code, _, errors = command.interrupt(group)
        assert code == 130
        one_sentence(errors.lstrip("\n"), ON)
        deadline = time.monotonic() + 10
        while command.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert command.left() == []
    finally:
        command.clear()


@pytest.mark.parametrize("mode", ["good", "hang"])
def test_ctrl_c_ends_a_run_that_the_same_command_goes_on_with(mock, undisturbed, warm, tmp_path, mode):
    out = tmp_path / "run"
    mock.change(latency=0.05, faults=lambda body, attempt: mode if len(mock.modes) > 6 else None)
    command = Command(words(mock, out), tmp_path / "log")
    command.until(lambda: len(mock.modes) >= 9)
    stopped(command)
    assert not tables(out)
    mock.change(latency=LATENCY, faults={})
    kept, before = journaled(out, tmp_path), len(mock.modes)
    assert kept
    assert Command(words(mock, out), tmp_path / "log", warm).ended()[0] == 0
    assert not kept & asked_since(mock, before).keys()
    assert tables(out) == undisturbed().tables


@pytest.mark.parametrize("group", [True, False])
def test_ctrl_c_ends_workers_too(mock, tmp_path, group):
    mock.change(faults={"hang": 1.0})
    command = Command(words(mock, tmp_path / "run", "--workers", "2", n=40), tmp_path / "log")
    command.until(lambda: len(mock.modes) >= WIDTH)
    stopped(command, group)


def test_ctrl_c_waits_until_the_calls_in_flight_have_let_go():
    """Or else the journal and the folder's lock would be given up while calls still come back."""
    done = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            done.append("let go")

    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        engine.in_own_loop(work())
    assert done == ["let go"]


def test_ctrl_c_while_the_embedded_model_speaks(tmp_path):
    out = tmp_path / "run"
    asked = ["benchmark", "--target", "smollm2-135m@embedded", "--category", "jailbreak", "-n", "6", "--max-tokens", "24"]
    command = Command([*asked, "--out", str(out)], tmp_path / "log")
    command.until(lambda: (out / "journal.sqlite").exists())
    stopped(command)


def test_ctrl_c_while_a_notebook_runs(mock, tmp_path):
    mock.change(latency=0.05, faults=lambda body, attempt: "hang" if len(mock.modes) > 6 else None)
    settings = {"targets": json.dumps([f"target@{mock.url}"]), "judge": f"judge@{mock.url}", "n": "4"}
    given = [word for name, value in settings.items() for word in ("-p", f"{name}={value}")]
    command = Command(["run", "03", "--profile", "smoke", *given, "--out", str(tmp_path / "run")], tmp_path / "log")
    command.until(lambda: len(mock.modes) >= 9 and (tmp_path / "run" / "journal.sqlite").exists())
    time.sleep(0.1)
    stopped(command)
    assert journaled(tmp_path / "run", tmp_path)


# Workers


def part_of_a_run(mock, command, calls):
    """Waits until so many calls were made; the command's worker processes."""
    command.until(lambda: len(mock.modes) >= calls)
    return [pid for pid in command.left() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_killed_over_its_workers_the_same_command_completes(mock, undisturbed, tmp_path):
    out, run = tmp_path / "run", undisturbed(n=50)
    mock.change(latency=0.05)
    command = Command(words(mock, out, "--workers", "2", n=50), tmp_path / "log")
    try:
        workers = part_of_a_run(mock, command, 20)
        assert len(workers) == 2
        command.kill()
        mock.change(latency=LATENCY)
        code, _, errors = Command(words(mock, out, "--workers", "2", n=50), tmp_path / "again").ended()
        assert (code, errors) == (0, "")
        assert tables(out) == run.tables
        assert mock.stats().duplicates <= 2 * WIDTH
        deadline = time.monotonic() + 10
        while command.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert command.left() == [], "workers end with the process that they work for"
    finally:
        command.clear()


def test_a_killed_worker_is_told_and_the_same_command_completes(mock, undisturbed, tmp_path):
    out, run = tmp_path / "run", undisturbed(n=50)
    mock.change(latency=0.05)
    command = Command(words(mock, out, "--workers", "2", n=50), tmp_path / "log")
    try:
        os.kill(part_of_a_run(mock, command, 20)[0], signal.SIGKILL)
        code, _, errors = command.ended()
        assert code == 1
        one_sentence(errors, "a shard was lost", "run the same command again")
        assert not tables(out)
        mock.change(latency=LATENCY)
        kept, before = journaled(out, tmp_path), len(mock.modes)
        code, _, errors = Command(words(mock, out, "--workers", "2", n=50), tmp_path / "again").ended()
        assert (code, errors) == (0, "")
        assert kept
        assert not kept & asked_since(mock, before).keys()
        assert tables(out) == run.tables
        assert mock.stats().duplicates <= 2 * WIDTH
    finally:
        command.clear()
