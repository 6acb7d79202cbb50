"""Which notebooks need not run again: nothing that they were made of has changed, and everything that they wrote is still there.

A notebook's results follow from its cells, its parameters, the kit and the libraries, and the files that parameters name; what it wrote
lies in the run's folder. Left out on purpose: which notebook wrote or read which file. Any change in the folder, and any notebook that
runs, makes those after it run, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rai_kit.report.common import PROJECT, read_record
from rai_kit.report.parameters import Step
from rai_kit.schema import digest

RECORDS = ("run.json", "report.html", "summary.json")
"""What the run itself writes into its folder, after the notebooks."""
PASSING = ("error", "timeout", "budget", "pending")
"""Causes that another try may mend: where there are some, a notebook runs again."""


def ground(surroundings: Mapping[str, Any]) -> str:
    """Digest of what the results of all notebooks follow from: the kit, its data and the libraries."""
    libraries = [surroundings[name] for name in ("rai_kit", "python", "packages")]
    return digest(libraries, _states([*_files(PROJECT / "rai_kit", ".py"), *_files(PROJECT / "data")]))


def made_of(step: Step, ground: str) -> str:
    """Digest of all that a notebook's results follow from."""
    named = [file for value in _texts(step.settings) for file in _named(value)]
    sources = [[cell.cell_type, cell.source] for cell in step.notebook.cells]
    return digest(ground, sources, step.given, _states(named))


def written(out: Path) -> str:
    """Digest of the files of a run's folder: names, sizes and times, without journals and the run's own records."""
    kept = (path for path in _files(out) if ".sqlite" not in path.name and not (path.parent == out and path.name in RECORDS))
    return digest(_states(kept))


def may_be_mended(out: Path) -> bool:
    """Whether a run in the folder has cases that are unscored for a cause that may be gone."""
    for path in out.rglob("run.json"):
        unscored = read_record(path).get("counts", {}).get("unscored", {})
        if any(cause.rpartition(":")[2] in PASSING for cause in unscored):
            return True
    return False


def _files(folder: Path, suffix: str = "") -> Iterator[Path]:
    return (path for path in sorted(folder.rglob(f"*{suffix}")) if path.is_file() and "__pycache__" not in path.parts)


def _states(files: Iterable[Path]) -> list[list[Any]]:
    return [[str(path), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in files]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _named(value: str) -> list[Path]:
    """The files behind a parameter such as `PATH`, `name=PATH` or `PATH@embedded`."""
    words = {value, value.rpartition("=")[2], value.rpartition("@")[0]} - {""}
    paths = [PROJECT / "notebooks" / word for word in sorted(words)]
    return [file for path in paths if path.exists() for file in ([path] if path.is_file() else _files(path))]
