"""Makes one self-contained HTML page of executed notebooks: headlines first, then contents, then each notebook with its code folded."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rai_kit.html import inert, visible
from rai_kit.report.common import PROJECT, library, listed, read_record, tags, write
from rai_kit.report.parameters import parameters_of
from rai_kit.schema import InputError


def render(out: str | Path, notebooks: Sequence[str | Path]) -> Path:
    """Makes `<out>/report.html` of executed notebooks: one file that loads nothing, runs nothing and names no folder of this machine.

    Args:
        out: The run's folder, with `notebooks/NAME.ipynb` and, if there is one, `run.json`.
        notebooks: Names or paths, in the order of the report.

    Raises:
        InputError: No notebook is given, or one was not executed.
    """
    from bs4 import BeautifulSoup

    out = Path(out).resolve()
    executed = {Path(name).stem: out / "notebooks" / f"{Path(name).stem}.ipynb" for name in notebooks}
    missing = [stem for stem, path in executed.items() if not path.is_file()]
    if missing or not executed:
        raise InputError(
            f"{listed(missing)} was not executed in {out.name}; run it first." if missing else "There is no notebook."
        )
    record = read_record(out / "run.json")
    combined, sections = _combine(executed, {e["name"]: e for e in record.get("notebooks", []) if isinstance(e, dict)})
    exporter = library("nbconvert").HTMLExporter(
        template_name="report",
        extra_template_basedirs=[str(Path(__file__).resolve().parent.parent / "templates")],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        embed_images=True,
    )
    facts = _facts(out, record, sections)
    resources = {"report": {"sections": sections, "facts": facts, "version": record.get("rai_kit")}}
    resources["metadata"] = {"name": "report", "path": str(PROJECT / "notebooks")}
    page, _ = exporter.from_notebook_node(combined, resources=resources)
    soup = BeautifulSoup(page, "html.parser")
    inert(soup.body)
    _number_headings(soup, set(executed))
    _align_tables(soup)
    _clean_texts(soup, out)
    write(out / "report.html", str(soup))
    return out / "report.html"


def _combine(executed: Mapping[str, Path], entries: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """One notebook out of many: headline cells first, then each notebook's cells; and what the contents say of each."""
    nbformat = library("nbformat")
    headlines, body, sections = [], [], []
    for stem, path in executed.items():
        notebook, entry = nbformat.read(path, as_version=4), entries.get(stem, {})
        title = next(
            (m[1] for c in notebook.cells if (m := re.search(r"(?m)^# (.+)$", c.source)) and c.cell_type == "markdown"), stem
        )
        section = {"id": f"nb-{stem}", "name": stem, "title": title.replace("`", ""), "seconds": entry.get("seconds")}
        cells = _shown_cells(notebook, entry)
        for number, cell in enumerate(cells):
            cell.id = f"{stem}-{number}"
            failed = "message" in cell.metadata.get("rai_kit", {})
            if "headline" in tags(cell) and (cell.cell_type == "markdown" or cell.outputs) and not failed:
                top = copy.deepcopy(cell)
                top.metadata.transient = {"remove_source": cell.cell_type == "code"}
                top.id = f"{cell.id}-top"
                top.metadata.setdefault("rai_kit", {})["origin"] = section
                headlines.append(top)
        cells = cells or [nbformat.v4.new_markdown_cell("(nothing to show)")]
        section["error"] = next(
            (c.metadata.rai_kit["message"] for c in cells if "message" in c.metadata.get("rai_kit", {})), None
        )
        cells[0].metadata.setdefault("rai_kit", {})["open"] = section
        cells[-1].metadata.setdefault("rai_kit", {})["close"] = True
        body += cells
        sections.append(section)
    if headlines:
        headlines[0].metadata.rai_kit["open_headlines"] = True
        headlines[-1].metadata.rai_kit["close"] = True
    body[0].metadata.rai_kit["contents"] = True
    return nbformat.v4.new_notebook(cells=headlines + body, metadata={"language_info": {"name": "python"}}), sections


def _shown_cells(notebook: Any, entry: Mapping[str, Any]) -> list[Any]:
    """The cells that the report shows, with settings in place of the parameters' code, and nothing after an error."""
    cells: list[Any] = []
    heading = ""
    for index, cell in enumerate(notebook.cells):
        own = tags(cell)
        if own & {"remove", "injected-parameters", "papermill-error-cell-tag"} or not (
            cell.source.strip() or cell.get("outputs")
        ):
            continue
        if cell.cell_type == "markdown":
            heading = next((m[1] for m in re.finditer(r"(?m)^#+ (.+)$", cell.source)), heading)
        elif cell.cell_type == "code":
            if "parameters" in own:
                cell.metadata.rai_kit = {"settings": _settings(notebook, entry)}
            failed = [output for output in cell.outputs if output.output_type == "error"]
            if "remove-output" in own and not failed:
                cell.outputs = []
            if own & {"remove-input", "parameters"}:
                cell.metadata.transient = {"remove_source": True}
            cell.outputs = [output for output in cell.outputs if _is_shown(output, bool(failed))]
            mark = cell.metadata.setdefault("rai_kit", {})
            mark["alt"] = f"Figure: {heading}" if heading else "Figure"
            if failed:
                left = sum(later.cell_type == "code" for later in notebook.cells[index + 1 :])
                mark["note"] = "The notebook stopped here" + (
                    f"; {left} code cell{'s' * (left > 1)} after it not run." if left else "."
                )
                mark["message"] = _message(failed[0])
                return [*cells, cell]
        cells.append(cell)
    return cells


def _is_shown(output: Any, failed: bool) -> bool:
    """Not: warnings of a cell that went well, and what only a script could show."""
    if output.output_type == "stream":
        return output.name == "stdout" or failed
    active = {"application/vnd.jupyter.widget-view+json", "application/javascript", "text/vnd.mermaid"}
    return not active & set(output.get("data", {}))


def _message(output: Any) -> str:
    """An `InputError` is one sentence for the reader, as is what the runner wrote (it has no traceback); any other error is named."""
    said = output.ename == "InputError" or not output.traceback
    return str(output.evalue if said else f"{output.ename}: {output.evalue}".strip(": "))


def _settings(notebook: Any, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of settings: name, value in effect, whether it differs from the notebook's own, meaning."""
    try:
        parameters = parameters_of(notebook, "")
    except (InputError, SyntaxError):
        return []
    values = {**notebook.metadata.get("papermill", {}).get("parameters", {}), **entry.get("parameters", {})}
    rows = []
    for name, parameter in parameters.items():
        value = values.get(name, parameter.default)
        if name != "out":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append({"name": name, "value": text, "changed": value != parameter.default, "help": parameter.help})
    return rows


def _facts(out: Path, record: Mapping[str, Any], sections: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The banner's facts, as far as they are known: from run.json, and from those that the notebooks' own runs left."""
    inner = [read_record(path) for path in sorted(out.glob("*/run.json"))]
    shown = {section["name"] for section in sections}
    entries = [entry for entry in record.get("notebooks", []) if isinstance(entry, dict) and entry.get("name") in shown]
    given = [source["parameters"] for source in [*inner, *entries] if isinstance(source.get("parameters"), dict)]
    seconds = sum(entry.get("seconds") or 0 for entry in entries)
    commit = record.get("commit")
    facts = [
        ("Date", str(record.get("ended", "")).replace("T", " ").replace("+00:00", " UTC")),
        ("Models", _names(inner, "models", "targets") or _names(given, "target", "targets", "model", "models")),
        ("Judge", _names(inner, "judge") or _names(given, "judge", "judges")),
        ("Simulated user", _names(given, "simulator")),
        ("Profile", record.get("profile")),
        ("rai_kit", record.get("rai_kit")),
        ("Commit", commit and commit[:12] + (" with uncommitted changes" if record.get("uncommitted") else "")),
        ("Python", record.get("python")),
        ("Took", _duration(seconds) if seconds else ""),
    ]
    return [(label, str(value)) for label, value in facts if value]


def _names(sources: Iterable[Mapping[str, Any]], *keys: str) -> str:
    """Every name found under the keys, once each, in order: a text, a list of texts, a record with an id, or the keys of a mapping."""
    found: dict[str, None] = {}

    def take(value: Any) -> None:
        if isinstance(value, str) and value:
            found[value] = None
        elif isinstance(value, list):
            for item in value:
                take(item)
        elif isinstance(value, dict):
            take(value.get("id") or list(value))

    for source in sources:
        for key in keys:
            take(source.get(key))
    return ", ".join(found)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _number_headings(soup: Any, stems: set[str]) -> None:
    """Headings of notebooks go one level down, below the report's own; their ids become unique, and links between notebooks work."""
    for heading in soup.select(".headline :is(h1, h2, h3, h4)"):
        heading.name = f"h{int(heading.name[1]) + 2}"
    for section in soup.select("section[data-notebook]"):
        stem, own = section["data-notebook"], dict[str, str]()
        for heading in section.find_all(re.compile("^h[1-5]$")):
            heading.name = f"h{int(heading.name[1]) + 1}"
            heading["id"] = heading.get("id") or "-".join(heading.get_text().split())
        for number, element in enumerate(section.find_all(id=True)):
            fresh = f"{stem}--{element['id']}"
            fresh = fresh if fresh not in own.values() else f"{fresh}-{number}"
            own.setdefault(element["id"], fresh)
            element["id"] = fresh
        for link in section.find_all("a", href=True):
            target, _, fragment = unquote(link["href"]).partition("#")
            if not target and fragment in own:
                link["href"] = f"#{own[fragment]}"
            elif Path(target).suffix == ".ipynb" and Path(target).stem in stems:
                link["href"] = f"#nb-{Path(target).stem}"


_NUMBER = re.compile(r"(?i)(nan|none|null|n/a|inf|of|e|[\d.,:%±+\-−–—~<>=≤≥/×\s()\[\]])+")


def _align_tables(soup: Any) -> None:
    """Wide tables scroll inside the page, and columns of numbers are aligned to the right."""
    for table in soup.find_all("table"):
        if table.find_parent(class_="table"):
            continue
        table.wrap(soup.new_tag("div", attrs={"class": "table", "tabindex": "0", "role": "region", "aria-label": "Table"}))
        del table["border"]
        for row in table.find_all("tr"):
            del row["style"]
        rows = [row.find_all("td") for row in table.find_all("tr")]
        width = max(map(len, rows), default=0)
        heads = [row.find_all("th") for row in table.find_all("tr") if not row.find("td")]
        for place in range(-width, 0):  # from the right: row headers that span rows stand on the left
            column = [row[place] for row in rows if len(row) == width]
            texts = [cell.get_text().strip() for cell in column]
            for cell, text in zip(column, texts, strict=True):
                if len(text) > 48:
                    cell["class"] = [*cell.get("class", []), "long"]
            if all(not text or _NUMBER.fullmatch(text) for text in texts) and any(re.search(r"\d", text) for text in texts):
                plain = [head[place] for head in heads if len(head) >= width and not any(cell.get("colspan") for cell in head)]
                for cell in column + plain:
                    cell["class"] = [*cell.get("class", []), "num"]


def _clean_texts(soup: Any, out: Path) -> None:
    """No invisible characters and no folders of this machine in any text; each style sheet of an output only once."""
    places = {str(out): out.name, str(PROJECT): ".", sys.prefix: "python", str(Path.home()): "~"}
    ordered = sorted((place for place in places if len(place) > 1), key=len, reverse=True)
    folders = re.compile("|".join(rf"{re.escape(place)}(?![\w.-])" for place in ordered))
    styles: set[str] = set()
    for style in soup.body.find_all("style"):
        if style.has_attr("scoped") or style.get_text() in styles:
            style.decompose()
        else:
            styles.add(style.get_text())
    for text in soup.find_all(string=True):
        if text.parent is not None and text.parent.name != "style":
            cleaned = folders.sub(lambda match: places[match[0]], visible(text))
            if cleaned != text:
                text.replace_with(type(text)(cleaned))
