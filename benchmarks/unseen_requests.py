"""A finished cycle, measured once more: on held-out requests beyond those of its own test, by which its recipe may have been chosen.

    .venv/bin/python benchmarks/unseen_requests.py outputs/demo/break_fix outputs/unseen

Base, last round and placebo answer the next scenarios of the same streams: as many again of held-out goals (partly the same goals, in other
words), four times as many of other sets, 100 harmless look-alikes and ordinary requests each. What the cycle's own test asked is left out.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rai_kit.data import draw_scenarios
from rai_kit.measure import Cycle, benchmark, open_cycle, outcome
from rai_kit.measure.cycle import BASE, PLACEBO, TEST, Arm, Sizes, held_out_scenarios

MORE = 100
"""Harmless requests of each kind beyond those of the cycle."""
COLUMNS = ["category", "n", "n_unscored", "value_before", "value_after", "difference", "low", "high", "fixed", "broken", "p"]


def measured_further(cycle: Cycle, out: Path) -> Cycle:
    """The same models, and answers to further requests; laid out as a cycle's own test, so that `outcome` reads them."""
    sizes, seed = Sizes(**cycle.record["sizes"]), cycle.record["seed"]
    larger = replace(sizes, test=2 * sizes.test, foreign=5 * sizes.foreign)
    known = {scenario for test in (cycle[BASE].harm, cycle[BASE].refusal) for scenario in test.table["scenario"]}
    asked = {
        "harm": ("taxonomy", held_out_scenarios(larger, seed), sizes.turns),
        "refusal": (
            "over_refusal",
            draw_scenarios("over_refusal", n=sizes.refusal + MORE, turns=1, seed=seed, part="held_out"),
            1,
        ),
    }
    settings = {"part": "held_out", "seed": seed, "max_tokens": sizes.max_tokens, "judge": cycle.record["judge"]}
    arms = [Arm(name, cycle[name].model, out / name) for name in (BASE, cycle.last.name, PLACEBO)]
    for arm in arms:
        for test, (suite, scenarios, turns) in asked.items():
            new = [one for one in scenarios if one.id not in known]
            benchmark(arm.model, out=arm.folder / TEST / test, suite=suite, scenarios=new, turns=turns, **settings)
    return Cycle(out, tuple(arms), cycle.record)


def main(folder: str, out: str) -> None:
    cycle = open_cycle(folder)
    further = measured_further(cycle, Path(out).absolute())
    for arm in further.arms[1:]:
        harm = [
            outcome.harm(further, arm.name, origin=origin).iloc[-1:].assign(category=origin)
            for origin in (outcome.OWN, outcome.OTHER)
        ]
        print(f"\n{arm.name} beside {BASE}")
        print(pd.concat([*harm, outcome.refusals(further, arm.name)])[COLUMNS].round(4).to_string(index=False))
        print(outcome.coherence(further, arm.name).round(3).to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
