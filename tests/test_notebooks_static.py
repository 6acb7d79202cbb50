"""Notebooks as they lie in the project: stripped, thin, with honest parameters. Each check is shown to find what it is for.

A check takes a notebook as parsed JSON (nbformat would mend missing ids while reading) and gives a list of complaints.
"""

import ast
import copy
import json
import re
from pathlib import Path

import pytest

from rai_kit.report import find_notebooks

NOTEBOOKS = find_notebooks()
MOST_CODE_CELLS = 24
MOST_LINES = 12
MOST_LOOP_LINES = 3
ANNOTATION = re.compile(r"(int|float|str|bool|list\[(int|float|str)\]|dict\[str, (int|float|str)\])( \| None)?")
SECRET = re.compile(r"(?i)(^|_)(api_?)?(key|secret|password|passwd|token|credentials?)$")


def source(cell: dict) -> str:
    return "".join(cell["source"])


def cells(notebook: dict, kind: str) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def parsed(cell: dict) -> ast.Module:
    """The syntax tree; `await` on the top level is allowed in notebooks, magics are another check's business."""
    lines = ["pass" if re.match(r"\s*[!%]", line) else line for line in source(cell).splitlines()]
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile("\n".join(lines), "<cell>", "exec", flags=flags, dont_inherit=True)


def is_stripped(notebook: dict) -> list[str]:
    said = [f"output in cell {cell['id']}" for cell in cells(notebook, "code") if cell.get("outputs")]
    said += [
        f"execution count in cell {cell['id']}" for cell in cells(notebook, "code") if cell.get("execution_count") is not None
    ]
    traces = [notebook["metadata"], *(cell["metadata"] for cell in notebook["cells"])]
    return said + [f"trace of a run: {key}" for trace in traces for key in ("papermill", "widgets", "execution") if key in trace]


def names_the_usual_kernel(notebook: dict) -> list[str]:
    name = notebook["metadata"].get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"kernel {name!r}"]


def has_stable_ids(notebook: dict) -> list[str]:
    ids = [cell.get("id") for cell in notebook["cells"]]
    said = [f"id {name!r}" for name in ids if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name or "")]
    return said + [f"id {name!r} twice" for name in sorted({str(name) for name in ids if ids.count(name) > 1})]


def has_one_cell_of_honest_parameters(notebook: dict) -> list[str]:
    tagged = [cell for cell in cells(notebook, "code") if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells tagged parameters"]
    said = []
    for line in source(tagged[0]).splitlines():
        code, _, comment = line.partition("#")
        if not code.strip():
            said += [f"'=' in a comment: {line}"] if "=" in comment else []
            continue
        if line.count("=") != 1:
            said.append(f"not one '=': {line}")
            continue
        name, _, annotation = (part.strip() for part in code.partition("=")[0].partition(":"))
        try:
            ast.literal_eval(code.partition("=")[2].strip())
        except (ValueError, SyntaxError):
            said.append(f"no literal: {line}")
        said += [] if ANNOTATION.fullmatch(annotation) else [f"no plain annotation: {line}"]
        said += [f"looks like a secret: {name}"] if SECRET.search(name) else []
    return said


def is_thin(notebook: dict) -> list[str]:
    code, words = cells(notebook, "code"), cells(notebook, "markdown")
    said = [f"{len(code)} code cells"] if len(code) > MOST_CODE_CELLS else []
    said += [f"{len(code)} code cells to {len(words)} text cells"] if len(code) > len(words) else []
    counts = {cell["id"]: len(source(cell).splitlines()) for cell in code if "parameters" not in cell["metadata"].get("tags", ())}
    said += [f"{count} lines in {id}" for id, count in counts.items() if count > MOST_LINES]
    for node in (node for cell in code for node in ast.walk(parsed(cell))):
        if isinstance(node, ast.ClassDef):
            said.append(f"class {node.name}")
        if (
            isinstance(node, ast.For | ast.AsyncFor | ast.While)
            and node.body[-1].end_lineno - node.body[0].lineno >= MOST_LOOP_LINES
        ):
            said.append(f"a loop of more than {MOST_LOOP_LINES} lines")
    return said


def leaves_the_machine_alone(notebook: dict) -> list[str]:
    said = []
    for cell in cells(notebook, "code"):
        said += [f"not Python: {line.strip()}" for line in source(cell).splitlines() if re.match(r"\s*[!%]", line)]
        for node in ast.walk(parsed(cell)):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                said.append(f"star import of {node.module}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
                said.append("sys.path")
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.match(r"(/|~/|[A-Za-z]:[\\/])\w", node.value)
            ):
                said.append(f"absolute path {node.value!r}")
    return said


def asks_a_question(notebook: dict) -> list[str]:
    first = notebook["cells"][0] if notebook["cells"] else {"cell_type": "", "source": ""}
    title = source(first).partition("\n")[0]
    return [] if first["cell_type"] == "markdown" and re.fullmatch(r"# .+\?\s*", title) else [f"title {title!r} is no question"]


def writes_formulas_in_unicode(notebook: dict) -> list[str]:
    """The report runs no script, so nothing would turn TeX into a formula."""
    tex = re.compile(r"\$\$|\\\(|\\\[|\\begin\{|\$[^$\n]*\\[a-z]+[^$\n]*\$")
    return [f"TeX in {cell['id']}" for cell in cells(notebook, "markdown") if tex.search(source(cell))]


CHECKS = [
    is_stripped,
    names_the_usual_kernel,
    has_stable_ids,
    has_one_cell_of_honest_parameters,
    is_thin,
    leaves_the_machine_alone,
    asks_a_question,
    writes_formulas_in_unicode,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, check):
    assert check(json.loads(path.read_text(encoding="utf-8"))) == []


# --- each check finds what it is for ------------------------------------------------------------------------------------


def text(id: str, words: str) -> dict:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": words.splitlines(keepends=True)}


def code(id: str, words: str, *tags: str) -> dict:
    more = {"metadata": {"tags": list(tags)}, "execution_count": None, "outputs": []}
    return {"cell_type": "code", "id": id, "source": words.splitlines(keepends=True)} | more


GOOD = {
    "cells": [
        text("title", "# How often?\n\nIt costs $5, and ≥ 3 counts."),
        text("about", "Parameters."),
        code(
            "parameters",
            "# What is asked\nn: int = 3  # how many\nmax_tokens: int = 64\ntopics: list[str] = ['a']\ncap: float | None = None",
            "parameters",
        ),
        text("run", "Run."),
        code("loop", "for x in topics:\n    a = x\n    b = a\n    await f(b / 2, 'a/b', 'https://a.example')"),
    ],
    "metadata": {"kernelspec": {"name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def planted(change) -> dict:
    notebook = copy.deepcopy(GOOD)
    change(notebook)
    return notebook


def with_code(words: str, at: int = 4):
    return lambda notebook: notebook["cells"][at].update(source=words)


def with_metadata(key: str):
    return lambda notebook: notebook["metadata"].update({key: {}})


def test_a_good_notebook_passes_every_check():
    assert [complaint for check in CHECKS for complaint in check(GOOD)] == []


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (is_stripped, lambda notebook: notebook["cells"][4].update(outputs=[{"output_type": "stream"}])),
        (is_stripped, lambda notebook: notebook["cells"][4].update(execution_count=0)),
        (is_stripped, with_metadata("papermill")),
        (is_stripped, with_metadata("widgets")),
        (names_the_usual_kernel, lambda notebook: notebook["metadata"]["kernelspec"].update(name="venv")),
        (names_the_usual_kernel, lambda notebook: notebook["metadata"].clear()),
        (has_stable_ids, lambda notebook: notebook["cells"][0].pop("id")),
        (has_stable_ids, lambda notebook: notebook["cells"][0].update(id="run")),
        (has_one_cell_of_honest_parameters, lambda notebook: notebook["cells"].pop(2)),
        (has_one_cell_of_honest_parameters, lambda notebook: notebook["cells"].append(copy.deepcopy(notebook["cells"][2]))),
        (has_one_cell_of_honest_parameters, with_code("n: int = 3 + k", 2)),
        (has_one_cell_of_honest_parameters, with_code("n: int = len('a')", 2)),
        (has_one_cell_of_honest_parameters, with_code("n = 3", 2)),
        (has_one_cell_of_honest_parameters, with_code("n: 'Path' = 3", 2)),
        (has_one_cell_of_honest_parameters, with_code("n: int = 3  # k=4", 2)),
        (has_one_cell_of_honest_parameters, with_code("# n=4", 2)),
        (has_one_cell_of_honest_parameters, with_code("n: str = 'a=b'", 2)),
        (has_one_cell_of_honest_parameters, with_code("topics: list[str] = [\n    'a',\n]", 2)),
        (has_one_cell_of_honest_parameters, with_code("api_key: str = ''", 2)),
        (has_one_cell_of_honest_parameters, with_code("HF_TOKEN: str = ''", 2)),
        (has_one_cell_of_honest_parameters, with_code("import os", 2)),
        (is_thin, lambda notebook: notebook["cells"].extend(f(f"x{i}", "1") for i in range(23) for f in (text, code))),
        (is_thin, lambda notebook: notebook["cells"].extend([code("x1", "1"), code("x2", "1")])),
        (is_thin, with_code("\n".join(f"a{i} = 1" for i in range(13)))),
        (is_thin, with_code("class A:\n    pass")),
        (is_thin, with_code("for x in y:\n    a = 1\n    b = 2\n    c = 3\n    d = 4")),
        (is_thin, with_code("def f():\n    while True:\n        g(\n            1,\n            2,\n        )")),
        (leaves_the_machine_alone, with_code("!pip install x")),
        (leaves_the_machine_alone, with_code("%pip install x")),
        (leaves_the_machine_alone, with_code("import sys\nsys.path.append('.')")),
        (leaves_the_machine_alone, with_code("from rai_kit import *")),
        (leaves_the_machine_alone, with_code("open('/tmp/x')")),
        (leaves_the_machine_alone, with_code("open('~/x')")),
        (leaves_the_machine_alone, with_code("open(f'/data/{name}')")),
        (leaves_the_machine_alone, with_code(r"open('C:\\x')")),
        (asks_a_question, lambda notebook: notebook["cells"].pop(0)),
        (asks_a_question, lambda notebook: notebook["cells"][0].update(source="# An answer\n\nOr a question?")),
        (asks_a_question, lambda notebook: notebook["cells"].clear()),
        (writes_formulas_in_unicode, lambda notebook: notebook["cells"][3].update(source="The rate $\\hat p \\ge 3$.")),
        (writes_formulas_in_unicode, lambda notebook: notebook["cells"][3].update(source="$$p = 1$$")),
    ],
)
def test_a_planted_violation_is_found(check, change):
    assert check(planted(change)), f"{check.__name__} found nothing"
