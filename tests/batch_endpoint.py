"""A real server on the loopback address that speaks files, batches and chat completions, and counts what it would have billed.

A batch moves on by being asked after, not by the clock: each state before the last one is shown `Course.polls` times.
"""

from __future__ import annotations

import email
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BEFORE = {
    "completed": ("validating", "in_progress", "finalizing"),
    "expired": ("validating", "in_progress", "finalizing"),
    "cancelled": ("validating", "in_progress", "cancelling"),
    "failed": ("validating",),
    "stuck": ("validating", "in_progress"),
}
LOST = "lost"
"""A fault: the request is carried out, and the connection breaks before the reply."""


@dataclass
class Course:
    """How one batch goes.

    Attributes:
        end: Its last state; `stuck` never leaves `in_progress`.
        share: Share of its calls that are carried out before it expires or is cancelled.
        errors: What its object says when it failed, as (code, message).
        polls: How often each earlier state is shown.
        arrange: What becomes of the lines of the output file.
        told: Whether calls that were not carried out stand in the error file.
    """

    end: str = "completed"
    share: float = 1.0
    errors: Sequence[tuple[str, str]] = ()
    polls: int = 1
    arrange: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda lines: lines
    told: bool = True


@dataclass
class _Batch:
    id: str
    file: str
    metadata: Any
    course: Course
    calls: int
    outcomes: list[dict[str, Any]]
    polls: int = 0

    @property
    def status(self) -> str:
        states = BEFORE[self.course.end]
        last = "in_progress" if self.course.end == "stuck" else self.course.end
        return (*states, last)[min(self.polls // self.course.polls, len(states))]


@dataclass
class BatchEndpoint:
    """The server; use it in a `with` statement.

    Attributes:
        answer: Body of one call -> (status, body), for batches and for live calls.
        courses: How batches go, in the order of their creation; afterwards `Course()`.
        faults: (event, status or `LOST`), each met once, in this order for each event.
        on: Called with each event: `files`, `batches`, `list`, `poll`, `content`, `chat` as it arrives, and `EVENT:done` when it is carried
            out and not yet answered, and `EVENT:sent` afterwards.
        queue: Most calls under way at a time.
        batches: Whether there is a Batch API at all.
        key: The key that it asks for, if any.
        listed_from: How often the list is asked for before it shows anything.
        billed: How often each custom_id was carried out with an answer.
        live: Bodies of the live calls.
        seen: How often each event happened.
        lines: All lines that were uploaded, by file.
    """

    answer: Callable[[dict[str, Any]], tuple[int, Any]]
    courses: list[Course] = field(default_factory=list)
    faults: list[tuple[str, int | str]] = field(default_factory=list)
    on: Callable[[str], None] = lambda event: None
    queue: int | None = None
    batches: bool = True
    key: str | None = None
    listed_from: int = 0
    billed: Counter[str] = field(default_factory=Counter)
    live: list[dict[str, Any]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    made: dict[str, _Batch] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    created: int = 0
    url: str = ""

    def __enter__(self) -> BatchEndpoint:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"endpoint": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take_fault(self, event: str) -> int | str | None:
        """The next fault of this event, if one is due."""
        with self._lock:
            due = next((fault for fault in self.faults if fault[0] == event), None)
            if due is not None:
                self.faults.remove(due)
        return due[1] if due else None

    def upload(self, content_type: str, data: bytes) -> tuple[int, Any]:
        parts = email.message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + data).get_payload()
        form = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        assert form["purpose"] == b"batch"
        with self._lock:
            id = f"file-{len(self.lines) + 1}"
            self.lines[id] = [json.loads(line) for line in form["file"].splitlines()]
        return 200, {"id": id, "object": "file", "bytes": len(data), "created_at": 0, "filename": "x", "purpose": "batch"} | {
            "status": "processed"
        }

    def create(self, body: dict[str, Any]) -> tuple[int, Any]:
        assert body["completion_window"] == "24h"
        assert body["endpoint"] == "/v1/chat/completions"
        with self._lock:
            lines = self.lines[body["input_file_id"]]
            course = self.courses.pop(0) if self.courses else Course()
            under_way = sum(batch.calls for batch in self.made.values() if batch.status not in BEFORE)
            if self.queue is not None and under_way + len(lines) > self.queue:
                course = Course(end="failed", errors=[("token_limit_exceeded", f"Enqueued token limit reached: {self.queue}.")])
            if len({line["custom_id"] for line in lines}) < len(lines):
                course = Course(end="failed", errors=[("duplicate_custom_id", "The custom_id is not unique.")])
            carried_out = 0 if course.end == "failed" else round(len(lines) * course.share)
            outcomes = [self._outcome(line) for line in lines[:carried_out]]
            code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(course.end)
            if code and course.told:
                error = {"code": code, "message": "This request could not be executed."}
                left = lines[carried_out:]
                outcomes += [{"id": "r", "custom_id": line["custom_id"], "response": None, "error": error} for line in left]
            self.created += 1
            id = f"batch_{self.created}"
            self.made[id] = _Batch(id, body["input_file_id"], body.get("metadata"), course, len(lines), outcomes)
            return 200, self._shown(self.made[id])

    def _outcome(self, line: dict[str, Any]) -> dict[str, Any]:
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        assert len(line["custom_id"]) <= 64
        status, body = self.answer(line["body"])
        if status == 200:
            self.billed[line["custom_id"]] += 1
        if status is None:  # an error without an HTTP status
            return {"id": "r", "custom_id": line["custom_id"], "response": None, "error": body}
        response = {"status_code": status, "request_id": "q", "body": body}
        return {"id": "r", "custom_id": line["custom_id"], "response": response, "error": None}

    def _shown(self, batch: _Batch) -> dict[str, Any]:
        status = batch.status
        ended = status not in BEFORE[batch.course.end]
        good = [line for line in batch.outcomes if (line["response"] or {}).get("status_code") == 200]
        bad = [line for line in batch.outcomes if line not in good]
        files: dict[str, str | None] = {"output_file_id": None, "error_file_id": None}
        for name, lines in (("output_file_id", batch.course.arrange(good)), ("error_file_id", bad)):
            if ended and lines:
                files[name] = f"file-{batch.id}-{name[:3]}"
                text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
                self.texts[str(files[name])] = text.encode()
        counts = {"total": batch.calls, "completed": len(good), "failed": len(bad)}
        if status == "validating" or batch.course.end == "failed":
            counts = dict.fromkeys(counts, 0)
        elif status == "in_progress":
            counts |= {"completed": len(good) // 2, "failed": 0}
        errors = [{"code": code, "message": message, "line": None, "param": None} for code, message in batch.course.errors]
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": batch.file,
            "metadata": batch.metadata,
            "status": status,
            "errors": {"object": "list", "data": errors} if ended and errors else None,
            "request_counts": counts,
            **files,
        }

    def poll(self, id: str) -> tuple[int, Any]:
        with self._lock:
            if id not in self.made:
                return 404, {"error": {"message": f"No batch found with id '{id}'.", "type": "invalid_request_error"}}
            shown = self._shown(self.made[id])
            self.made[id].polls += 1
            return 200, shown

    def list(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        with self._lock:
            batches = list(self.made.values())[::-1] if self.seen["list"] > self.listed_from else []
            if "after" in query:
                batches = batches[1 + [batch.id for batch in batches].index(query["after"][0]) :]
            limit = min(int(query.get("limit", ["20"])[0]), 2)  # small pages, so that they are turned
            return 200, {
                "object": "list",
                "data": [self._shown(batch) for batch in batches[:limit]],
                "has_more": len(batches) > limit,
            }


class _Handler(BaseHTTPRequestHandler):
    endpoint: BatchEndpoint
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = url.path.removeprefix("/v1/").split("/")
        if parts[0] == "files":
            self._serve("content", lambda: (200, self.endpoint.texts[parts[1]]))
        elif len(parts) == 1:
            self._serve("list", lambda: self.endpoint.list(parse_qs(url.query)))
        else:
            self._serve("poll", lambda: self.endpoint.poll(parts[1]))

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        path = self.path.removeprefix("/v1/")
        if path == "chat/completions":
            self._serve("chat", lambda: self._chat(json.loads(data)))
        elif path == "files":
            self._serve("files", lambda: self.endpoint.upload(self.headers["content-type"], data))
        else:
            self._serve("batches", lambda: self.endpoint.create(json.loads(data)))

    def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.endpoint.live.append(body)
        return self.endpoint.answer(body)

    def _serve(self, event: str, work: Callable[[], tuple[int, Any]]) -> None:
        endpoint = self.endpoint
        endpoint.seen[event] += 1
        endpoint.on(event)
        fault = endpoint.take_fault(event)
        if endpoint.key is not None and self.headers.get("authorization") != f"Bearer {endpoint.key}":
            status, body = 401, {"error": {"message": "Incorrect API key provided."}}
        elif event != "chat" and not endpoint.batches:
            status, body = 404, {"error": {"message": "Not Found"}}
        elif isinstance(fault, int):
            status, body = fault, {"error": {"message": f"fault {fault}"}}
        else:
            status, body = work()
            endpoint.on(f"{event}:done")
            if fault == LOST:
                self.close_connection = True
                return
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the other side was killed
            self.close_connection = True
            return
        endpoint.on(f"{event}:sent")

    def log_message(self, *args: object) -> None:
        pass
