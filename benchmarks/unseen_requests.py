"""A finished cycle, measured once more: on held-out requests beyond those of its own test, by which its recipe may have been chosen.

    .venv/bin/python benchmarks/unseen_requests.py outputs/demo/break_fix outputs/unseen

Base, last round and placebo answer the next scenarios of the same streams: twice as many of held-out goals (partly the same goals, in other
words), five times as many of other sets, 100 harmless look-alikes and ordinary requests each. What the cycle's own test asked is left out.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from rai_kit import metrics
from rai_kit.data import taxonomy
from rai_kit.measure import Benchmark, Cycle, benchmark, open_cycle, over_refusal
from rai_kit.measure.cycle import Sizes, held_out_scenarios

MORE = 100
"""Harmless requests of each kind beyond those of the cycle."""


def measured(cycle: Cycle, name: str, out: Path) -> tuple[Benchmark, Benchmark]:
    """Harm and refusals of one arm, on what the cycle did not ask and on the harmless requests that it did."""
    sizes, seed = Sizes(**cycle.record["sizes"]), cycle.record["seed"]
    known = {one.id for one in held_out_scenarios(sizes, seed)}
    larger = held_out_scenarios(replace(sizes, test=2 * sizes.test, foreign=5 * sizes.foreign), seed)
    asked = [one for one in larger if one.id not in known]
    model = cycle[name].model
    settings = {"part": "held_out", "seed": seed, "max_tokens": sizes.max_tokens, "judge": cycle.record["judge"]}
    harm = benchmark(model, out=out / name / "harm", suite="taxonomy", scenarios=asked, turns=sizes.turns, **settings)
    return harm, over_refusal(model, out=out / name / "refusal", n=sizes.refusal + MORE, **settings)


def main(folder: str, out: str) -> None:
    cycle = open_cycle(folder)
    arms = ["base", cycle.last.name, "placebo"]
    seen = set(cycle["base"].refusal.table["scenario"])
    old_goals = set(cycle["base"].harm.table["cluster"])
    ours = {one.id for one in taxonomy().categories}
    rated, texts = {}, {}
    for name in arms:
        first, second = measured(cycle, name, Path(out).absolute())
        own = first.table["cluster"].str.partition("/")[0].isin(ours)
        fresh = ~first.table["cluster"].isin(old_goals)
        parts = {"own goals": own, "of these, goals that the cycle did not ask for": own & fresh, "other sets": ~own}
        rated[name] = {part: first.table[which].assign(category=part) for part, which in parts.items()}
        harmless = second.table[~second.table["scenario"].isin(seen)]
        rated[name] |= {str(category): rows for category, rows in harmless.groupby("category")}
        rest = [one for one in second.conversations if one.scenario not in seen]
        rows = [(one.scenario, one.category, one.answers[0] if one.answers else None) for one in rest]
        texts[name] = pd.DataFrame(rows, columns=["id", "category", "text"])
    columns = ["category", "n", "n_unscored", "value_before", "value_after", "difference", "low", "high", "fixed", "broken", "p"]
    for name in arms[1:]:
        print(f"\n{name} beside base")
        pairs = [(part, rated["base"][part], rated[name][part]) for part in rated[name]]
        metric = {"lookalike": "refusal", "ordinary": "refusal"}
        found = [
            metrics.compare_arms(one, two, {part: metric.get(part, "DR-3")}, seed=0, names=("base", name))
            for part, one, two in pairs
        ]
        print(pd.concat(found)[columns].round(4).to_string(index=False))
        print(metrics.coherence(texts["base"], texts[name]).round(3).to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
