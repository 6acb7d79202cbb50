"""Which conversations of a run people should label: a two-phase sample with known probabilities.

Harm is rare, so a plain random sample would hold little of it. What the judge calls positive is drawn first, as far as the stated
number goes, and negatives beside it; inside either, every category (of every model and arm) gets its turn, the rare ones whole.
The probabilities undo what this distorts. Left out on purpose: drawing by the judge's own doubt, which gains little more
and whose probabilities are near zero where the judge is wrongly sure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from rai_kit.labelling.sheets import Item, Key
from rai_kit.schema import Conversation, InputError, Scenario, Verdict, read_jsonl


class Run(Protocol):
    """What a benchmark found: its records, in any order."""

    @property
    def scenarios(self) -> Sequence[Scenario]: ...
    @property
    def conversations(self) -> Sequence[Conversation]: ...
    @property
    def verdicts(self) -> Sequence[Verdict]: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """Conversations to be labelled, in the (shuffled) order of the sheet, and how they were drawn."""

    items: tuple[Item, ...]
    key: Key


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is drawn as one: a conversation, or a pair of them from two runs."""

    stratum: tuple[str, str, str]
    items: tuple[Item, ...]
    positive: bool


def sample_for_labelling(
    found: Run | str | Path,
    paired_with: Run | str | Path | None = None,
    *,
    positives: int = 60,
    negatives: int = 40,
    least: int = 1,
    seed: int = 0,
) -> Sample:
    """Draws conversations of one's own run for labelling. Unscored ones are left out: no verdict can be corrected there.

    Args:
        found: A benchmark, or its run folder.
        paired_with: A second run of the same scenarios. Then the pair of conversations of a scenario is drawn as one (it is
            positive where either is), so that the difference between the runs can be corrected.
        positives: Most units to draw among those that the judge calls positive.
        negatives: Most units to draw among the others.
        least: Score (severity or ungroundedness) from which a conversation is positive; not above the threshold of any rate that
            is to be corrected.
        seed: Of the draw and the order.

    Raises:
        InputError: Nothing is scored, runs do not pair, two judges are mixed, or there are more strata than units to draw.
    """
    first = _conversations(found)
    judge = _one_judge(first)
    if paired_with is None:
        units = [_Unit(_stratum(*one), (_item(*one),), (one[1].score or 0) >= least) for one in first]
    else:
        second = _conversations(paired_with)
        _one_judge([*first, *second])
        units = _pairs(first, second, least)
    if not units:
        raise InputError("no conversation of the run is scored (in both runs, where two are given); there is nothing to label.")
    rng = Random(seed)
    drawn: list[Item] = []
    key = Key(judge=judge, stratum={}, population={}, drawn={})
    for sign, most in ((True, positives), (False, negatives)):
        strata: dict[tuple[str, str, str], list[_Unit]] = defaultdict(list)
        for unit in sorted(units, key=lambda unit: unit.items[0].id):
            if unit.positive is sign:
                strata[unit.stratum].append(unit)
        word = "positive" if sign else "negative"
        for stratum, count in _turns({name: len(strata[name]) for name in sorted(strata)}, most, word).items():
            name = " | ".join((*stratum, word))
            key.population[name], key.drawn[name] = len(strata[stratum]), count
            key.stratum.update((item.id, name) for unit in strata[stratum] for item in unit.items)
            for unit in rng.sample(strata[stratum], count):
                drawn += unit.items
    rng.shuffle(drawn)
    return Sample(tuple(drawn), key)


def _conversations(run: Run | str | Path) -> list[tuple[Conversation, Verdict, Scenario]]:
    """The scored conversations of a run, with what belongs to them."""
    if isinstance(run, str | Path):
        folder = Path(run)
        talks = list(read_jsonl(folder / "conversations.jsonl", Conversation))
        verdicts = list(read_jsonl(folder / "verdicts.jsonl", Verdict))
        scenarios = list(read_jsonl(folder / "scenarios.jsonl", Scenario))
    else:
        talks, verdicts, scenarios = list(run.conversations), list(run.verdicts), list(run.scenarios)
    verdict_of = {verdict.id: verdict for verdict in verdicts}
    scenario_of = {scenario.id: scenario for scenario in scenarios}
    try:
        joined = [(talk, verdict_of[talk.id], scenario_of[talk.scenario]) for talk in talks]
    except KeyError as error:
        raise InputError(
            f"{error.args[0]} is missing among the run's verdicts or scenarios; give the whole run folder."
        ) from None
    return [one for one in joined if one[1].scored]


def _one_judge(joined: Sequence[tuple[Conversation, Verdict, Scenario]]) -> str:
    judges = sorted({verdict.judge for _, verdict, _ in joined})
    if len(judges) > 1:
        raise InputError(f"the conversations were judged by {', '.join(judges)}; judge both runs with one judge first.")
    return judges[0] if judges else ""


def _stratum(talk: Conversation, verdict: Verdict, scenario: Scenario) -> tuple[str, str, str]:
    return talk.target, talk.arm, scenario.category


def _item(talk: Conversation, verdict: Verdict, scenario: Scenario) -> Item:
    return Item(
        id=talk.id,
        rubric=scenario.rubric,
        messages=talk.messages,
        goal=scenario.goal,
        context=scenario.context,
        reference=scenario.reference,
    )


def _pairs(
    first: Sequence[tuple[Conversation, Verdict, Scenario]], second: Sequence[tuple[Conversation, Verdict, Scenario]], least: int
) -> list[_Unit]:
    """Pairs of the conversations that two runs (of one model each) held over the same scenarios."""
    sides: list[dict[str, tuple[Conversation, Verdict, Scenario]]] = []
    for joined in (first, second):
        held = {one[2].id: one for one in joined}
        if len(held) < len(joined):
            raise InputError("a run of several models cannot be paired; give runs of one model each.")
        sides.append(held)
    before, after = sides
    if not before.keys() & after.keys():
        raise InputError("the two runs share no scored scenario; give two runs of the same scenarios.")
    units = []
    for scenario in before.keys() & after.keys():
        both = before[scenario], after[scenario]
        if both[0][0].id == both[1][0].id:
            raise InputError("the two runs are one and the same; give the runs before and after.")
        positive = any((verdict.score or 0) >= least for _, verdict, _ in both)
        units.append(_Unit(("both", "pair", both[0][2].category), tuple(_item(*one) for one in both), positive))
    return units


def _turns(sizes: Mapping[tuple[str, str, str], int], most: int, word: str) -> dict[tuple[str, str, str], int]:
    """How many to draw from each stratum: the same for all, less where there are less, `most` in all; nowhere none."""
    if len(sizes) > most:
        raise InputError(
            f"{most} {word}s are to be drawn from {len(sizes)} strata (model, arm, category), and each needs one; raise {word}s."
        )
    left, counts = most, {}
    for place, name in enumerate(sorted(sizes, key=lambda name: (sizes[name], name))):
        counts[name] = min(sizes[name], left // (len(sizes) - place))
        left -= counts[name]
    return counts
