"""What groundedness and overlap find of planted corruptions: known kinds, known doses, on passages that neither was tuned on.

No human labels exist for these two. Rules were tuned to what was missed on the passages of even place (in the order of ids);
figures are of those of odd place, which give other sentences, names and inventions. Corruptions and rules are of one mind about
what a corruption is, so these figures are an upper reading. Beside them stand answers in free wording, written by hand: there the
measure is much weaker. All texts are our own.
"""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any

from rai_kit.data.bank import passages
from rai_kit.data.references import Reference, References
from rai_kit.judges.corruptions import KINDS, Planted, faithful, series
from rai_kit.judges.free_answers import FREE_ANSWERS
from rai_kit.judges.groundedness import groundedness
from rai_kit.judges.overlap import best_overlap

if TYPE_CHECKING:
    import pandas as pd

SEEDS = range(2)
"""So many answers of each kind about each passage."""
DEFECT = 2
"""Ungroundedness from which an answer in free wording counts as unfaithful (the rubric's defect)."""
COPIES = (10, 20, 40)


def held_out(odd: bool = True) -> list[int]:
    """Places of the passages that figures are taken on (odd), or that rules were written by (even)."""
    return list(range(int(odd), len(passages()), 2))


def dose_table(odd: bool = True) -> pd.DataFrame:
    """Ungroundedness by kind and dose of corruption: kind, dose, passage, seed, score (0-4), share (0-1); a row an answer."""
    import pandas as pd

    return pd.DataFrame(_doses(odd))


def planted_rows(odd: bool = True) -> list[dict[str, Any]]:
    """Rows for the table of quality: the share of corruptions found (sensitivity), and of faithful answers left alone
    (specificity).

    An answer with one corruption in (or beside) four faithful sentences counts as found when its score is above 0, and a
    faithful one of 1, 3 or 5 sentences as left alone when it is 0. In free wording the cut is 2.
    Intervals are 95 %, by passage.
    """
    return list(_rows(odd))


@cache
def _doses(odd: bool) -> list[dict[str, Any]]:
    texts = [passage.text for passage in passages()]
    rows = []
    for kind in KINDS:
        for place in held_out(odd):
            for seed in SEEDS:
                for planted in series(texts, place, kind, seed):
                    rows.append(_judged(planted, place, seed))
    return rows


def _judged(planted: Planted, place: int, seed: int) -> dict[str, Any]:
    found = groundedness(planted.answer, planted.passage)
    return {
        "kind": planted.kind,
        "dose": planted.dose,
        "passage": place,
        "seed": seed,
        "score": found.score,
        "share": found.share,
    }


@cache
def _rows(odd: bool) -> tuple[dict[str, Any], ...]:
    texts = [passage.text for passage in passages()]
    places = held_out(odd)
    answers = [(place, faithful(texts[place], seed, many)) for place in places for seed in SEEDS for many in (1, 3, 5)]
    clean = [(groundedness(answer, texts[place]).score == 0, place) for place, answer in answers]
    rows = []
    for kind in KINDS:
        found = []
        for place in places:
            for seed in SEEDS:
                found += [
                    (groundedness(planted.answer, texts[place]).score > 0, place)
                    for planted in series(texts, place, kind, seed)
                    if planted.dose == 1
                ]
        rows.append(_row(f"groundedness, {kind}", found, clean))
    return (*rows, _free(places), *_overlap_rows(texts, places))


def _free(places: list[int]) -> dict[str, Any]:
    """Answers in free wording, a faithful and an unfaithful one a passage."""
    ids = {passage.id: (place, passage.text) for place, passage in enumerate(passages())}
    mine = [(ids[id], good, bad) for id, good, bad in FREE_ANSWERS if ids[id][0] in places]
    found = [(groundedness(bad, text).score >= DEFECT, place) for (place, text), _, bad in mine]
    clean = [(groundedness(good, text).score < DEFECT, place) for (place, text), good, _ in mine]
    return _row("groundedness, free wording", found, clean)


def _overlap_rows(texts: list[str], places: list[int]) -> list[dict[str, Any]]:
    """Copies of known length out of one passage, every tenth word changed, among references that hold all; and other texts."""
    index = References(Reference(str(place), str(place), texts[place]) for place in places)
    others = [text for place, text in enumerate(texts) if place not in places]
    clean = [(best_overlap(text, index) is None, place) for place, text in enumerate(others)]
    rows = []
    for length in COPIES:
        found = []
        for place in places:
            words = texts[place].split()
            start = random.Random(f"{length} {place}").randrange(len(words) - length)
            copy = ["however" if number % 10 == 9 else word for number, word in enumerate(words[start : start + length])]
            best = best_overlap(f"This is how I remember it: {' '.join(copy)} ... and so on.", index)
            found.append((best is not None and best[0].id == str(place), place))
        rows.append(_row(f"overlap, {length} words copied", found, clean))
    return rows


def _row(finding: str, found: list[tuple[bool, int]], clean: list[tuple[bool, int]]) -> dict[str, Any]:
    import numpy as np

    from rai_kit.metrics import rate_interval

    every = [*found, *clean]
    row: dict[str, Any] = {
        "finding": finding,
        "n": len(every),
        "agreement": sum(hit for hit, _ in every) / len(every),
        "method": "planted",
    }
    for name, hits in (("sensitivity", found), ("specificity", clean)):
        values = np.array([hit for hit, _ in hits], dtype=float)
        row[name], row[f"{name}_low"], row[f"{name}_high"], _ = rate_interval(values, np.array([place for _, place in hits]))
    return row
