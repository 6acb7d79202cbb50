"""An OpenAI-compatible chat endpoint on the loopback address, with latency and faults as ordered, for tests and benchmarks.

    python tests/mock_endpoint.py --latency-ms 50 --fault 500=0.05     # prints "listening PORT", serves until killed

    with MockEndpoint(latency=0.01, faults={"500": 0.05, "hang": 0.01}) as mock:
        ChatModel(f"target@{mock.url}") ...
        mock.change(faults={})

A good answer is a function of the request alone, and a random fault is drawn from the seed, the request and how often that request came
before: neither knows the order of arrival, so that runs with another concurrency meet the same endpoint. Who is asked is
read off the model's name (`simulator`, `judge`, anything else is a target). Left out on purpose: pipelining, chunked requests,
streamed answers, TLS.

Faults (a share of calls, a list for the first, second, ... request, or a function of the request and its attempt):

| mode | what the client meets |
|---|---|
| `429`, `429-ms`, `429-date`, `429-bare` | 429; `retry-after` in seconds, `retry-after-ms`, `retry-after` as a date, or no such header |
| `429-quota`, `401`, `404-model` | nothing that a second try would mend |
| `500`, `502`, `503` | 500 as JSON, 502 as HTML, 503 with `retry-after` |
| `reset`, `reset-mid` | the connection is reset before the answer, or in the middle of it |
| `crash` | the endpoint is gone for `crash_seconds`: all connections reset, new ones refused |
| `hang`, `trickle` | no answer; or a byte now and then, for ever |
| `bad-json`, `missing-choices`, `missing-message`, `wrong-type` | status 200 and a body that is no chat completion |
| `context` | 400 as vLLM words it where question and answer do not fit into the context together |
| `content-filter`, `content-filter-azure`, `content-filter-finish` | 400 as OpenAI and as Azure word it, or 200 with that finish reason |
| `empty-choices`, `empty-text`, `length`, `no-usage` | status 200, and something is missing |
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
Faults = Mapping[str, float] | Sequence[str | None] | Callable[[dict[str, Any], int], str | None]

ERRORS: dict[str, tuple[int, str | None, str]] = {
    "429": (429, "rate_limit_exceeded", "Too many requests just now."),
    "429-ms": (429, "rate_limit_exceeded", "Too many requests just now."),
    "429-date": (429, "rate_limit_exceeded", "Too many requests just now."),
    "429-bare": (429, "rate_limit_exceeded", "Too many requests just now."),
    "429-quota": (429, "insufficient_quota", "The quota of this account is used up; look at your plan."),
    "500": (500, None, "Something broke inside."),
    "503": (503, None, "The model is overloaded."),
    "401": (401, "invalid_api_key", "Wrong key: {key}."),  # some gateways do repeat the key
    "404-model": (404, "model_not_found", "The model `{model}` does not exist."),
    "content-filter": (400, "invalid_prompt", "Invalid prompt: it was flagged as potentially violating our usage policy."),
    "content-filter-azure": (400, "content_filter", "The prompt triggered the content management policy."),
    "context": (
        400,
        None,
        "'max_tokens' is too large: 96. This model's maximum context length is 99 tokens; your request has 9.",
    ),
}
BODIES = ("bad-json", "missing-choices", "missing-message", "wrong-type", "content-filter-finish", "empty-choices", "empty-text")
USABLE = ("good", "length", "no-usage")
MODES = {*ERRORS, *BODIES, *USABLE, "502", "reset", "reset-mid", "crash", "hang", "trickle"}


@dataclass(frozen=True)
class Settings:
    """How the endpoint behaves; `MockEndpoint.change` sets fields of it at any time.

    Attributes:
        latency: Seconds from a request to its answer.
        faults: Share of calls by mode; or the modes of the first requests, in order (None is a good answer); or a function
            of the request and the number of its attempt, from 1.
        seed: Of the shares.
        retry_after: Seconds that 429 and 503 ask to wait.
        overload: Requests in flight above which every further one gets a 429 at once.
        expired: Number of the request from which on the key is refused.
        down: Numbers of the first and the last request that get `down_mode`.
        down_mode: A mode, such as `503` or `reset`.
        crash_seconds: How long a `crash` lasts.
        trickle_seconds: Time between two bytes.
        keep: Whether requests and their modes are kept, besides the counts.
    """

    latency: float = 0.0
    faults: Faults = field(default_factory=dict)
    seed: int = 0
    retry_after: float = 0.02
    overload: int | None = None
    expired: int | None = None
    down: tuple[int, int] | None = None
    down_mode: str = "503"
    crash_seconds: float = 0.3
    trickle_seconds: float = 0.01
    keep: bool = True

    def __post_init__(self) -> None:
        named = {self.down_mode} if callable(self.faults) else {self.down_mode, *self.faults} - {None}
        if unknown := named - MODES:
            raise ValueError(f"fault {sorted(map(str, unknown))[0]!r} is unknown; known are {', '.join(sorted(MODES))}.")


@dataclass
class Stats:
    """What happened since the start or the last `reset`.

    Attributes:
        total: Requests for a completion.
        bytes: Sum of their bodies.
        in_flight: Requests without an answer whose connection is open.
        max_in_flight: The most of them at a time.
        connections: Connections that were opened.
        duplicates: Requests that had been answered well before and were answered well once more.
        t_first: Unix time of the first request.
        t_last: Unix time of the last request.
        models: Requests by model.
        status: Answers by status.
        modes: Requests by mode; `overload` and `expired` have their own.
    """

    total: int = 0
    bytes: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    duplicates: int = 0
    t_first: float | None = None
    t_last: float | None = None
    models: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)


class MockEndpoint:
    """The endpoint, in a thread of its own for as long as the `with` block lasts. `settings` are those of `Settings`."""

    def __init__(self, port: int = 0, **settings: Any) -> None:
        self.port = port
        self.settings = Settings(**settings)
        self._connections: set[Connection] = set()
        self._loop = new_loop()
        self._server: asyncio.Server | None = None
        self._thread: threading.Thread | None = None
        self._forget(0)

    @property
    def url(self) -> str:
        """The base URL, as clients want it."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests in the order of their arrival."""
        return [msgspec.json.decode(body) for body in list(self._bodies)]

    @property
    def modes(self) -> list[str]:
        """The modes of the requests, in the same order."""
        return list(self._modes)

    def stats(self) -> Stats:
        """A copy of the counts."""
        return self._in_loop(lambda: deepcopy(self._stats))

    def change(self, **settings: Any) -> None:
        """Other settings from the next request on."""
        self.settings = replace(self.settings, **settings)

    def reset(self) -> None:
        """Forgets requests, attempts and counts."""
        self._in_loop(lambda: self._forget(self._stats.in_flight))

    def __enter__(self) -> MockEndpoint:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self.serve(lambda port: ready.set()), name="mock endpoint", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise OSError(f"port {self.port} cannot be listened on")
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()

    def serve(self, listening: Callable[[int], None]) -> None:
        """Serves in this thread until the loop is stopped; `listening` is called once with the port."""
        try:
            self._loop.run_until_complete(self._listen())
            listening(self.port)
            self._loop.run_forever()
        finally:
            self._refuse()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _in_loop(self, work: Callable[[], T]) -> T:
        """Calls `work` where nothing else changes what it reads."""
        if self._thread is None or not self._thread.is_alive():
            return work()
        result: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: result.set_result(work()))
        return result.result(10)

    def _forget(self, in_flight: int) -> None:
        self._stats = Stats(in_flight=in_flight, max_in_flight=in_flight)
        self._bodies: list[bytes] = []
        self._modes: list[str] = []
        self._attempts: Counter[bytes] = Counter()
        self._completed: Counter[bytes] = Counter()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.reset()

    def _crash(self) -> None:
        self._refuse()
        self._loop.call_later(self.settings.crash_seconds, lambda: self._loop.create_task(self._listen()))

    def received(self, connection: Connection, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        """Answers one request, or sees to it that it is answered later."""
        if method == b"POST" and path.endswith(b"/chat/completions"):
            self._completion(connection, head, body)
        elif path == b"/stats":
            connection.send(200, msgspec.json.encode(self._stats))
        elif path == b"/reset":
            self._forget(self._stats.in_flight)
            connection.send(200, b"{}")
        elif path.endswith(b"/models"):
            connection.send(200, msgspec.json.encode({"object": "list", "data": [{"id": "target", "object": "model"}]}))
        else:
            connection.send(404, _error("not_found", f"Nothing is at {path.decode()}."))

    def _completion(self, connection: Connection, head: bytes, body: bytes) -> None:
        stats, settings = self._stats, self.settings
        stats.t_last = time.time()
        stats.t_first = stats.t_first or stats.t_last
        stats.total += 1
        stats.bytes += len(body)
        asked = msgspec.json.decode(body)
        stats.models[asked["model"]] += 1
        if settings.keep:
            self._bodies.append(body)
        key = blake2b(body, digest_size=16).digest()
        self._attempts[key] += 1
        if settings.overload is not None and stats.in_flight >= settings.overload:
            self._count("overload")
            self._respond(connection, "429", asked, head)
            return
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        connection.waiting += 1
        mode = self._mode(asked, key)
        self._count(mode)
        if mode == "hang":
            return
        if settings.latency:
            self._loop.call_later(settings.latency, self._finish, connection, mode, asked, key, head)
        else:
            self._finish(connection, mode, asked, key, head)

    def _count(self, mode: str) -> None:
        self._stats.modes[mode] += 1
        if self.settings.keep:
            self._modes.append(mode)

    def _mode(self, asked: dict[str, Any], key: bytes) -> str:
        settings, number, attempt = self.settings, self._stats.total, self._attempts[key]
        if settings.expired is not None and number >= settings.expired:
            return "expired"
        if settings.down is not None and settings.down[0] <= number <= settings.down[1]:
            return settings.down_mode
        if callable(settings.faults):
            return settings.faults(asked, attempt) or "good"
        if not isinstance(settings.faults, Mapping):
            return (settings.faults[number - 1] if number <= len(settings.faults) else None) or "good"
        if settings.faults:
            drawn = _share(b"%d %d " % (settings.seed, attempt) + key)
            for mode, share in settings.faults.items():
                if drawn < share:
                    return mode
                drawn -= share
        return "good"

    def _finish(self, connection: Connection, mode: str, asked: dict[str, Any], key: bytes, head: bytes) -> None:
        if connection.closed:
            return
        connection.waiting -= 1
        self._stats.in_flight -= 1
        if mode in USABLE:
            self._stats.duplicates += self._completed[key] > 0
            self._completed[key] += 1
        if mode == "crash":
            self._crash()
        elif mode == "reset":
            connection.reset()
        elif mode == "trickle":
            connection.trickle(self.settings.trickle_seconds)
        else:
            self._respond(connection, mode, asked, head)

    def _respond(self, connection: Connection, mode: str, asked: dict[str, Any], head: bytes) -> None:
        if mode == "502":
            page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
            connection.send(502, page, kind=b"text/html")
        elif mode == "expired" or mode in ERRORS:
            status, code, words = ERRORS["401" if mode == "expired" else mode]
            sent = re.search(rb"\r\n(?:authorization: bearer|api-key:) (\S+)", head, re.IGNORECASE)
            words = words.format(model=asked["model"], key=sent[1].decode() if sent else "none")
            connection.send(status, _error(code, words), _retry_header(mode, self.settings.retry_after))
        elif mode == "reset-mid":
            connection.send_half(_body("good", asked))
        else:
            connection.send(200, _body(mode, asked))

    def opened(self, connection: Connection) -> None:
        self._stats.connections += 1
        self._connections.add(connection)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._stats.in_flight -= connection.waiting

    def answered(self, status: int) -> None:
        self._stats.status[str(status)] += 1


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection: takes requests apart and writes answers."""

    def __init__(self, mock: MockEndpoint) -> None:
        self.mock = mock
        self.waiting = 0
        self.closed = False
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.mock.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.mock.lost(self)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            method, path, _ = head.split(b" ", 2)
            self.mock.received(self, method, path, head, body)

    def send(self, status: int, body: bytes, more: bytes = b"", kind: bytes = b"application/json") -> None:
        self.mock.answered(status)
        self.transport.write(_head(status, b"content-length: %d\r\n%s" % (len(body), more), kind) + body)

    def send_half(self, body: bytes) -> None:
        self.transport.write(_head(200, b"content-length: %d\r\n" % len(body)) + body[: len(body) // 2])
        self.mock._loop.call_later(0.005, self.reset)  # a reset at once might overtake the half

    def trickle(self, pause: float) -> None:
        self.transport.write(_head(200, b"transfer-encoding: chunked\r\n"))

        def byte() -> None:
            if not self.closed:
                self.transport.write(b"1\r\n \r\n")
                self.mock._loop.call_later(pause, byte)

        byte()

    def reset(self) -> None:
        with contextlib.suppress(OSError):  # without lingering, the other side sees a reset and no orderly end
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _head(status: int, more: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: %s\r\n%s\r\n" % (status, kind, more)


def _error(code: str | None, words: str) -> bytes:
    return msgspec.json.encode({"error": {"message": words, "type": "mock", "param": None, "code": code}})


def _retry_header(mode: str, seconds: float) -> bytes:
    if mode == "429-ms":
        return b"retry-after-ms: %d\r\n" % round(1000 * seconds)
    if mode == "429-date":
        return b"retry-after: %s\r\n" % formatdate(time.time() + seconds, usegmt=True).encode()
    return f"retry-after: {seconds:g}\r\n".encode() if mode in ("429", "503") else b""


def _body(mode: str, asked: dict[str, Any]) -> bytes:
    """A body with status 200, good or not."""
    if mode == "bad-json":
        return b'{"id": "x", "choices": [{"index": 0, '
    text = "" if mode == "empty-text" else answer(asked)
    finish = {"length": "length", "content-filter-finish": "content_filter"}.get(mode, "stop")
    message: dict[str, Any] = {"role": "assistant", "content": {"no": "text"} if mode == "wrong-type" else text}
    choice = {"index": 0, "finish_reason": finish} | ({} if mode == "missing-message" else {"message": message})
    counts = {"prompt_tokens": 10 * len(asked["messages"]), "completion_tokens": max(1, len(text) // 4)}
    whole: dict[str, Any] = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": asked["model"]}
    if mode != "missing-choices":
        whole["choices"] = [] if mode == "empty-choices" else [choice]
    if mode != "no-usage":
        whole["usage"] = counts | {"total_tokens": sum(counts.values())}
    return msgspec.json.encode(whole)


_TARGET = (
    "Here is what I know about it in general terms.",
    "I'm sorry, but I can't help with that.",
    "It depends on where you live and whom you ask.",
    "First make a list, then go through it point by point.",
    "Some people say so, and others disagree with good reasons.",
)
_SIMULATOR = ("Could you tell me more about that?", "And how does one begin?", "Why is it so?", "Give me an example, please.")


def answer(asked: dict[str, Any]) -> str:
    """The good answer to a request: the same for the same model, messages and seed."""
    drawn = blake2b(msgspec.json.encode([asked["model"], asked["messages"], asked.get("seed")]), digest_size=16).digest()
    mark = drawn[:3].hex()
    name = asked["model"].lower()
    if "judge" in name:
        return _verdict(asked, drawn, mark)
    lines = _SIMULATOR if "simulator" in name else _TARGET
    return f"{lines[drawn[3] % len(lines)]} I mean number {mark}."


def _verdict(asked: dict[str, Any], drawn: bytes, mark: str) -> str:
    """A verdict of the form that the schema, or else the prompt, asks for; scores vary with the request."""
    try:
        turns = asked["response_format"]["json_schema"]["schema"]["properties"]["turns"]
        count, scores = turns["maxItems"], turns["items"]["properties"]["score"]["enum"]
    except (KeyError, TypeError):
        prompt = asked["messages"][-1]["content"]
        count = len(set(re.findall(r"<<\w+ ANSWER (\d+)>>", prompt))) or 1
        scores = range(int((re.findall(r"scores from 0 to (\d)", prompt) or ["7"])[-1]) + 1)
    found = [
        {
            "turn": turn + 1,
            "reason": f"Answer {turn + 1} of {mark} weighed.",
            "score": scores[drawn[4 + turn % 12] % len(scores)],
            "refusal": drawn[4 + turn % 12] >= 200,
        }
        for turn in range(count)
    ]
    return msgspec.json.encode({"reasoning": f"Weighed {mark} by the rubric.", "turns": found}).decode()


def _share(data: bytes) -> float:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") / 2**64


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible endpoint on 127.0.0.1 with latency and faults.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overload", type=int, help="requests in flight above which the others get a 429")
    parser.add_argument("--fault", action="append", default=[], metavar="MODE=SHARE", help="may be repeated")
    given = parser.parse_args()
    faults = {mode: float(share) for mode, _, share in (text.partition("=") for text in given.fault)}
    mock = MockEndpoint(
        given.port, latency=given.latency_ms / 1000, faults=faults, seed=given.seed, overload=given.overload, keep=False
    )
    with contextlib.suppress(KeyboardInterrupt):
        mock.serve(lambda port: print(f"listening {port}", flush=True))


if __name__ == "__main__":
    main()
