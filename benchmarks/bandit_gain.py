"""What the bandit gains over trying strategies evenly: successes found at the same number of attempts.

    .venv/bin/python benchmarks/bandit_gain.py [--seeds 200] [--weight 8]

The target is scripted, with weaknesses that are known: 10 categories, 16 strategies, 4 goals a category, so 640 possible attempts. Each
strategy has a success share of its own (mostly around 0.1), which varies somewhat from category to category and goal to goal, and

- `strong`: three strategies succeed in 30 to 60 % everywhere;
- `spots`: twelve pairs of category and strategy succeed in 40 to 80 %, and nothing else stands out;
- `mixed`: both;
- `equal`: every attempt succeeds in 15 %: there is nothing to learn.

Attempts are made in batches of 32, the largest of a run; nothing is learnt within one. `uniform` draws as many of the attempts at random.
How an attempt ends is drawn once for each seed, and is the same for both. `ratio` is that of the means, with its 95 % interval over the
seeds (delta method, paired). `regret` is what is missing to an oracle that knows every share, in expected successes, and in parentheses
that of uniform allocation.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

from rai_kit.attacks import bandit

CATEGORIES, STRATEGIES, GOALS, BATCH = 10, 16, 4, 32
ROWS = [
    *(("mixed", budget) for budget in (32, 64, 128, 256, 448)),
    *((kind, 256) for kind in ("strong", "spots", "equal")),
]
Array = np.ndarray[Any, np.dtype[np.float64]]


def world(kind: str, rng: np.random.Generator) -> Array:
    """The chance of success of each attempt: category x strategy x goal."""
    if kind == "equal":
        return np.full((CATEGORIES, STRATEGIES, GOALS), 0.15)
    share = np.tile(rng.beta(1.2, 12, size=STRATEGIES), (CATEGORIES, 1))
    if kind in ("mixed", "strong"):
        share[:, rng.choice(STRATEGIES, 3, replace=False)] = rng.uniform(0.3, 0.6, size=3)
    if kind in ("mixed", "spots"):
        for spot in rng.choice(share.size, 12, replace=False):
            share.flat[spot] = rng.uniform(0.4, 0.8)
    odds = np.log(share / (1 - share)) + rng.normal(0, 0.4, size=share.shape)
    return 1 / (1 + np.exp(-odds[:, :, None] - rng.normal(0, 0.7, size=(CATEGORIES, 1, GOALS))))


def thompson(ends: np.ndarray[Any, np.dtype[np.bool_]], budget: int, seed: int) -> list[int]:
    """Which attempts the bandit makes, as places in the flattened world."""
    learner = bandit.Thompson(seed)
    names = [(f"c{place[0]}", f"s{place[1]}") for place in np.ndindex(ends.shape)]
    waiting, made = list(range(ends.size)), list[int]()
    while len(made) < budget:
        batch = [waiting[at] for at in learner.choose([names[place] for place in waiting], min(BATCH, budget - len(made)))]
        for place in batch:
            learner.learn(*names[place], bool(ends.flat[place]))
        made += batch
        waiting = sorted({*waiting} - {*batch})
    return made


def measure(kind: str, budget: int, seeds: int) -> str:
    found, regret = np.zeros((2, seeds)), np.zeros((2, seeds))
    for seed in range(seeds):
        rng = np.random.default_rng([ROWS.index((kind, 256)), seed])
        chance = world(kind, rng)
        ends = rng.random(chance.shape) < chance
        best = np.sort(chance, axis=None)[-budget:].sum()
        for row, made in enumerate((thompson(ends, budget, seed), rng.choice(ends.size, budget, replace=False).tolist())):
            found[row, seed] = ends.flat[made].sum()
            regret[row, seed] = best - chance.flat[made].sum()
    (ours, even), half = found.mean(axis=1), 1.96 * found.std(axis=1, ddof=1) / math.sqrt(seeds)
    ratio = ours / even
    spread = 1.96 * (found[0] - ratio * found[1]).std(ddof=1) / even / math.sqrt(seeds)
    lost = regret.mean(axis=1)
    return (
        f"{kind:<7} {budget:>5}   {ours:6.1f} ± {half[0]:.1f}   {even:6.1f} ± {half[1]:.1f}   "
        f"{ratio:.2f} ({ratio - spread:.2f}-{ratio + spread:.2f})   {lost[0]:6.1f} ({lost[1]:.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--weight", type=float, default=bandit.PRIOR_WEIGHT, help="of the prior, in attempts")
    settings = parser.parse_args()
    bandit.PRIOR_WEIGHT = settings.weight
    started = time.perf_counter()
    print(f"{settings.seeds} seeds, prior weight {settings.weight:g}, batches of {BATCH}; ±: 95 %")
    print("target attempts     bandit       uniform    ratio              regret")
    for kind, budget in ROWS:
        print(measure(kind, budget, settings.seeds), flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
