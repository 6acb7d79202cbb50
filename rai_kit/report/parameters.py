"""What is to be run: notebooks, profiles and parameters, found, read and checked before anything is executed or written."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rai_kit.report.common import PROJECT, library, listed, tags
from rai_kit.schema import InputError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of a notebook's `parameters` cell: `name: kind = default  # help`."""

    name: str
    kind: str
    default: Any
    help: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A notebook with its parameters settled: all `settings` but `out`, and those of them that are `given`."""

    path: Path
    notebook: Any
    settings: dict[str, Any]
    given: dict[str, Any]


def find_notebooks(names: Iterable[str | Path] = (), folder: str | Path = PROJECT / "notebooks") -> list[Path]:
    """The notebooks that are meant: paths, names or beginnings of names such as `03`; all of the folder, in order, if none is given.

    Raises:
        InputError: A name fits no notebook, or several.
    """
    present = sorted(Path(folder).glob("*.ipynb"))
    found = []
    for name in names:
        path = Path(name)
        fits = [path] if path.is_file() else [p for p in present if p.stem == path.stem]
        fits = fits or [p for p in present if p.stem.startswith(str(name))]
        if len(fits) != 1:
            raise InputError(f"{str(name)!r} names {len(fits) or 'no'} notebooks; there are {listed(p.stem for p in present)}.")
        found.append(fits[0].resolve())
    return found or [path.resolve() for path in present]


def load_profile(name_or_path: str | Path) -> dict[str, dict[str, Any]]:
    """The values that a profile sets: notebook name -> parameter -> value (JSON types).

    Args:
        name_or_path: Name of a file in `params/` (`smoke`) or a path that ends in `.yaml`.

    Raises:
        InputError: There is no such profile, or it is no mapping of mappings of JSON values.
    """
    import yaml

    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = PROJECT / "params" / f"{name_or_path}.yaml"
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError:
        known = listed(p.stem for p in sorted((PROJECT / "params").glob("*.yaml")))
        raise InputError(
            f"There is no profile {str(name_or_path)!r}; there are {known}, or give the path of a .yaml file."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"Profile {path.name} is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(profile, dict) or not all(isinstance(values, dict) for values in profile.values()):
        raise InputError(f"Profile {path.name} must map each notebook's name to a mapping of parameter to value.")
    for notebook, values in profile.items():
        for parameter, value in values.items():
            if not _is_json(value):
                raise InputError(f"Profile {path.name}: {notebook}.{parameter} is {value!r}; quote it, or use a JSON type.")
    return profile


def parameters_of(notebook: Any, name: str) -> dict[str, Parameter]:
    """The parameters of a notebook (an `nbformat` node), from its cell tagged `parameters`; none where it has no such cell.

    Raises:
        InputError: A line of the cell is anything but one assignment of a literal.
    """
    cell = next((cell for cell in notebook.cells if "parameters" in tags(cell)), None)
    if cell is None:
        return {}
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(cell.source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    found = {}
    for line in ast.parse(cell.source).body:
        target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0] if isinstance(line, ast.Assign) else None
        try:
            default = ast.literal_eval(line.value)
        except (AttributeError, ValueError, TypeError):
            target = None
        if not isinstance(target, ast.Name):
            code = ast.unparse(line)
            raise InputError(
                f"{name}: {code!r} in the cell tagged `parameters` is no literal; write one `name: type = literal` a line."
            )
        kind = ast.unparse(line.annotation) if isinstance(line, ast.AnnAssign) else _kind(default)
        found[target.id] = Parameter(target.id, kind, default, comments.get(line.end_lineno or 0, ""))
    return found


def _kind(value: Any) -> str:
    return "object" if value is None else type(value).__name__


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, tuple)


def _fits(kind: str | ast.expr, value: Any) -> bool:
    """Whether a JSON value is of an annotated type: int, float, str, bool, list[T], dict[str, T], T | None, object."""
    node = ast.parse(kind, mode="eval").body if isinstance(kind, str) else kind
    if isinstance(node, ast.BinOp):
        return _fits(node.left, value) or _fits(node.right, value)
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        items = value.values() if isinstance(value, dict) else value
        return _fits(node.value, value) and all(_fits(inner, item) for item in items)
    if isinstance(node, ast.Constant):
        return node.value is None and value is None
    number = isinstance(value, int) and not isinstance(value, bool)
    fits = {"int": number, "float": number or isinstance(value, float), "object": True, "Any": True}
    name = node.id if isinstance(node, ast.Name) else ""
    return fits.get(name, type(value).__name__ == name)


def _settle(parameter: Parameter, value: Any, typed: bool) -> Any:
    """The value for a parameter. Words from a command line (not `typed`) are taken as JSON unless the parameter is a text.

    Raises:
        ValueError: The value is of another type.
    """
    if not typed and isinstance(value, str):
        word = value
        if not (_fits(parameter.kind, "") and parameter.kind not in ("object", "Any")) or (
            word == "null" and _fits(parameter.kind, None)
        ):
            value = json.loads(word)
    if not _is_json(value) or not _fits(parameter.kind, value):
        raise ValueError
    return float(value) if parameter.kind == "float" else value


def _words(parameters: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    """`name=value` words, or a mapping already, as a mapping."""
    if isinstance(parameters, Mapping):
        return dict(parameters)
    found: dict[str, Any] = {}
    for word in parameters:
        name, equals, value = word.partition("=")
        if not equals or not name.strip().isidentifier():
            raise InputError(f"{word!r} is no parameter; write -p name=value.")
        if name.strip() in found:
            raise InputError(f"Parameter {name.strip()!r} is given twice; give it once.")
        found[name.strip()] = value
    return found


def plan(
    notebooks: Sequence[str | Path], profile: str | Path, parameters: Mapping[str, Any] | Iterable[str], out: Path
) -> list[Step]:
    """Reads and checks everything that can be checked before anything runs; all problems are told at once."""
    nbformat = library("nbformat")
    values, words, problems = load_profile(profile), _words(parameters), []
    paths = find_notebooks(notebooks)
    steps, declared = [], {}
    if not paths:
        raise InputError("There is no notebook to run; give the name or the path of one.")
    known = {path.stem for path in paths} | {path.stem for folder in {p.parent for p in paths} for path in folder.glob("*.ipynb")}
    for name in sorted(set(values) - known):
        problems.append(
            f"Profile {profile} sets parameters of {name!r}, which is no notebook; there are {listed(sorted(known))}."
        )
    for path in paths:
        try:
            notebook = nbformat.read(path, as_version=4)
            declared[path] = parameters_of(notebook, path.stem)
        except (nbformat.reader.NotJSONError, nbformat.ValidationError, OSError, SyntaxError) as error:
            raise InputError(f"{path.name} cannot be read as a notebook: {str(error).splitlines()[0]}.") from None
        own = [(name, value, True) for name, value in values.get(path.stem, {}).items()]
        own += [(name, value, False) for name, value in words.items() if name in declared[path]]
        given: dict[str, Any] = {}
        for name, value, typed in own:
            parameter = declared[path].get(name)
            if name == "out":
                problems.append(f"{path.stem}: parameter 'out' is set by the runner; give the folder as --out.")
            elif parameter is None:
                problems.append(f"{path.stem} has no parameter {name!r}; it has {listed(declared[path])}.")
            else:
                try:
                    given[name] = _settle(parameter, value, typed)
                except ValueError:
                    example = json.dumps(parameter.default, ensure_ascii=False)
                    problems.append(f"{path.stem}: {name} is {value!r}; it must be of type {parameter.kind}, such as {example}.")
        settings = {name: parameter.default for name, parameter in declared[path].items() if name != "out"} | given
        steps.append(Step(path, notebook, settings, given | ({"out": str(out)} if "out" in declared[path] else {})))
    for name in words:
        if not any(name in found for found in declared.values()):
            every = sorted({parameter for found in declared.values() for parameter in found} - {"out"})
            problems.append(f"None of {listed(p.stem for p in paths)} has a parameter {name!r}; they have {listed(every)}.")
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    return steps
