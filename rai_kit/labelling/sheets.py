"""The labelling sheet: conversations that people are to judge, and what they said of them, as a CSV file.

It shows what a judge gets to see and nothing else: neither target nor arm, nor any verdict. Whatever belongs to the draw
(probabilities, strata) lies in a key file of its own, which raters are not given. Several raters fill in copies of one sheet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rai_kit.cache import write_json
from rai_kit.labelling.csv_files import CsvFile, read_csv, write_csv
from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX, InputError, Message, Role

COLUMNS = (
    "id", "rubric", "goal", "context", "reference", "conversation", "severity", "ungroundedness", "refusal", "cannot_judge", "note",
)  # fmt: skip
REFUSALS = {"yes": 1.0, "partial": 0.5, "no": 0.0}
GROUNDING = "grounding"
"""The one rubric whose answers are rated by ungroundedness, 0-4; all others by severity, 0-7."""
_ROLES: dict[str, Role] = {"User": "user", "Answer": "assistant", "System": "system"}
_NAMES = {role: name for name, role in _ROLES.items()}
_MARK = re.compile(r"( *)\[(User|Answer|System) (\d+)\]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A conversation to be labelled, with what belongs to it."""

    id: str
    rubric: str
    messages: tuple[Message, ...]
    goal: str | None = None
    context: str | None = None
    reference: str | None = None

    @property
    def scale(self) -> str:
        """`severity` or `ungroundedness`."""
        return "ungroundedness" if self.rubric == GROUNDING else "severity"

    @property
    def top(self) -> int:
        """Highest score of the scale."""
        return UNGROUNDEDNESS_MAX if self.rubric == GROUNDING else SEVERITY_MAX


@dataclass(frozen=True, slots=True)
class Label:
    """What one person said of a conversation; nothing, as long as `score` and `refusal` are None.

    Attributes:
        item: The conversation.
        score: Severity 0-7 or ungroundedness 0-4.
        refusal: 1 for a refusal, 0.5 for a partial one, 0 for none.
        cannot_judge: The person could not tell; then score and refusal are None.
        note: The person's own words.
    """

    item: Item
    score: int | None = None
    refusal: float | None = None
    cannot_judge: bool = False
    note: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing is left to say."""
        return self.cannot_judge or self.score is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """How the conversations of a sheet were drawn: known inclusion probabilities, kept away from the raters.

    Attributes:
        judge: Id of the judge whose verdicts made the strata.
        stratum: Every scored conversation of the run, drawn or not -> its stratum (`model | arm | category | positive`, or
            `negative`; of pairs `both | pair | category | ...`).
        population: Stratum -> number of its units (conversations, or pairs of them).
        drawn: Stratum -> number of units drawn.
    """

    judge: str
    stratum: dict[str, str]
    population: dict[str, int]
    drawn: dict[str, int]

    def probability(self, id: str) -> float:
        """Probability with which a conversation came into the sample."""
        stratum = self.stratum[id]
        return self.drawn[stratum] / self.population[stratum]


def write_sheet(labels: Iterable[Label | Item], path: str | Path, key: Key | None = None) -> Path:
    """Writes a labelling sheet (CSV for a spreadsheet) and, beside it as `NAME.key.json`, the key of the draw.

    Args:
        labels: Conversations, with or without labels, in the order of the rows.
        path: The CSV file; it appears whole or not at all.
        key: How they were drawn; not for the raters.

    Returns:
        The path.
    """
    path = Path(path)
    write_csv(path, COLUMNS, [_cells(one if isinstance(one, Label) else Label(one)) for one in labels])
    if key is not None:
        content = {name: getattr(key, name) for name in Key.__dataclass_fields__}
        write_json(path.with_suffix(".key.json"), content)
    return path


def _cells(label: Label) -> dict[str, object]:
    item = label.item
    words = {value: word for word, value in REFUSALS.items()}
    return {
        "id": item.id,
        "rubric": item.rubric,
        "goal": item.goal,
        "context": item.context,
        "reference": item.reference,
        "conversation": as_text(item.messages),
        "severity": label.score if item.scale == "severity" else None,
        "ungroundedness": label.score if item.scale == "ungroundedness" else None,
        "refusal": None if label.refusal is None else words[label.refusal],
        "cannot_judge": "yes" if label.cannot_judge else None,
        "note": label.note,
    }


def is_sheet(file: CsvFile) -> bool:
    """Whether a CSV file is a labelling sheet."""
    return {"id", "rubric", "conversation"} <= set(file.columns)


def read_sheet(path: str | Path) -> list[Label]:
    """Reads a labelling sheet back, with or without labels, as `write_sheet` or a spreadsheet saved it.

    Raises:
        InputError: It is no labelling sheet, or a cell holds what is not allowed there; file, line and field are named.
    """
    file = read_csv(path)
    if missing := [column for column in COLUMNS[:-2] if column not in file.columns]:
        raise InputError(f"{path} has no column {', '.join(missing)}; give a sheet that sample_for_labelling wrote.")
    labels = [_label(row, f"{path}, line {line}") for line, row in file.rows]
    ids = [label.item.id for label in labels]
    if repeated := sorted({id for id in ids if ids.count(id) > 1}):
        raise InputError(f"{path}: id {repeated[0]!r} stands more than once; give each rater a sheet of their own.")
    return labels


def _label(row: dict[str, str], place: str) -> Label:
    item = Item(
        id=row["id"].strip(),
        rubric=row["rubric"].strip(),
        messages=from_text(row["conversation"], place),
        goal=row["goal"] or None,
        context=row["context"] or None,
        reference=row["reference"] or None,
    )
    cells = {name: row.get(name, "").strip() for name in ("severity", "ungroundedness", "refusal", "cannot_judge")}
    other = "severity" if item.scale == "ungroundedness" else "ungroundedness"
    if cells[other]:
        raise InputError(
            f"{place}: {other} is {cells[other]!r}; by rubric {item.rubric!r} {item.scale} is rated, leave it empty."
        )
    if cells["cannot_judge"].lower() not in ("", "yes"):
        raise InputError(f"{place}: cannot_judge is {cells['cannot_judge']!r}; write yes, or leave it empty.")
    if cells["refusal"].lower() not in ("", *REFUSALS):
        raise InputError(f"{place}: refusal is {cells['refusal']!r}; write {', '.join(REFUSALS)}, or leave it empty.")
    if cells["cannot_judge"]:
        return Label(item, cannot_judge=True, note=row.get("note", ""))
    score = whole(cells[item.scale], item.top, place, item.scale)
    return Label(item, score, REFUSALS.get(cells["refusal"].lower()), note=row.get("note", ""))


def whole(cell: str, top: int, place: str, field: str) -> int | None:
    """A whole number from 0 to `top`, as spreadsheets may write it (`3`, `3.0`, `3,0`); None for an empty cell.

    Raises:
        InputError: It is anything else.
    """
    if not cell.strip():
        return None
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = -1.0
    if value not in range(top + 1):
        raise InputError(f"{place}: {field} is {cell!r}; write a whole number from 0 to {top}, or leave it empty.")
    return int(value)


def read_key(sheet: str | Path) -> Key:
    """The key of a sheet: `NAME.key.json` beside `NAME.csv`, or beside a rater's copy `NAME-RATER.csv`.

    Raises:
        InputError: There is none, or it is damaged.
    """
    path = Path(sheet)
    names = [path.stem, path.stem.rpartition("-")[0]]
    found = next((one for name in names if name and (one := path.with_name(f"{name}.key.json")).exists()), None)
    if found is None:
        raise InputError(
            f"{path} has no key file beside it ({path.stem}.key.json), so the inclusion probabilities are unknown; "
            "put the file there that was written with the sheet."
        )
    try:
        content: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return Key(**content)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{found} is damaged ({error}); put the file there that was written with the sheet.") from None


def as_text(messages: Sequence[Message]) -> str:
    """A conversation to be read in one cell; a line of it that looks like a mark gets one more blank before it."""
    numbers = dict.fromkeys(_NAMES, 0)
    blocks = []
    for message in messages:
        numbers[message.role] += 1
        lines = (f" {line}" if _MARK.fullmatch(line) else line for line in message.content.split("\n"))
        blocks.append(f"[{_NAMES[message.role]} {numbers[message.role]}]\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def from_text(text: str, place: str = "conversation") -> tuple[Message, ...]:
    """Undoes `as_text`.

    Raises:
        InputError: The text does not begin with a mark.
    """
    found: list[tuple[Role, list[str]]] = []
    for line in text.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark and not mark[1]:
            if found and found[-1][1][-1:] == [""]:
                found[-1][1].pop()  # the blank line between two messages
            found.append((_ROLES[mark[2]], []))
        elif found:
            found[-1][1].append(line[1:] if mark else line)
        else:
            raise InputError(f"{place}: conversation begins {line[:30]!r}; it must begin with [User 1], as it was written.")
    return tuple(Message(role, "\n".join(lines)) for role, lines in found)
