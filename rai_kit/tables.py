"""Tables for a paper: one frame as CSV (raw), GitHub Markdown and LaTeX (to read).

Left out on purpose: colours, merged cells, side-by-side headers; what a journal's style adds is done in the paper.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.cache import write_whole
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

LONG = 40
"""A LaTeX table of more rows may break across pages."""
DIGITS = 3
"""Of floats in the reading forms."""
TEX: dict[int, str] = {ord(character): f"\\{character}" for character in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord("`"): r"\textasciigrave{}",
    ord("−"): "$-$",
    ord("≤"): r"$\leq$",
    ord("≥"): r"$\geq$",
    ord("→"): r"$\rightarrow$",
}
"""What LaTeX would take for a command, print as another sign, or not know; all other signs stay as they are, in UTF-8."""


def save_table(
    frame: pd.DataFrame, stem: str | Path, *, shown: pd.DataFrame | None = None, caption: str | None = None, index: bool = False
) -> list[Path]:
    """Writes STEM.csv, STEM.md and STEM.tex, each whole or not at all, and returns their paths.

    The LaTeX needs `booktabs` (and `longtable` where there are more than 40 rows); with a caption its label is `tab:NAME`, of the
    stem's last part.

    Args:
        frame: What was measured; the CSV holds it as it is, never rounded, NaN as nothing.
        stem: Folder and name of the files, without an ending.
        shown: The table to read, for Markdown and LaTeX; by default the frame. In it, numbers that are no whole ones get three
            digits, counts (columns `n`, `n_...`, `n, ...`, and integers) none, and NaN is `-`.
        caption: Above the LaTeX table.
        index: Whether the row labels are part of the table.

    Raises:
        InputError: A frame has no columns, or the files cannot be written there.
    """
    stem = Path(stem)
    shown = frame if shown is None else shown
    for name, one in (("frame", frame), ("shown", shown)):
        if not len(one.columns):
            raise InputError(f"{name} of table {stem} has no columns ({len(one)} rows); give a frame with at least one.")
    if not stem.name:
        raise InputError(f"'{stem}' names no file; give a folder and a name, such as tables/table1.")
    numeric = {_heading(name) for name, column in frame.items() if _is_numeric(column)}
    cells, right = _reading_form(shown.reset_index(names=_index_names(shown), allow_duplicates=True) if index else shown, numeric)
    texts = {
        "csv": _csv(frame, index),
        "md": _markdown(cells, right),
        "tex": _latex(cells, right, caption, f"tab:{re.sub('[^A-Za-z0-9_.:-]+', '-', stem.name)}"),
    }
    paths = []
    for ending, text in texts.items():
        path = stem.with_name(f"{stem.name}.{ending}")
        data = text.encode("utf-8", "backslashreplace")
        try:
            write_whole(path, lambda partial, data=data: partial.write_bytes(data))  # type: ignore[misc]
        except OSError as error:
            raise InputError(f"table {path} cannot be written ({error.strerror}); give a stem in a folder for files.") from None
        paths.append(path)
    return paths


def _csv(frame: pd.DataFrame, index: bool) -> str:
    text = frame.to_csv(index=index, lineterminator="\n")
    # a lone carriage return is not quoted by itself, and readers take it for the end of a row
    return frame.to_csv(index=index, lineterminator="\n", quoting=csv.QUOTE_ALL) if "\r" in text else text


def _reading_form(shown: pd.DataFrame, numeric: set[str]) -> tuple[pd.DataFrame, list[bool]]:
    """The cells as texts on one line, and which columns are numeric: by themselves, or as the raw column of that name is."""
    import pandas as pd

    headings = [_heading(name) for name in shown.columns]
    texts, right = [], []
    for at, heading in enumerate(headings):
        column = shown.iloc[:, at]
        texts.append([_cell(value, whole=bool(re.match(r"n(_|, |$)", heading))) for value in column])
        right.append(_is_numeric(column) or heading in numeric)
    return pd.DataFrame(list(zip(*texts, strict=True)), columns=headings, dtype=object), right


def _is_numeric(column: pd.Series[Any]) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _cell(value: Any, *, whole: bool) -> str:
    import numpy as np
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "-"
    if not isinstance(value, float | np.floating):
        return _line(str(value))
    number = float(value)
    if whole:
        return f"{number:.0f}"
    # 0.000 would say none
    return f"{number:.1e}" if 0 < abs(number) < 0.5 * 10**-DIGITS else f"{number + 0.0:.{DIGITS}f}"


def _line(text: str) -> str:
    """On one line, and without the control characters that no typesetter takes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", " ".join(text.split()))


def _heading(name: Any) -> str:
    return _line(", ".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name))


def _index_names(shown: pd.DataFrame) -> list[str]:
    """Empty where the index has no name; a column of the same name may stand beside it."""
    return ["" if name is None else str(name) for name in shown.index.names]


def _markdown(cells: pd.DataFrame, right: list[bool]) -> str:
    """GitHub's dialect: marks and HTML in a cell are escaped, so that it shows what it says."""

    def escaped(text: str) -> str:
        return re.sub(r"[\\|`*<~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)

    table = cells.map(escaped).set_axis([escaped(name) for name in cells.columns], axis=1)
    align = ["right" if one else "left" for one in right]
    return table.to_markdown(index=False, disable_numparse=True, colalign=align) + "\n"


def _latex(cells: pd.DataFrame, right: list[bool], caption: str | None, label: str) -> str:
    long = len(cells) > LONG
    text = (
        cells.map(_tex)
        .set_axis([_tex(name) for name in cells.columns], axis=1)
        .to_latex(
            index=False,
            escape=False,
            column_format="".join("r" if one else "l" for one in right),
            caption=None if caption is None else _tex(_line(caption)),
            label=None if caption is None else label,
            longtable=long,
            position=None if long else "htbp",
        )
    )
    return text if long else text.replace("\\begin{table}[htbp]\n", "\\begin{table}[htbp]\n\\centering\n", 1)


def _tex(text: str) -> str:
    """One cell. A minus is one, not a hyphen; two hyphens are no dash, and two apostrophes no quotation mark."""
    text = re.sub(r"(?<![^\s\[(])-(?=\.?\d)", "$-$", text.translate(TEX))
    # the end of the row above would take a bracket or a star for its own
    return re.sub(r"^[\[*]", r"{\g<0>}", re.sub(r"-(?=-)|'(?=')", r"\g<0>{}", text))
