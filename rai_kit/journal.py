"""The append-only store of every finished model call, addressed by its content.

A call's key is the digest of everything that shapes its answer, so that any run resumes by running it again, and a
finished run reruns without a call. Only usable replies are stored as answers; filtered, empty and failed ones are events,
kept to be counted and never replayed. Every record is committed before anything is built on it, and a commit outlives the process,
however that ends. The file appears with the first record, so a run that could not start leaves none. It holds text and numbers only:
loading somebody else's journal executes nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from rai_kit.schema import InputError, Reply

T = TypeVar("T")
P = ParamSpec("P")

_APPLICATION_ID = 0x7261695F  # "rai_", so that a foreign SQLite file is recognised
_VERSION = 3
# Rows lie in the order of their coming, and only the small index is in the order of the keys: half the time of a table kept by key.
_TABLES = (
    # The long column comes last: a reply is read without the pages that its request fills.
    "CREATE TABLE calls (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, reply TEXT NOT NULL, at TEXT NOT NULL, "
    "request TEXT NOT NULL)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT NOT NULL, reply TEXT NOT NULL, at TEXT NOT NULL)",
    "CREATE TABLE batches (id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, keys TEXT NOT NULL, at TEXT NOT NULL)",
)
_TOKENS = """
SELECT json_extract(request, '$.endpoint'), json_extract(request, '$.model'),
       sum(coalesce(json_extract(reply, '$.prompt_tokens'), 0)), sum(coalesce(json_extract(reply, '$.completion_tokens'), 0))
FROM calls GROUP BY 1, 2
"""
READ_AHEAD, MOST_AHEAD = 100, 10_000
"""Rows that are read together, and kept at most until they are asked for."""
_REPLY = msgspec.json.Decoder(Reply)


def _look_up(connection: sqlite3.Connection, key: str) -> list[tuple[str, str]]:
    """Key and reply of a call and of those that came after it, which a rerun will ask for next; nothing where there is no such call."""
    row = connection.execute("SELECT id FROM calls WHERE key = ?", (key,)).fetchone()
    if row is None:
        return []
    return connection.execute("SELECT key, reply FROM calls WHERE id BETWEEN ? AND ?", (row[0], row[0] + READ_AHEAD)).fetchall()


def call_key(request: dict[str, Any]) -> str:
    """The key of a call: the digest of its whole request.

    That is the endpoint's identity, the model, messages, sampling parameters, the form asked of the answer, and the seed. The seed is
    also the number of the replicate: two calls that differ in it alone are never served from each other, even
    where an endpoint knows no seeds.
    """
    try:
        return hashlib.blake2b(msgspec.json.encode(request, order="sorted"), digest_size=16).hexdigest()
    except UnicodeEncodeError as error:
        raise InputError(
            f"a text of a call holds half a character (surrogate {error.object[error.start : error.end]!a}), which no endpoint "
            "can take; mend the text."
        ) from None


class Journal:
    """Finished calls of one run folder, or shared between several, also between processes on one machine.

    Args:
        path: SQLite file; it need not exist yet.
        also: A `snapshot` of another journal in which calls are looked up, too.

    Raises:
        InputError: The file is no journal, damaged, or of another version (nothing is overwritten then); at a `put`, it
            cannot be written, as on a full disk.
    """

    def __init__(self, path: str | Path, also: str | Path | None = None) -> None:
        self.path = Path(path)
        self._also = _AsItStands(also) if also is not None and Path(also).exists() else None
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._ahead: dict[str, str] = {}
        if self.path.exists():
            self._guarded(lambda connection: None)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_length()
        connection = self._connect()
        try:
            tables = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
            found = (
                connection.execute("PRAGMA application_id").fetchone()[0],
                connection.execute("PRAGMA user_version").fetchone()[0],
            )
            # Whatever else there is (a trigger, a view) was put there to do something: nothing runs but what the kit has written.
            if (tables and found != (_APPLICATION_ID, _VERSION)) or not tables <= set(_TABLES):
                raise InputError(f"{self.path} is no journal of this version of rai_kit; move it away or choose another --out.")
            if tables != set(_TABLES):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                for statement in _TABLES:  # two processes may both come first
                    connection.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={_VERSION}")
                connection.execute("COMMIT")
            # A commit survives the death of the process; only a power cut may cost the last few calls, never the file.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-16000")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=60)

    def _check_length(self) -> None:
        """A copy that was cut off opens like a whole one, and fails only where the missing pages are asked for."""
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder and no journal of rai_kit; move it away or choose another --out.")
        log = self.path.with_name(f"{self.path.name}-wal")
        logged = log.exists() and log.stat().st_size > 0
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size and not logged:
            return
        with self.path.open("rb") as file:
            head = file.read(100)
        if len(head) >= 16 and head[:16] != b"SQLite format 3\0":
            raise InputError(f"{self.path} is no journal of rai_kit; move it away or choose another --out.")
        page = int.from_bytes(head[16:18], "big")
        wanted = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
        # A process that died while pages were on their way from the log leaves a short file, too: then the log has the rest.
        if len(head) < 100 or (size < wanted and not (logged and self._whole_with_log())):
            raise InputError(f"{self.path} is cut off ({size} of {wanted or '?'} bytes); copy it again, whole, or move it away.")

    def _whole_with_log(self) -> bool:
        """Whether file and log together are whole; looked at without changing either."""
        connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        except sqlite3.DatabaseError:
            return False
        finally:
            connection.close()

    def _guarded(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *given: P.args, **named: P.kwargs) -> T:
        """Works on the open file; what SQLite cannot do becomes one sentence."""
        with self._lock:
            try:
                return work(self._connection or self._open(), *given, **named)
            except sqlite3.Error as error:
                words = str(error)
                if isinstance(error, sqlite3.OperationalError):  # full disk, no permission, locked for a minute, I/O error
                    raise InputError(
                        f"{self.path} could not be written or read ({words}); every call before this one is kept: "
                        "mend that (is the disk full?) and run the same command again."
                    ) from None
                raise InputError(f"{self.path} is no journal of rai_kit, or damaged ({words}); move it away.") from None

    def get(self, key: str) -> Reply | None:
        """The stored answer to a call, or None."""
        text = self._ahead.pop(key, None)
        if text is None and (self._connection is not None or self.path.exists()):
            rows = self._guarded(_look_up, key)
            if len(self._ahead) > MOST_AHEAD:
                self._ahead.clear()
            self._ahead.update(rows)
            text = self._ahead.pop(key, None)
        if text is None:
            return None if self._also is None else self._also.get(key)
        try:
            return _REPLY.decode(text)
        except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
            raise InputError(f"{self.path} is damaged: the reply to call {key} is none ({error}); move it away.") from None

    def put(self, key: str, request: dict[str, Any], reply: Reply) -> Reply:
        """Commits a finished call: a usable reply as an answer, any other as an event.

        Returns:
            What the journal holds now: an answer that came in first wins, so that a rerun tells the same.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        body = msgspec.json.encode(reply).decode()
        if reply.cause is not None:
            self._guarded(
                lambda connection: connection.execute("INSERT INTO events (key, reply, at) VALUES (?, ?, ?)", (key, body, now))
            )
            return reply
        text = msgspec.json.encode(request).decode()
        statement = "INSERT OR IGNORE INTO calls (key, request, reply, at) VALUES (?, ?, ?, ?)"
        new = self._guarded(lambda connection: connection.execute(statement, (key, text, body, now)).rowcount)
        return reply if new else self.get(key) or reply

    def merge(self, other: str | Path) -> int:
        """Takes over the calls and events of another journal; what is here already stays. Any number of times, in any order.

        Returns:
            The number of calls that were new.
        """
        Journal(other).close()  # one sentence if it is none

        def work(connection: sqlite3.Connection) -> int:
            connection.execute("ATTACH DATABASE ? AS other", (str(other),))
            try:
                connection.execute("BEGIN IMMEDIATE")
                new = connection.execute(
                    "INSERT OR IGNORE INTO calls (key, request, reply, at) SELECT key, request, reply, at FROM other.calls ORDER BY id"
                ).rowcount
                connection.execute(
                    "INSERT INTO events (key, reply, at) SELECT key, reply, at FROM other.events "
                    "EXCEPT SELECT key, reply, at FROM events"
                )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.execute("DETACH DATABASE other")
            return new

        return self._guarded(work)

    def tokens(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Tokens (read, written) of all answers, by endpoint and model."""
        if self._connection is None and not self.path.exists():
            return {}
        rows = self._guarded(lambda connection: connection.execute(_TOKENS).fetchall())
        return {(endpoint, model): (read, written) for endpoint, model, read, written in rows if endpoint is not None}

    def snapshot(self, target: Path) -> None:
        """Writes a copy of this moment into one new file, which may be read from anywhere."""
        partial = target.with_name(f"{target.name}.partial")
        partial.unlink(missing_ok=True)
        self._guarded(lambda connection: connection.execute("VACUUM INTO ?", (str(partial),)))
        partial.replace(target)

    def add_batch(self, id: str, endpoint: str, keys: Iterable[str]) -> None:
        """Notes a batch of calls that an endpoint has accepted, so that a later process collects it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = msgspec.json.encode(list(keys)).decode()
        self._guarded(
            lambda connection: connection.execute("INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?)", (id, endpoint, text, now))
        )

    def batches(self, endpoint: str) -> dict[str, list[str]]:
        """Batches that were accepted and not yet collected, oldest first: id -> keys of their calls."""
        if self._connection is None and not self.path.exists():
            return {}
        statement = "SELECT id, keys FROM batches WHERE endpoint = ? ORDER BY at, id"
        rows = self._guarded(lambda connection: connection.execute(statement, (endpoint,)).fetchall())
        return {id: msgspec.json.decode(keys, type=list[str]) for id, keys in rows}

    def drop_batch(self, id: str) -> None:
        """Forgets a batch, all of whose replies are stored."""
        self._guarded(lambda connection: connection.execute("DELETE FROM batches WHERE id = ?", (id,)))

    def __len__(self) -> int:
        if self._connection is None and not self.path.exists():
            return 0
        return int(self._guarded(lambda connection: connection.execute("SELECT count(*) FROM calls").fetchone()[0]))

    def close(self) -> None:
        """Closes the file; the journal opens it again when it is next asked."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        if self._also is not None:
            self._also.close()


class _AsItStands(Journal):
    """A journal that nobody changes, read without locks: many machines may do so over a network file system at once."""

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.resolve().as_uri()}?immutable=1"
        return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
