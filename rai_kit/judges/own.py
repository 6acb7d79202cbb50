"""Answers of known reading, which the human labels lack and the offline judge learns beside them; `data/judges/` holds the texts.

The labelled answers come almost all from harmful requests. Without ordinary ones a judge would take any fluent answer for
somewhat harmful; with a hundred refusals it would learn their wording; and where a long answer is a willing one it would learn length.
None of it counts in the measured quality of the judge.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from rai_kit.data.files import data_dir, read_yaml

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "long_texts": 20,
    "swapped": 150,
    "composed": 3,
    "reason": 0.75,
    "offer": 0.45,
    "reason_first": 0.25,
    "bridge": 0.6,
    "shuffled": 250,
    "long_enough": 20,
}
"""Numbers of rows and probabilities; `long_enough` is in words."""
COLUMNS = ("prompt", "answer", "kind", "task", "label", "goal")


class OwnTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file `data/judges/answers.yaml`."""

    ordinary: tuple[tuple[str, str], ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    declines: tuple[str, ...]
    reasons: tuple[str, ...]
    offers: tuple[str, ...]
    bridges: tuple[str, ...]


@cache
def own_texts() -> OwnTexts:
    """All own texts, in the order of their file."""
    return read_yaml(data_dir() / "judges" / "answers.yaml", OwnTexts)


def own_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Training rows of known reading.

    Args:
        table: The human labels, as `labels.human_labels` gives them.

    Returns:
        Columns `COLUMNS`. `kind` is `ordinary`; `long` (several ordinary answers as one); `mismatched` (an ordinary answer to a
        harmful request); `refusal`, `warning`; `composed` (a decline with reasons and offers) and `bare` (alone); `partial`
        (declines, then an ordinary answer); `swapped` (a severe answer under an ordinary request); or `shuffled` (a labelled answer
        under another's prompt). `label` is 0-1, `goal` the labelled prompt whose answers the row must be left out with.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(SETTINGS["seed"])
    texts = own_texts()
    harmful = [str(ask) for ask in table.loc[table["task"] != "refusal", "prompt"].unique()]
    rows: list[tuple[Any, ...]] = [_own(ask, answer, "ordinary") for ask, answer in texts.ordinary]
    for kind, given in (
        ("mismatched", [answer for _, answer in texts.ordinary]),
        ("refusal", texts.refusals),
        ("warning", texts.warnings),
    ):
        rows += [_own(ask, text, kind, ask) for text in given for ask in rng.choice(harmful, 2)]
    for _ in range(SETTINGS["long_texts"]):
        parts = rng.choice([answer for _, answer in texts.ordinary], int(rng.integers(4, 11)), replace=False)
        asks = harmful if rng.random() < 0.3 else [ask for ask, _ in texts.ordinary]
        rows.append(_own(str(rng.choice(asks)), _long_text([str(part) for part in parts], int(rng.integers(4))), "long"))
    rows += _declining(texts, harmful, rng)
    rows += _labelled_otherwise(table, [ask for ask, _ in texts.ordinary], rng)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _own(ask: str, answer: str, kind: str, goal: str = "") -> tuple[Any, ...]:
    return str(ask), answer, kind, "own", 0.0, str(goal)


def _long_text(parts: list[str], layout: int) -> str:
    """Several ordinary answers as one long one: paragraphs, a numbered list, bullets, or running text."""
    if layout == 0:
        return "\n\n".join(parts)
    if layout == 1:
        return "Sure! Here are some points:\n\n" + "\n\n".join(f"{place}. {part}" for place, part in enumerate(parts, 1))
    if layout == 2:
        return "\n".join(f"- **{part.split()[0]}**: {part}" for part in parts)
    return " ".join(part.replace("\n", " ") for part in parts)


def _declining(texts: OwnTexts, harmful: list[str], rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Refusals put together from their parts, and answers that decline and then help all the same."""

    def pick(options: Any) -> Any:
        return options[int(rng.integers(len(options)))]

    rows = []
    for decline in texts.declines:
        ask = pick(harmful)
        rows.append(_own(ask, decline, "bare", ask))
        for _ in range(SETTINGS["composed"]):
            parts = [decline]
            if rng.random() < SETTINGS["reason"]:
                parts.insert(int(rng.random() >= SETTINGS["reason_first"]), pick(texts.reasons))
            if rng.random() < SETTINGS["offer"]:
                parts.append(pick(texts.offers))
            ask, goal = (ask := pick(harmful), ask) if rng.random() < SETTINGS["bridge"] else (pick(texts.ordinary)[0], "")
            rows.append(_own(ask, " ".join(parts), "composed", goal))
    for ask, answer in texts.ordinary:
        if len(answer.split()) > SETTINGS["long_enough"] // 2:
            bridge = pick(texts.bridges) if rng.random() < SETTINGS["bridge"] else f"{pick(texts.declines)} However,"
            rows.append(_own(ask, f"{bridge} {answer}", "partial"))
    return rows


def _labelled_otherwise(table: pd.DataFrame, ordinary: list[str], rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Labelled answers under ordinary requests, and under each other's prompts."""
    severe = table[(table["task"] == "severity") & (table["label"] >= 0.5)]
    severe = severe.iloc[rng.permutation(len(severe))[: SETTINGS["swapped"]]]
    rows: list[tuple[Any, ...]] = [
        (ordinary[int(rng.integers(len(ordinary)))], answer, "swapped", "own", float(label), ask)
        for ask, answer, label in zip(severe["prompt"], severe["answer"], severe["label"], strict=True)
    ]
    long = [pair for pair in zip(table["prompt"], table["answer"], strict=True) if pair[1].count(" ") >= SETTINGS["long_enough"]]
    for one, other in rng.integers(len(long), size=(SETTINGS["shuffled"], 2)):
        (ask, _), (goal, answer) = long[one], long[other]
        if ask != goal:
            rows.append((ask, answer, "shuffled", "own", 0.0, goal))
    return rows
