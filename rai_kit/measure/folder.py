"""Run folders: where they lie, who may write into one, and how records reach their files in the order of the plan."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from rai_kit.schema import InputError, encode

Record = TypeVar("Record")

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, against which a relative run folder is resolved wherever a notebook is opened."""


def run_folder(out: str | Path) -> Path:
    """A run folder; a relative one counts from the project's root, so that notebooks find it from their own folder."""
    path = Path(out).expanduser()
    return path if path.is_absolute() else (ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()) / path


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Holds a run folder for this process, and clears what a killed one left half-written. The lock ends with the process.

    Args:
        folder: The folder; it is made where it is missing, and removed again where nothing came into it.
        patience: How long (s) to wait for another process that holds it.

    Raises:
        InputError: Another process works in the folder, or it cannot be written to.
    """
    import filelock

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder as --out.")
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except filelock.Timeout:
        raise InputError(f"{folder} is in use by another process; wait until it has ended, or choose another --out.") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); choose another --out.") from None
    try:
        for partial in folder.glob("*.partial"):
            partial.unlink(missing_ok=True)
        yield
    except OSError as error:
        if error.filename is None:  # Python names no file when writing fails
            error.filename = str(folder)
        raise
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # a run that left nothing leaves no folder either
            if [path.name for path in folder.iterdir()] in ([], [".lock"]):
                (folder / ".lock").unlink(missing_ok=True)
                for one in missing:
                    one.rmdir()


class Spool:
    """A JSONL file whose records come in any order and end up in the order of their index. 8 bytes of memory a record.

    Args:
        path: The file; it appears whole, at `finish`.
        count: Number of records.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        self._ordered = path.with_name(f"{path.name}.{os.getpid()}.ordered.partial")
        self._file = self._partial.open("w+b")
        self._starts = array("q", [-1]) * count

    def put(self, index: int, record: object) -> None:
        """Writes the record with this index."""
        self._starts[index] = self._file.tell()
        self._file.write(encode(record) + b"\n")

    def read(self, index: int, kind: type[Record]) -> Record:
        """The record with this index, which must have come."""
        self._file.seek(self._starts[index])
        record = msgspec.json.decode(self._file.readline(), type=kind)
        self._file.seek(0, os.SEEK_END)
        return record

    def finish(self, kept: Sequence[int] | None = None) -> None:
        """Puts the records into order: all, or those with the kept (ascending) indices. Each of them must have come."""
        starts = self._starts if kept is None else [self._starts[index] for index in kept]
        if min(starts, default=0) < 0:
            raise ValueError(f"{self._path}: record {list(starts).index(-1)} never came")
        self._file.flush()
        if kept is not None or list(starts) != sorted(starts):
            with self._ordered.open("wb") as file:
                for start in starts:
                    self._file.seek(start)
                    file.write(self._file.readline())
            self._file.close()
            self._partial.unlink()
            self._partial = self._ordered
        self._file.close()
        os.replace(self._partial, self._path)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._file.close()
        finally:  # on a full disk the rest of the buffer finds no place
            self._partial.unlink(missing_ok=True)
            self._ordered.unlink(missing_ok=True)
