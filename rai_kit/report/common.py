"""What the report's parts share: reading and writing small files, names in a sentence, libraries without types."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rai_kit.cache import write_whole

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The folder that holds `notebooks/` and `params/`."""


def library(name: str) -> Any:
    """A library that has no type hints, loaded when it is needed."""
    return importlib.import_module(name)


def tags(cell: Any) -> set[str]:
    """The tags of a notebook's cell."""
    return set(cell.metadata.get("tags", []))


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names) or "none"


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object from a file; an empty one where there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8", errors="replace"))
