"""The append-only store of every finished model call, addressed by its content.

A call's key is the digest of everything that shapes its answer, so that any run resumes by running it again, and a
finished run reruns without a call. Only usable replies are stored as answers; filtered, empty and failed ones are events,
kept to be counted and never replayed. The file appears with the first record, so a run that could not start leaves none.
"""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from rai_kit.schema import InputError, Reply, digest

_APPLICATION_ID = 0x7261695F  # "rai_", so that a foreign SQLite file is recognised
_VERSION = 1
_TABLES = """
CREATE TABLE calls (key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT NOT NULL, reply TEXT NOT NULL, at TEXT NOT NULL);
"""


def call_key(request: dict[str, Any]) -> str:
    """The key of a call: the digest of its whole request, endpoint identity included."""
    return digest(request, length=32)


class Journal:
    """Finished calls of one run folder, or shared between several.

    Args:
        path: SQLite file; it need not exist yet.

    Raises:
        InputError: The file is no journal, or one of another version. Nothing is overwritten.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        if self.path.exists():
            self._open()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=60)
        try:
            with_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
            if not with_tables:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={_VERSION}; COMMIT;"
                )
            found = (
                connection.execute("PRAGMA application_id").fetchone()[0],
                connection.execute("PRAGMA user_version").fetchone()[0],
            )
        except sqlite3.DatabaseError as error:
            connection.close()
            raise InputError(f"{self.path} is no journal of rai_kit ({error}); move it away or choose another --out.") from None
        if found != (_APPLICATION_ID, _VERSION):
            connection.close()
            raise InputError(f"{self.path} is no journal of this version of rai_kit; move it away or choose another --out.")
        # A commit survives the death of the process; only a power cut may cost the last few calls, never the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        self._connection = connection
        return connection

    def get(self, key: str) -> Reply | None:
        """The stored answer to a call, or None."""
        with self._lock:
            if self._connection is None:
                return None
            row = self._connection.execute("SELECT reply FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Reply)

    def put(self, key: str, request: dict[str, Any], reply: Reply) -> None:
        """Commits a finished call: a usable reply as an answer, any other as an event."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        body = msgspec.json.encode(reply).decode()
        with self._lock:
            connection = self._open()
            if reply.cause is None:
                text = msgspec.json.encode(request).decode()
                connection.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)", (key, text, body, now))
            else:
                connection.execute("INSERT INTO events (key, reply, at) VALUES (?, ?, ?)", (key, body, now))

    def __len__(self) -> int:
        with self._lock:
            if self._connection is None:
                return 0
            return int(self._connection.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Closes the file; the journal can still be read from by opening it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
