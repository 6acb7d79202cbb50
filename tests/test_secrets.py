"""Keys are planted wherever one can stand, and looked for in everything that is written; and what others made executes nothing."""

import ast
import asyncio
import contextlib
import http.server
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest
from batch_endpoint import BatchEndpoint
from conftest import completion
from mock_endpoint import MockEndpoint

from rai_kit import measure, report
from rai_kit.cost import Prices
from rai_kit.data import draw_scenarios, load_scenarios
from rai_kit.embedded import EmbeddedServer
from rai_kit.journal import Journal
from rai_kit.judges import LLMJudge
from rai_kit.models import ChatModel
from rai_kit.models.batch import judge_in_batches
from rai_kit.report import NotebookFailed
from rai_kit.schema import Case, InputError, Message, Reply, RunStopped, write_jsonl
from rai_kit.simulators import LLMUser

PROJECT = Path(__file__).resolve().parent.parent
CORE = "PLANTED7f3aQ"  # no way of quoting or escaping changes this part
KEY = f"sk-{CORE}/x+y=="
VARIABLES = ("RAI_KIT_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")


@pytest.fixture
def planted(monkeypatch):
    """The key in every variable that may hold one, and no waiting between two tries."""
    for name in VARIABLES:
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr("rai_kit.models.endpoint.backoff", lambda attempt, random: 0.001)
    monkeypatch.setattr("rai_kit.models.pace.LONGEST_PAUSE", 0.002)


def assert_nowhere(*places, core=CORE):
    """Looks for the key in texts, and in all files of folders by name and content."""
    looked = 0
    for place in places:
        if isinstance(place, str):
            assert core not in place
            continue
        for path in place.rglob("*"):
            assert core not in path.name
            if path.is_file():
                looked += 1
                assert core.encode() not in path.read_bytes(), path.name
    return looked


def told(error):
    """All that Python prints of an exception, and what a notebook shows."""
    shown = getattr(error, "_render_traceback_", list)()
    return "\n".join([str(error), repr(error), *traceback.format_exception(error), *shown])


def play(url, out, **settings):
    """A benchmark of which every party is a model at the endpoint; the error with which it ends, if any."""
    parties = {"target": f"target@{url}", "simulator": f"simulator@{url}", "judge": f"judge@{url}"}
    defaults = {"category": "jailbreak", "n": 2, "turns": 2, "timeout": 2.0}
    try:
        measure.benchmark(out=out, **(parties | defaults | settings))
    except (InputError, RunStopped) as error:
        return error
    return None


# Where the key goes


def error(words):
    return {"error": {"message": words, "type": "x", "code": "x"}}


ECHOES = {
    "a reply": (200, completion(f"You sent me {KEY}.")),
    "a reply that quotes as PHP does": (200, json.dumps(completion(f"You sent me {KEY}.")).replace("/", "\\/").encode()),
    "a reply that quotes as .NET does": (200, json.dumps(completion(f"You sent me {KEY}.")).replace("+", "\\u002b").encode()),
    "a filtered reply": (200, completion(f"You sent me {KEY}.", finish="content_filter")),
    "no chat completion": (200, {"choices": [{"headers": f"Bearer {KEY}"}]}),
    "no JSON": (200, f"<html>Bearer {KEY}".encode()),
    "400": (400, error(f"Bad request, Authorization: Bearer {KEY}")),
    "400, filtered": (400, error(f"content_filter for {KEY}")),
    "400, context": (400, error(f"maximum context length exceeded by {KEY}")),
    "401": (401, error(f"Incorrect API key provided: {KEY}.")),
    "400, in the middle of a long sentence": (400, error(f"{'x' * 380} {KEY}")),
    "no JSON, but quoted as in JSON": (200, b"<pre>" + json.dumps(f"Bearer {KEY}").replace("/", "\\/").encode()),
    "402": (402, error(f"Account of {KEY} has no credit.")),
    "404": (404, error(f"No such model for {KEY}.")),
    "429": (429, error(f"Rate limit of {KEY}.")),
    "500": (500, error(f"Unhandled exception in request with key {KEY}")),
    "502": (502, f"<html><body>Bearer {KEY}</body></html>".encode()),
}


@pytest.mark.parametrize("what", ECHOES)
def test_an_endpoint_that_repeats_the_key(endpoint, planted, tmp_path, monkeypatch, caplog, capfd, what):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("rai_kit.models.endpoint.DEADLINE", 0.1)
    good = completion("A good answer.")
    # Once well, so that there is a journal, and then with the key, for every role.
    endpoint.answer = lambda body: (200, good) if len(endpoint.requests) == 1 else ECHOES[what]
    ended = play(endpoint.url, tmp_path / "run", concurrency=1)
    assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
    shown = capfd.readouterr()
    looked = assert_nowhere(tmp_path, shown.out, shown.err, caplog.text, told(ended) if ended else "")
    assert looked >= 2
    if "reply" in what and ended is None:
        assert "[key]" in (tmp_path / "run" / "conversations.jsonl").read_text(), "it says that something was left out"


@pytest.mark.parametrize("service", ["openai", "azure"])
@pytest.mark.parametrize("what", ["a reply", "401", "500"])
def test_the_keys_of_openai_and_azure(endpoint, planted, tmp_path, monkeypatch, caplog, capfd, service, what):
    caplog.set_level(logging.DEBUG)
    if service == "openai":
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    else:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", endpoint.url.removesuffix("/v1"))
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    endpoint.answer = lambda body: ECHOES[what]
    settings = {"target": "gpt-a", "simulator": "gpt-b", "judge": "gpt-c", "concurrency": 1}
    ended = play("", tmp_path / "run", **settings)
    sent = endpoint.headers[0]
    assert sent["authorization" if service == "openai" else "api-key"].endswith(KEY)
    shown = capfd.readouterr()
    assert_nowhere(tmp_path, shown.out, shown.err, caplog.text, told(ended) if ended else "")
    assert any("httpx" in record.name or "openai" in record.name for record in caplog.records), "their loggers were heard"


def test_each_key_goes_to_its_own_endpoint_only(endpoint, tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{KEY}-{name}")
    play(endpoint.url, tmp_path / "run", n=1)
    assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}-RAI_KIT_API_KEY"}
    assert not any("OPENAI_API_KEY" in value for headers in endpoint.headers for value in headers.values())


def test_while_a_run_is_on_its_log_has_no_key_either(endpoint, planted, tmp_path):
    endpoint.answer = lambda body: ECHOES["a reply"] if len(endpoint.requests) % 2 else ECHOES["400"]
    journal = Journal(tmp_path / "j.sqlite")

    async def ask():
        model = ChatModel(f"m@{endpoint.url}", journal=journal)
        replies = [await model([Message("user", "Hi")], seed=seed) for seed in range(4)]
        await model.close()
        return replies

    replies = asyncio.run(ask())
    assert {reply.cause for reply in replies} == {None, "error"}
    assert (tmp_path / "j.sqlite-wal").stat().st_size
    assert_nowhere(tmp_path, repr(replies))
    journal.close()


class Redirect(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(302)
        self.send_header("location", f"http://127.0.0.1:9/login?key={KEY}")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def test_a_redirect_that_repeats_the_key(planted, tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        ended = play(f"http://127.0.0.1:{server.server_port}/v1", tmp_path / "run", concurrency=1)
        server.shutdown()
    assert "redirect" in str(ended)
    assert_nowhere(tmp_path, told(ended))


@pytest.mark.parametrize(
    "key",
    [f"{KEY}\n", f"{KEY}\r\nX-Other: 1", f" {KEY}", f"{KEY}é", f"{KEY}\x7f"],
    ids=["line", "header", "space", "letter", "control"],
)
@pytest.mark.parametrize("variable", ["RAI_KIT_API_KEY", "OPENAI_API_KEY"])
def test_a_key_that_no_header_can_hold_is_one_sentence_or_mended(endpoint, tmp_path, monkeypatch, caplog, variable, key):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(variable, key)
    own = variable == "RAI_KIT_API_KEY"
    if not own:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    ended = play(endpoint.url, tmp_path / "run", n=1, **({} if own else {"target": "a", "simulator": "scripted", "judge": "b"}))
    assert_nowhere(tmp_path, caplog.text, told(ended) if ended else "")
    if ended is None:
        assert all(headers["authorization"] == f"Bearer {KEY}" for headers in endpoint.headers)
        assert not any("x-other" in headers for headers in endpoint.headers)
        assert key.strip() == KEY
    else:
        assert variable in str(ended)


SECRET_PLACES = {
    "user and password": "http://user:{0}@127.0.0.1:{1}/v1",
    "user": "http://{0}@127.0.0.1:{1}/v1",
    "query": "http://127.0.0.1:{1}/v1?api-key={0}",
}


@pytest.mark.parametrize("where", SECRET_PLACES)
@pytest.mark.parametrize("place", ["address", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"])
def test_a_secret_in_an_address_is_refused_or_kept_out(endpoint, tmp_path, monkeypatch, caplog, capfd, where, place):
    caplog.set_level(logging.DEBUG)
    url = SECRET_PLACES[where].format(CORE, endpoint.url.split(":")[2].removesuffix("/v1"))
    target = f"m@{url}"
    if place != "address":
        target = "gpt-x"
        monkeypatch.setenv(place, url)
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "another")
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    ended = play("", tmp_path / "run", target=target, simulator="scripted", judge="offline", n=1)
    shown = capfd.readouterr()
    assert_nowhere(tmp_path, shown.out, shown.err, caplog.text, told(ended) if ended else "")


def test_the_password_of_a_proxy(unused_port, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("rai_kit.models.endpoint.FIRST_SECONDS", 0.0, raising=False)
    monkeypatch.setattr("rai_kit.models.endpoint.backoff", lambda attempt, random: 0.001)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://user:{CORE}@127.0.0.1:{unused_port}")
    ended = play("http://models.invalid/v1", tmp_path / "run", simulator="scripted", judge="offline", n=1)
    assert "nothing answers" in str(ended)
    assert_nowhere(tmp_path, caplog.text, told(ended))


def test_batches_that_repeat_the_key(planted, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    count = 0

    def answer(body):
        nonlocal count
        count += 1
        return ECHOES["a reply" if count % 2 else "400"]

    said = []
    cases = [
        Case(id=str(number), messages=(Message("user", "Hi"), Message("assistant", f"Ho {number}")), rubric="harm")
        for number in range(4)
    ]
    with BatchEndpoint(answer, key=KEY) as batches:
        journal = Journal(tmp_path / "j.sqlite")
        model = ChatModel(f"judge@{batches.url}", journal=journal)
        verdicts = asyncio.run(
            judge_in_batches(cases, lambda one: LLMJudge(one, name="j"), model, poll_seconds=0.01, progress=said.append)
        )
        journal.close()
        assert {verdict.cause for verdict in verdicts} == {"judge:unparsable", "judge:error"}
        (tmp_path / "verdicts.txt").write_text(repr(verdicts))
        assert_nowhere(tmp_path, caplog.text, "\n".join(said))


def test_no_repr_shows_a_key(endpoint, planted, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    own, hosted = ChatModel(f"m@{endpoint.url}"), ChatModel("gpt-x")
    for model in (own, hosted):
        asyncio.run(_asked(model))
        for thing in (model, model._endpoint, LLMUser(model), LLMJudge(model, name="j"), model.identity, model.left_out):
            assert_nowhere(repr(thing), str(thing))
    assert_nowhere(repr(EmbeddedServer("http://127.0.0.1:1/v1", Path("w.gguf"), KEY, None)))


async def _asked(model):
    await model([Message("user", "Hi")], seed=0)
    await model.close()


def test_an_unexpected_error_shows_no_key(endpoint, planted, tmp_path, monkeypatch):
    def breaks(*args, **named):
        raise RuntimeError("a mistake in the kit")

    monkeypatch.setattr("rai_kit.models.wire.read", breaks)
    with pytest.raises(RuntimeError, match="a mistake") as broken:
        measure.benchmark(f"m@{endpoint.url}", out=tmp_path / "run", category="jailbreak", n=1)
    assert_nowhere(tmp_path, told(broken.value))


@pytest.mark.parametrize(("mode", "code"), [("good", 0), ("500", 0), ("401", 2)])
def test_the_command_line_with_all_that_can_be_logged(tmp_path, mode, code):
    loud = {"OPENAI_LOG": "debug", "PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1", "PYTHONFAULTHANDLER": "1"}
    environment = os.environ | dict.fromkeys(VARIABLES, KEY) | loud
    fault = lambda body, attempt: mode if body["model"] == "judge" and attempt == 1 else None  # noqa: E731
    with MockEndpoint(faults=fault) as mock:
        parties = ["--target", f"target@{mock.url}", "--target", "gpt-x", "--judge", f"judge@{mock.url}"]
        amount = ["--category", "jailbreak", "-n", "2", "--turns", "1", "--concurrency", "1"]
        done = subprocess.run(
            [sys.executable, "-m", "rai_kit", "benchmark", *parties, *amount, "--out", tmp_path / "run"],
            env=environment | {"OPENAI_BASE_URL": mock.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == code, done.stderr
    assert assert_nowhere(tmp_path, done.stdout, done.stderr) >= 2


def test_notebooks_and_reports_have_no_key_and_nobody_else_can_listen(planted, tmp_path, capfd):
    """A notebook whose key expires on the way: what it wrote, and who listens while it runs."""
    listening = set()

    def fault(body, attempt):
        if len(listening) < 2 or len(mock.modes) == 20:
            listening.update(listeners(os.getpid()))
        return "401" if len(mock.modes) > 30 else None

    said = []
    with MockEndpoint(faults=fault) as mock:
        given = {"targets": [f"target@{mock.url}"], "judge": f"judge@{mock.url}", "n": 4, "concurrency": 2}
        with pytest.raises(NotebookFailed, match="refused the key") as stopped:
            report.run_notebooks(["03"], "smoke", given, tmp_path / "run", progress=said.append)
    shown = capfd.readouterr()
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"notebooks", "report.html", "run.json", "journal.sqlite"}
    assert_nowhere(tmp_path, shown.out, shown.err, "".join(said), told(stopped.value))
    assert len(listening) > 2, "the endpoint, and the kernel with its channels"
    assert {address for address, _ in listening} == {"127.0.0.1"}


# Who can be reached


def listeners(pid):
    """Address and port of the TCP sockets on which a process or its descendants listen, as the kernel tells it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    owned = set()
    for member in family:
        for link in Path(f"/proc/{member}/fd").glob("*"):
            with contextlib.suppress(OSError):
                owned.add(os.readlink(link))
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == "0A" and f"socket:[{inode}]" in owned:
                    address, port = local.split(":")
                    loopback = {"0100007F": "127.0.0.1", "00000000000000000000000001000000": "127.0.0.1"}
                    found.add((loopback.get(address, address), int(port, 16)))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux who listens")


@needs_proc
def test_the_servers_of_the_tests_can_be_reached_from_this_machine_only(endpoint):
    with MockEndpoint() as mock, BatchEndpoint(lambda body: (200, completion("x"))) as batches:
        found = listeners(os.getpid())
    ports = {int(url.rsplit(":", 1)[1].removesuffix("/v1")) for url in (mock.url, batches.url, endpoint.url)}
    assert ports <= {port for _, port in found}
    assert {address for address, _ in found} == {"127.0.0.1"}


@needs_proc
def test_the_served_model_can_be_reached_from_this_machine_only(unused_port):
    command = [sys.executable, "-m", "rai_kit", "serve", "--port", str(unused_port)]
    environment = os.environ | {"RAI_KIT_API_KEY": KEY}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        assert listeners(process.pid) == {("127.0.0.1", unused_port)}
    finally:
        process.send_signal(signal.SIGKILL)
        rest = process.communicate(timeout=30)
    assert_nowhere(*lines, *rest)


# What others made


def test_nothing_is_unpickled_or_evaluated():
    names = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    calls = {"eval", "exec", "compile", "__import__"}
    attributes = {f"yaml.{name}" for name in ("load_all", "full_load", "unsafe_load", "Loader", "UnsafeLoader", "FullLoader")}
    attributes |= {"torch.load", "pd.read_pickle", "os.system", "os.popen"}

    def is_bad(node):
        match node:
            case ast.Import():
                return any(alias.name.split(".")[0] in names for alias in node.names)
            case ast.ImportFrom():
                return (node.module or "").split(".")[0] in names
            case ast.Attribute():
                return ast.unparse(node) in attributes
            case ast.Call():
                function, words = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
                loads_all = function == "yaml.load" and "Loader" not in words
                return function in calls or loads_all or {words.get("shell"), words.get("allow_pickle")} - {None, "False"}
        return False

    sources = {path: path.read_text(encoding="utf-8") for path in sorted((PROJECT / "rai_kit").rglob("*.py"))}
    assert len(sources) > 40
    assert [
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for path, text in sources.items()
        for node in ast.walk(ast.parse(text))
        if is_bad(node)
    ] == []


HOSTILE_JOURNALS = {
    "a trigger on calls": "CREATE TRIGGER t AFTER INSERT ON calls BEGIN DELETE FROM calls; END",
    "a trigger on events": "CREATE TRIGGER t AFTER INSERT ON events BEGIN UPDATE calls SET reply = '{}'; END",
    "a view in place of calls": "ALTER TABLE calls RENAME TO other; CREATE VIEW calls AS SELECT * FROM other",
    "a view in place of batches": (
        "DROP TABLE batches; CREATE VIEW batches AS SELECT key AS id, key AS endpoint, key AS keys, at FROM calls"
    ),
    "a view that goes on and on": (  # and without the limit for ever, until the disk is full
        "DROP TABLE events; CREATE VIEW events AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) "
        "SELECT i AS id, i AS key, '{}' AS reply, '' AS at FROM n"
    ),
    "a column that is computed": (
        "DROP TABLE events; CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT, reply TEXT, at TEXT, "
        "x AS (printf('%s', zeroblob(100000000))))"
    ),
    "a column that is missing": "DROP TABLE events; CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT)",
}


def journal_with(path, *replies):
    journal = Journal(path)
    for number, text in enumerate(replies):
        journal.put(str(number), {"number": number}, Reply(text=text))
    journal.close()
    return path


def meddled(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("what", HOSTILE_JOURNALS)
def test_a_journal_that_is_more_than_rows_is_refused(tmp_path, what):
    path = journal_with(tmp_path / "theirs.sqlite", "an answer")
    before = meddled(path, HOSTILE_JOURNALS[what])
    own = Journal(tmp_path / "own.sqlite")
    own.put("k", {}, Reply(text="mine"))
    for use in (Journal, own.merge, lambda path: Journal(tmp_path / "new.sqlite", also=path).get("0")):
        with pytest.raises(InputError, match="no journal"):
            use(path)
        assert path.read_bytes() == before
    assert own.get("k") == Reply(text="mine")
    assert len(own) == 1
    own.close()


@pytest.mark.parametrize(
    "value", ["'{'", "'{\"text\": 5}'", "x'00ff'", "CAST(x'7bff' AS TEXT)", "7", '\'{"text": "a", "cause": 3}\'', "'[]'"]
)
def test_a_reply_that_is_none_is_one_sentence(tmp_path, value):
    path = journal_with(tmp_path / "j.sqlite", "an answer")
    meddled(path, f"UPDATE calls SET reply = {value}")
    with pytest.raises(InputError, match="j.sqlite"):
        Journal(path).get("0")


WORDS = (
    "'); DROP TABLE calls; --",
    '"; DELETE FROM events',
    "{0.__class__.__mro__} {persona} %s %(x)s ${HOME} $(touch made) `touch made` {{7*7}}",
    "<script>fetch('http://127.0.0.1:9')</script>\x00\u202e",
    "!!python/object/apply:os.system ['touch made']",
    "../../../../tmp/made",
)


def test_words_are_words_to_the_journal(tmp_path):
    for name in ("x'; DROP TABLE calls; --.sqlite", "file:x?mode=memory&immutable=1", "a b#c%20d.sqlite"):
        journal = Journal(tmp_path / name)
        for word in WORDS:
            journal.put(word, {"text": word}, Reply(text=word))
            journal.put(word + "?", {}, Reply(cause="error", detail=word))
            journal.add_batch(word, word, [word])
        journal.close()
        assert (tmp_path / name).exists()
        again = Journal(tmp_path / f"merged-{len(name)}.sqlite", also=tmp_path / name)
        assert [again.get(word).text for word in WORDS] == list(WORDS)
        assert again.merge(tmp_path / name) == len(WORDS)
        assert journal.batches(WORDS[0]) == {WORDS[0]: [WORDS[0]]}
        again.close()
        journal.close()


def test_words_are_words_to_a_run(endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = draw_scenarios("rai5", categories=["jailbreak"], n=len(WORDS), turns=2)
    fields = ("id", "opening", "goal", "persona", "topic", "template", "cluster", "system")
    hostile = [
        type(one)(**{name: getattr(one, name) for name in one.__slots__} | dict.fromkeys(fields, word))
        for one, word in zip(drawn, WORDS, strict=True)
    ]
    write_jsonl(tmp_path / "theirs.jsonl", hostile)
    assert load_scenarios(tmp_path / "theirs.jsonl") == hostile
    endpoint.answer = lambda body: (200, completion(WORDS[len(endpoint.requests) % len(WORDS)]))
    assert play(endpoint.url, tmp_path / "run", scenarios=tmp_path / "theirs.jsonl") is None
    sent = [message["content"] for body in endpoint.requests for message in body["messages"]]
    assert all(any(word == text for text in sent) for word in WORDS if word.strip()), "as it stands, nothing filled in"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "theirs.jsonl"]
    assert not Path("/tmp/made").exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['touch made']", "!!python/name:os.system", "!!python/object/new:os.PathLike []"]
)
def test_no_tag_of_a_yaml_file_makes_anything(tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "theirs.yaml"
    file.write_text(f"03_rai_benchmark: {{ n: {tag} }}\n")
    with pytest.raises(InputError, match=r"theirs\.yaml"):
        report.load_profile(file)
    file.write_text(f"currency: USD\nmodels: {tag}\n")
    with pytest.raises(InputError, match=r"theirs\.yaml"):
        Prices.load(file)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.yaml"]


def test_a_report_is_made_of_notebooks_without_running_them(tmp_path, monkeypatch):
    import nbformat
    from bs4 import BeautifulSoup

    monkeypatch.chdir(tmp_path)
    new = nbformat.v4
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)><iframe srcdoc='<script>alert(3)</script>'></iframe>"
    cells = [
        new.new_markdown_cell(f"# Theirs {bad}"),
        new.new_code_cell(
            "open('made', 'w').close()",
            outputs=[
                new.new_output("display_data", data={"text/html": bad}),
                new.new_output("display_data", data={"application/javascript": "alert(4)"}),
                new.new_output("stream", text=bad),
                new.new_output("error", ename=bad, evalue=bad, traceback=[bad]),
            ],
        ),
    ]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new.new_notebook(cells=cells), tmp_path / "notebooks" / "theirs.ipynb")
    record = {"notebooks": [{"name": "theirs", "error": bad, "parameters": {"target": bad}}], "profile": bad, "python": bad}
    (tmp_path / "run.json").write_text(json.dumps(record))
    page = BeautifulSoup(report.render(tmp_path, ["theirs"]).read_text(encoding="utf-8"), "html.parser")
    assert "Theirs" in page.get_text()
    assert not page.select("script, iframe, object, embed, form, base, link, meta[http-equiv=refresh]")
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on") or name == "srcdoc"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks", "report.html", "run.json"]
