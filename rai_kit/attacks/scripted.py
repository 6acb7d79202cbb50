"""Strategies that follow a script: what they say stands in `data/attacks/<strategy>.yaml`, how they go on follows from the last answer.

A script is a list of steps, of which the last asks for the goal; the grammar stands at the head of `data/attacks/common.yaml`. Left out on
purpose: any understanding beyond `read_answer`, and any word of how harm is done: the wordings only wrap the wish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Literal

import msgspec

from rai_kit.attacks.session import Session
from rai_kit.data import data_dir, taxonomy
from rai_kit.data.files import names_in, read_yaml
from rai_kit.schema import AttackGoal, InputError, digest
from rai_kit.simulators import Reaction, read_answer

Move = Literal["next", "again", "restart"] | tuple[str, ...]
"""What follows an answer: the next step, another wording of this one, a fresh conversation, or one of these lines."""
_FOLDER, _COMMON = "attacks", "common"
_NO_FRAMES = {_COMMON, "personas"}
_WISH = frozenset({"request", "act", "text"})
_SLOTS = _WISH | {"topic"}
_ALWAYS = frozenset({"request"})  # what every goal has
_PATIENCE = 2  # messages in a conversation that do not advance it; then a fresh one
_REFUSALS = 2


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a script, in several wordings, and the moves that differ from the common ones."""

    say: tuple[str, ...]
    then: Mapping[Reaction, Move] = {}


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps to the goal, which the last one asks for."""

    steps: tuple[Step, ...]


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strategy's file: its name in figures, where it comes from, what it does, and its scripts."""

    title: str
    source: str
    about: str
    scripts: tuple[Script, ...]


class Common(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The moves that hold where a step names none: after a step that only prepares, and after the one that asks for the goal."""

    preparing: Mapping[Reaction, Move]
    asking: Mapping[Reaction, Move]


def frames() -> tuple[str, ...]:
    """Names of the strategies that have a file in `data/attacks`."""
    return tuple(name for name in names_in(_FOLDER) if name not in _NO_FRAMES)


def titles() -> dict[str, str]:
    """Strategy to its title in figures."""
    return {name: load_frame(data_dir() / _FOLDER / f"{name}.yaml").title for name in frames()}


@cache
def load_frame(path: Path) -> Frame:
    """Reads one strategy's file.

    Raises:
        InputError: A key is missing, misspelt or mistyped, or a script cannot be played with every goal; file and place are named.
    """
    frame = read_yaml(path, Frame)
    if not any(len(script.steps) == 1 for script in frame.scripts):
        raise InputError(f"{path}: `scripts` has none of one step; give one, for when a single query is left.")
    for number, script in enumerate(frame.scripts):
        if not script.steps:
            raise InputError(f"{path}: `scripts[{number}].steps` is empty; give at least one step.")
        for at, step in enumerate(script.steps):
            where, last = f"scripts[{number}].steps[{at}]", at == len(script.steps) - 1
            _check_lines(path, f"{where}.say", step.say)
            _check_moves(path, f"{where}.then", step.then, last)
            if last and not all(_slots_of(wording) & _WISH for wording in step.say):
                raise InputError(
                    f"{path}: a wording of `{where}.say` asks for nothing; the last step needs {{request}}, {{act}} or {{text}}."
                )
    return frame


@cache
def load_common(path: Path) -> Common:
    """Reads the moves that all strategies share.

    Raises:
        InputError: A key is missing, misspelt or mistyped, or a reaction has no move.
    """
    common = read_yaml(path, Common)
    for key, moves in (("preparing", common.preparing), ("asking", common.asking)):
        missing = [reaction for reaction in Reaction if reaction not in moves]
        if missing:
            raise InputError(f"{path}: `{key}` has no move for {', '.join(missing)}; every reaction needs one.")
        _check_moves(path, key, moves, last=key == "asking")
    return common


def _check_moves(path: Path, where: str, moves: Mapping[Reaction, Move], last: bool) -> None:
    for reaction, move in moves.items():
        if not isinstance(move, str):
            _check_lines(path, f"{where}.{reaction}", move)
        elif move == "next" and last:
            raise InputError(
                f"{path}: `{where}.{reaction}` is `next`, but no step follows the last; say `again`, `restart` or give lines."
            )


def _check_lines(path: Path, where: str, lines: Sequence[str]) -> None:
    """Every goal must be able to fill at least one of the lines, and their slots must exist."""
    for line in lines:
        try:
            strange = _slots_of(line) - _SLOTS
        except ValueError as error:
            raise InputError(f"{path}: {line!r} of `{where}` is no template ({error}); write a slot as {{request}}.") from None
        if strange:
            raise InputError(f"{path}: unknown slot {{{min(strange)}}} in `{where}`; choose from {', '.join(sorted(_SLOTS))}.")
    if not any(_slots_of(line) <= _ALWAYS for line in lines):
        raise InputError(f"{path}: no wording of `{where}` fits every goal; give one without a slot or with {{request}} alone.")


def _slots_of(line: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(line) if name is not None}


@dataclass(frozen=True)
class Scripted:
    """Plays one strategy's scripts, a fresh conversation with another script whenever one leads nowhere.

    It takes the longest script that fits the queries left, and asks for the goal with the last query at the latest. In a conversation
    it goes on by how the last answer reads; after two refusals, or two messages that did not advance it, it begins a new one. No wording
    comes twice before all of its step were said.

    Attributes:
        strategy: Name of a file in `data/attacks`.
        wording: Digest of that file and of the common one; set by itself, and part of the `repr`.

    Source: each file names its own.
    """

    strategy: str
    wording: str = field(init=False)

    def __post_init__(self) -> None:
        if self.strategy not in frames():
            raise InputError(f"Attack strategy {self.strategy!r} has no script; choose one of {', '.join(frames())}.")
        object.__setattr__(self, "wording", digest(self._frame, self._common))

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.strategy

    @property
    def _frame(self) -> Frame:
        return load_frame(data_dir() / _FOLDER / f"{self.strategy}.yaml")

    @property
    def _common(self) -> Common:
        return load_common(data_dir() / _FOLDER / f"{_COMMON}.yaml")

    async def __call__(self, goal: AttackGoal, session: Session) -> None:
        fills = _fills(goal)
        played: Counter[int] = Counter()
        while True:
            number = _choose(self._frame.scripts, played, session)
            played[number] += 1
            await self._play(self._frame.scripts[number].steps, fills, session)

    async def _play(self, steps: Sequence[Step], fills: Mapping[str, str], session: Session) -> None:
        """One conversation, until it leads nowhere (it returns) or the session ends."""
        talk = session.talk()
        at = stuck = 0
        answers: list[str] = []
        reactions: Counter[Reaction] = Counter()
        message = _least_said(steps[at].say, fills, session)
        while True:
            query = await talk.say(message)
            reaction = read_answer(query.answer, message, f"{fills['request']}\n{message}", answers)
            answers.append(query.answer)
            reactions[reaction] += 1
            last = at == len(steps) - 1
            move = steps[at].then.get(reaction) or (self._common.asking if last else self._common.preparing)[reaction]
            stuck += move != "next"
            if move == "restart" or stuck > _PATIENCE or reactions[Reaction.REFUSED] >= _REFUSALS:
                return
            due = len(steps) - session.left  # from here on every query is needed for a step of its own
            if move == "next" or due > at:
                at, move = max(at + (move == "next"), due), "again"
            if move == "again":
                message = _least_said(steps[at].say, fills, session)
            elif unsaid := sorted(set(_filled(move, fills)) - _said(session).keys()):
                message = session.rng.choice(unsaid)
            else:
                return


def _choose(scripts: Sequence[Script], played: Counter[int], session: Session) -> int:
    """Number of the script least played, of these the longest that leaves a query for the goal, of these any."""
    fits = [number for number, script in enumerate(scripts) if len(script.steps) <= max(session.left, 1)]
    best = min((played[number], -len(scripts[number].steps)) for number in fits)
    return session.rng.choice([number for number in fits if (played[number], -len(scripts[number].steps)) == best])


def _fills(goal: AttackGoal) -> dict[str, str]:
    """Words for the slots; a slot for which the goal has none is missing, and wordings that need it are passed over."""
    title = next((one.title for one in taxonomy().categories if one.id == goal.category), None)
    words = {"request": goal.request, "act": goal.act, "text": goal.text, "topic": title and title[:1].lower() + title[1:]}
    return {slot: value for slot, value in words.items() if value}


def _filled(wordings: Iterable[str], fills: Mapping[str, str]) -> list[str]:
    return [wording.format_map(fills) for wording in wordings if _slots_of(wording) <= fills.keys()]


def _said(session: Session) -> Counter[str]:
    return Counter(query.message for query in session.queries)


def _least_said(wordings: Iterable[str], fills: Mapping[str, str], session: Session) -> str:
    """One of the wordings that were said least often in this attempt."""
    said, fitting = _said(session), _filled(wordings, fills)
    fewest = min(said[message] for message in fitting)
    return session.rng.choice([message for message in fitting if said[message] == fewest])
