"""CSV as spreadsheets keep it: UTF-8 with a mark, nothing that a spreadsheet takes for a formula, line breaks inside cells kept.

Reading takes comma, semicolon or tab, comment lines above the header, and UTF-8 with or without its mark. Left out on purpose:
guessing at other encodings, which turns a label file into other words without a sound.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rai_kit.cache import write_whole
from rai_kit.schema import InputError

FIELD_LIMIT = 50_000_000
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A read CSV file.

    Attributes:
        name: What errors call it.
        comments: The lines above the header that begin with `#`.
        columns: Names of the columns.
        rows: Number of the line where a row begins (from 1), and its cells by column; blank rows are left out.
    """

    name: str
    comments: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_csv(path: str | Path) -> CsvFile:
    """Reads a CSV file.

    Raises:
        InputError: There is no such file, it is no UTF-8, or it is no table.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing CSV file.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start} is 0x{raw[error.start]:02x}); save it as 'CSV UTF-8' and give that file."
        ) from None
    return parse_csv(text, str(path))


def parse_csv(text: str, name: str) -> CsvFile:
    """As `read_csv`, of a text.

    Raises:
        InputError: A row has more cells than the header, or the quotes do not close.
    """
    lines = text.lstrip("\ufeff").splitlines(keepends=True)
    skipped = 0
    while skipped < len(lines) and (not lines[skipped].strip() or lines[skipped].lstrip('"').startswith("#")):
        skipped += 1
    header = lines[skipped] if skipped < len(lines) else ""
    delimiter = max(",;\t", key=lambda mark: (header.count(mark), mark == ","))
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(io.StringIO("".join(lines[skipped:]), newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    columns: list[str] = []
    try:
        columns = [column.strip() for column in next(reader, [])]
        before = reader.line_num
        for cells in reader:
            line, before = skipped + before + 1, reader.line_num
            if any(cell.strip() for cell in cells[len(columns) :]):
                raise InputError(f"{name}, line {line}: {len(cells)} cells where the header has {len(columns)}; mend the row.")
            if any(cell.strip() for cell in cells):
                padded = [restored(cell) for cell in cells] + [""] * (len(columns) - len(cells))
                rows.append((line, dict(zip(columns, padded, strict=False))))
    except csv.Error as error:
        raise InputError(f"{name}, line {skipped + reader.line_num}: {error}; give a CSV file with closed quotes.") from None
    return CsvFile(name, tuple(line.strip() for line in lines[:skipped] if line.strip()), tuple(columns), tuple(rows))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes a CSV file, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([neutral("" if row[column] is None else str(row[column])) for column in columns])
    write_whole(path, lambda partial: partial.write_text(text.getvalue(), encoding="utf-8-sig", newline=""))


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before what begins like one."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """Undoes `neutral`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell
