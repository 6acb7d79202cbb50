"""Labelling in a notebook: one conversation after the other, a button for each score, every click saved at once.

Left out on purpose: any sight of target, arm or verdict, and a second way to store labels: the file is the CSV sheet itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rai_kit.html import escape
from rai_kit.labelling.sheets import REFUSALS, Item, Label, read_sheet, write_sheet
from rai_kit.schema import InputError

_WORDS = {"user": "User", "assistant": "Answer", "system": "System prompt"}
_WHOLE = 10**9
"""No limit: what is labelled is shown in full."""


def rater_copy(sheet: str | Path, rater: str) -> Path:
    """The sheet of one rater, `NAME-RATER.csv`; made from the sheet, without anyone's labels, where it does not exist yet."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", rater):
        raise InputError(f"rater is {rater!r}; use letters, digits and _ only, as it becomes part of a file's name.")
    path = Path(sheet)
    own = path.with_name(f"{path.stem}-{rater}.csv")
    if not own.exists():
        write_sheet([label.item for label in read_sheet(path)], own)
    return own


@dataclass
class Labelling:
    """The state of one person's work on one sheet; every change is written to the file at once."""

    path: Path
    labels: list[Label]
    place: int = 0

    @classmethod
    def of(cls, path: Path) -> Labelling:
        """Opens a sheet at the first conversation that is not done."""
        labels = read_sheet(path)
        if not labels:
            raise InputError(f"{path} holds no conversation; draw a sample with at least one.")
        first = next((place for place, label in enumerate(labels) if not label.done), len(labels) - 1)
        return cls(path, labels, first)

    @property
    def label(self) -> Label:
        """What has been said of the conversation in view."""
        return self.labels[self.place]

    def say(self, **changes: Any) -> None:
        """Changes the label in view (`score`, `refusal`, `cannot_judge`, `note`) and saves the sheet."""
        self.labels[self.place] = replace(self.label, **changes)
        write_sheet(self.labels, self.path)

    def move(self, steps: int) -> None:
        """Goes on or back."""
        self.place = min(max(self.place + steps, 0), len(self.labels) - 1)

    def progress(self) -> str:
        """Where the work stands, in words."""
        done = sum(label.done for label in self.labels)
        return f"conversation {self.place + 1} of {len(self.labels)}, {done} done"


def label_cells(sheet: str | Path, rater: str | None = None) -> Any:
    """A notebook cell in which one person labels a sheet; again on the same sheet it goes on where it stopped.

    Args:
        sheet: The CSV file that `write_sheet` wrote.
        rater: Who labels. Each rater has a copy of the sheet, `NAME-RATER.csv`; None writes into the sheet itself.

    Returns:
        An `ipywidgets` box; where `ipywidgets` is missing, one sentence that names the CSV to fill in instead.
    """
    path = Path(sheet) if rater is None else rater_copy(sheet, rater)
    state = Labelling.of(path)
    if find_spec("ipywidgets") is None:
        return (
            f"ipywidgets is not installed; fill in the columns severity, ungroundedness and refusal of {path} in a spreadsheet."
        )
    return _Cells(state).box


class _Cells:
    """The widgets around a `Labelling`."""

    def __init__(self, state: Labelling) -> None:
        self.state, self.widgets = state, import_module("ipywidgets")
        widgets = self.widgets
        self.head, self.talk, self.scores = widgets.HTML(), widgets.HTML(), widgets.HBox()
        self.refusal = widgets.HBox([self._button(word, refusal=value) for word, value in REFUSALS.items()])
        self.cannot = self._button("cannot judge", cannot_judge=True, score=None, refusal=None)
        steps = [self._step("back", -1), self._step("next", 1)]
        rows = [
            self.head,
            self.talk,
            widgets.HBox([widgets.Label("Does it refuse?"), self.refusal]),
            self.scores,
            widgets.HBox([self.cannot, *steps]),
        ]
        self.box = widgets.VBox(rows)
        self.show()

    def _button(self, word: str, **changes: Any) -> Any:
        button = self.widgets.Button(description=word, layout={"width": "auto"})
        button.on_click(lambda _: self._said(changes))
        return button

    def _step(self, word: str, steps: int) -> Any:
        button = self.widgets.Button(description=word, layout={"width": "auto"})

        def go(_: Any) -> None:
            self.state.move(steps)
            self.show()

        button.on_click(go)
        return button

    def _said(self, changes: dict[str, Any]) -> None:
        """Saves a click; a score ends the conversation, so the next one follows."""
        self.state.say(**({"cannot_judge": False} | changes))
        if "score" in changes:
            self.state.move(1)
        self.show()

    def show(self) -> None:
        """Draws the conversation in view and marks what has been said of it."""
        label = self.state.label
        item = label.item
        self.head.value = f"<b>{escape(self.state.progress())}</b> · rubric {escape(item.rubric)} · {escape(self.state.path)}"
        self.talk.value = conversation_html(item)
        buttons = [self._button(str(score), score=score) for score in range(item.top + 1)]
        for score, button in enumerate(buttons):
            button.button_style = "info" if label.score == score else ""
        self.scores.children = (self.widgets.Label(f"{item.scale.capitalize()}, 0 to {item.top}:"), *buttons)
        for value, button in zip(REFUSALS.values(), self.refusal.children, strict=True):
            button.button_style = "info" if label.refusal == value else ""
        self.cannot.button_style = "warning" if label.cannot_judge else ""


def conversation_html(item: Item) -> str:
    """The whole conversation as chat bubbles; every word of it is escaped."""
    notes = {"What the user wanted": item.goal, "Passage": item.context, "Protected text": item.reference}
    shown = [f"<p><b>{name}:</b> {escape(text, _WHOLE)}</p>" for name, text in notes.items() if text]
    for message in item.messages:
        side = "margin-left:3em;background:rgba(66,120,220,.16)" if message.role == "user" else "background:rgba(128,128,128,.14)"
        shown.append(
            f'<div style="margin:.5em 0;padding:.4em .8em;border-radius:8px;{side}"><small><b>{_WORDS[message.role]}</b></small>'
            f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(message.content, _WHOLE)}</div></div>'
        )
    return "".join(shown)
