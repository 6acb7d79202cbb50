"""Shared fixtures: a real HTTP endpoint on the loopback address whose answers a test decides, and a cache of its own."""

import contextlib
import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# A shell's background job ignores Ctrl-C, and so would every process that it starts; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All notebooks come first: they take longest, and another process goes through the other files meanwhile."""
    items.sort(key=lambda item: item.path.stem != "test_notebooks_run")


def completion(text: str | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """The body of a chat completion as an OpenAI-compatible endpoint sends it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage} | more


@dataclass
class Endpoint:
    """`answer` maps a request's body to (status, body); every request is kept with its headers."""

    answer: Callable[[dict[str, Any]], tuple[int, Any]] = lambda body: (200, completion("Hello."))
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def endpoint():
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.requests.append(body)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, answer = state.answer(body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked may have hung up
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    """No test sees or sends a key of the machine it runs on."""
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_ENDPOINT",
        "OPENAI_API_VERSION",
        "RAI_KIT_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def unused_port():
    """A port of the loopback address on which nobody listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
