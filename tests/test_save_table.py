import io
import math
import os
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_kit.schema import InputError
from rai_kit.tables import save_table

NASTY = "a|b & 100% of $x_1 #2 {z} ~ ^ \\ < > `c` *d* smollm2-135m@embedded"


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "model": ["phi-3@http://localhost:8000/v1", NASTY, "x"],
            "value": [0.1 + 0.2, 1 / 3, float("nan")],
            "difference": [-0.0833333, 1e-5, 0.0],
            "n": [120.0, float("nan"), 1200.0],
            "fixed": [1, 20, 300],
        }
    )


def saved(frame, folder, **settings):
    paths = save_table(frame, folder / "tables" / "t", **settings)
    assert [path.name for path in paths] == ["t.csv", "t.md", "t.tex"]
    return [path.read_bytes().decode("utf-8") for path in paths]


def markdown_rows(text):
    """Cells of a GitHub table, marks unescaped; the line under the heading as it is."""
    rows = []
    for line in text.splitlines():
        cells = re.findall(r"((?:\\.|[^|\\])*)\|", line.removeprefix("|"))
        rows.append([re.sub(r"\\([^A-Za-z0-9\s])", r"\1", cell.strip()) for cell in cells])
    return rows


def latex_rows(text):
    """Checks the structure, and returns format and rows: environments nest, braces balance, every row has as many cells."""
    opened = []
    for kind, name in re.findall(r"(?<!\\)\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert "%" not in bare
    assert "#" not in bare
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[~^<>|`]", bare)
    form = re.search(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}", text)[1]
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]
        for line in text.splitlines()
        if line.endswith(r"\\") and not line.startswith((r"\caption", r"\multicolumn"))
    ]
    assert {len(row) for row in rows} == {len(form)}
    assert not any(row[0].startswith(("[", "*")) for row in rows)
    return form, rows


def test_csv_holds_the_raw_frame(frame, tmp_path):
    text = saved(frame, tmp_path)[0]
    again = pd.read_csv(io.StringIO(text))
    pd.testing.assert_frame_equal(again, frame, check_exact=True)
    assert "0.30000000000000004" in text
    assert "nan" not in text.lower()
    assert text.endswith("\nx,,0.0,1200.0,300\n")


def test_reading_forms_are_rounded_and_aligned(frame, tmp_path):
    _, markdown, latex = saved(frame, tmp_path)
    head, line, *rows = markdown_rows(markdown)
    assert head == list(frame.columns)
    assert [mark.endswith(":") for mark in line] == [False, True, True, True, True]
    assert rows == [
        ["phi-3@http://localhost:8000/v1", "0.300", "-0.083", "120", "1"],
        [NASTY, "0.333", "1.0e-05", "-", "20"],
        ["x", "-", "0.000", "1200", "300"],
    ]
    form, cells = latex_rows(latex)
    assert form == "lrrrr"
    assert cells[1] == ["phi-3@http://localhost:8000/v1", "0.300", "$-$0.083", "120", "1"]
    assert cells[3] == ["x", "-", "0.000", "1200", "300"]


def test_latex_escapes(frame, tmp_path):
    latex = saved(frame, tmp_path)[2]
    assert (
        r"a\textbar{}b \& 100\% of \$x\_1 \#2 \{z\} \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{} \textgreater{} \textasciigrave{}c\textasciigrave{} *d* smollm2-135m@embedded &" in latex
    )
    assert latex.startswith("\\begin{table}[htbp]\n\\centering\n\\begin{tabular}{lrrrr}\n\\toprule\n")
    assert latex.endswith("\\bottomrule\n\\end{tabular}\n\\end{table}\n")
    assert "caption" not in latex
    assert "label" not in latex


def test_caption_and_label(frame, tmp_path):
    path = save_table(frame, tmp_path / "table 1_b%", caption="Harm & 5%\nof n_i,\x07 before–after")[2]
    text = path.read_text(encoding="utf-8")
    assert "\\caption{Harm \\& 5\\% of n\\_i, before–after}\n\\label{tab:table-1_b-}\n" in text
    latex_rows(text)


def test_shown_is_what_is_read(frame, tmp_path):
    shown = pd.DataFrame(
        {"model": list("abc"), "value": ["0.300 [-0.100, 0.500]", np.nan, None], "n, before": [3.0, 4.0, np.nan]}
    )
    raw, markdown, latex = saved(frame, tmp_path, shown=shown)
    assert "0.30000000000000004" in raw
    assert markdown_rows(markdown)[2:] == [["a", "0.300 [-0.100, 0.500]", "3"], ["b", "-", "4"], ["c", "-", "-"]]
    form, rows = latex_rows(latex)
    assert form == "lrr"  # texts that show a numeric column stand as it does
    assert rows[1] == ["a", "0.300 [$-$0.100, 0.500]", "3"]


def test_signs_survive(tmp_path):
    words = "2019–2024 … 3 × 4 é 中 ≤ −1"
    raw, markdown, latex = saved(pd.DataFrame({words: [words]}), tmp_path)
    assert raw.count(words) == markdown.count(words) == 2
    assert latex.count(r"2019–2024 … 3 × 4 é 中 $\leq$ $-$1") == 2


def test_cells_that_would_run_into_the_row_above(tmp_path):
    frame = pd.DataFrame(
        {"x": ["[0.1, 0.2]", "*", "a--b---c''", "line\r\nbreak\ttab\x0b\u2028end", "\\", ""], "y": list("123456")}
    )
    raw, markdown, latex = saved(frame, tmp_path)
    again = pd.read_csv(io.StringIO(raw, newline=""), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False)
    first = [row[0] for row in latex_rows(latex)[1]]
    assert first[1:] == ["{[}0.1, 0.2]", "{*}", "a-{}-b-{}-{}-c'{}'", "line break tab end", r"\textbackslash{}", ""]
    assert [row[0] for row in markdown_rows(markdown)[2:]] == ["[0.1, 0.2]", "*", "a--b---c''", "line break tab end", "\\", ""]


def test_markdown_shows_what_the_cell_says(tmp_path):
    frame = pd.DataFrame({"x": ["<think>", "__init__", "n_unscored", "$5 and $6", "&lt;", "a | b", "1e5", "007"]})
    cells = [line.strip("| ") for line in saved(frame, tmp_path)[1].splitlines()[2:]]
    assert cells == [r"\<think>", r"\_\_init\_\_", "n_unscored", r"\$5 and \$6", r"\&lt;", r"a \| b", "1e5", "007"]


@pytest.mark.parametrize(("rows", "environment"), [(0, "tabular"), (40, "tabular"), (41, "longtable")])
def test_long_tables_may_break(rows, environment, tmp_path):
    frame = pd.DataFrame({"a_b": range(rows), "c": pd.Series(["x"] * rows, dtype=str)})
    _, markdown, latex = saved(frame, tmp_path, caption="c")
    assert f"\\begin{{{environment}}}{{rl}}" in latex
    assert ("\\begin{table}" in latex) is (environment == "tabular")
    _, cells = latex_rows(latex)
    assert [row[0] for row in cells if row[0] != r"a\_b"] == [str(row) for row in range(rows)]
    assert len(markdown.splitlines()) == rows + 2


def test_the_index_is_written_on_request(frame, tmp_path):
    named = frame.set_index(frame["model"].rename("who"))
    raw, markdown, latex = saved(named, tmp_path, index=True)
    assert list(pd.read_csv(io.StringIO(raw)).columns) == ["who", *frame.columns]
    assert markdown_rows(markdown)[0] == ["who", *frame.columns]
    assert latex_rows(latex)[0] == "llrrrr"
    assert "who" not in "".join(saved(named, tmp_path))
    _, markdown, _ = saved(frame, tmp_path, index=True)
    assert [row[0] for row in markdown_rows(markdown)[2:]] == ["0", "1", "2"]
    assert markdown_rows(markdown)[0][0] == ""


def test_odd_frames(tmp_path):
    twice = pd.DataFrame([[1, "x"]], columns=["same", "same"])
    assert latex_rows(saved(twice, tmp_path)[2]) == ("rr", [["same", "same"], ["1", "x"]])
    named = twice.rename_axis("same")
    assert latex_rows(saved(named, tmp_path, index=True)[2])[1] == [["same"] * 3, ["0", "1", "x"]]
    levels = pd.DataFrame([[0.5, 3]], columns=pd.MultiIndex.from_tuples([("phi", "DR-1"), ("phi", "n")]))
    assert latex_rows(saved(levels, tmp_path, index=True)[2])[1] == [["", "phi, DR-1", "phi, n"], ["0", "0.500", "3"]]
    mixed = pd.DataFrame(
        {"n": pd.array([5, None], dtype="Int64"), "flag": [True, False], "any": [1, 0.25], "far": [math.inf, -math.inf]}
    )
    form, rows = latex_rows(saved(mixed, tmp_path)[2])
    assert form == "rlrr"
    assert rows[1:] == [["5", "True", "1.000", "inf"], ["-", "False", "0.250", "-inf"]]
    assert "\\ud800" in saved(pd.DataFrame({"x": ["\ud800"]}, dtype=object), tmp_path)[0]


def test_what_cannot_be_written(frame, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file.*t\.csv cannot be written"):
        save_table(frame, tmp_path / "file" / "t")
    with pytest.raises(InputError, match=r"frame of table .*t has no columns \(3 rows\)"):
        save_table(frame[[]], tmp_path / "t")
    with pytest.raises(InputError, match="shown of table"):
        save_table(frame, tmp_path / "t", shown=frame[[]])
    with pytest.raises(InputError, match="names no file"):
        save_table(frame, "")
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_file_whole(frame, tmp_path, monkeypatch):
    before = saved(frame, tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        save_table(frame.head(1), tmp_path / "tables" / "t")
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path / "tables")) == ["t.csv", "t.md", "t.tex"]
    assert [(tmp_path / "tables" / f"t.{ending}").read_text(encoding="utf-8") for ending in ("csv", "md", "tex")] == before


def test_the_same_frame_gives_the_same_bytes(frame, tmp_path):
    assert saved(frame, tmp_path, caption="c") == saved(frame.copy(), tmp_path, caption="c")
    assert save_table(frame, tmp_path / "v1.2")[0].name == "v1.2.csv"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=15), min_size=1, max_size=4))
def test_any_text_keeps_the_tables_in_shape(tmp_path_factory, cells):
    frame = pd.DataFrame({"id": range(len(cells)), "text": pd.Series(cells, dtype=object)})
    raw, markdown, latex = saved(frame, tmp_path_factory.getbasetemp() / "any")
    again = pd.read_csv(io.StringIO(raw, newline=""), dtype=str, keep_default_na=False)
    assert list(again["text"]) == cells
    words = [re.sub(r"[\x00-\x1f\x7f-\x9f]", "", " ".join(cell.split())).strip() for cell in cells]
    assert [row[1] for row in markdown_rows(markdown)[2:]] == words
    assert len(latex_rows(latex)[1]) == len(cells) + 1
