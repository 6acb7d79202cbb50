"""Which strategy to try next on goals of which category: Thompson sampling with partial pooling.

What a strategy did in other categories says what to expect of it in this one, until this one has spoken for itself. Left out on purpose:
what an attempt costs. Under one budget of queries for all, a strategy that succeeds more often also ends sooner; where every query has
the same chance, success per query ranks strategies just as success per attempt does.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rai_kit.schema import digest

PRIOR_WEIGHT = 8.0
"""For so many attempts a strategy's success share in all categories counts in each; `benchmarks/bandit_gain.py --weight` tries others."""


class Belief(NamedTuple):
    """What is known of a strategy in a category; `mean` is the posterior's: the expected share of successes, 0-1."""

    category: str
    strategy: str
    mean: float
    successes: int
    failures: int
    unscored: int


@dataclass
class Thompson:
    """Chooses pairs of category and strategy by what was learnt so far; the same seed and history give the same choice.

    A strategy's success share has the prior Beta(1, 1). In each category its share has as prior a Beta with the mean of the former and the
    weight of `PRIOR_WEIGHT` attempts (empirical Bayes).

    Source: Thompson 1933; Chapelle and Li 2011, NeurIPS 24; Russo et al. 2018, arXiv 1707.02038.
    """

    seed: int
    _seen: dict[tuple[str, str], list[int]] = field(default_factory=dict, init=False, repr=False)

    def choose(self, waiting: Sequence[tuple[str, str]], count: int) -> list[int]:
        """Places in `waiting` of the (category, strategy) pairs to try next, at most `count`, the most promising first.

        One sample is drawn for each pair, so that a batch is spread over what may be best. Nothing changes by asking.
        """
        rng = random.Random(int(digest("thompson", self.seed, sorted(self._seen.items()), length=32), 16))
        shares = self._shares()
        cells = {pair: self._posterior(*pair, shares) for pair in set(waiting)}
        samples = [rng.betavariate(*cells[pair]) for pair in waiting]
        return sorted(range(len(waiting)), key=lambda place: (-samples[place], place))[: max(count, 0)]

    def learn(self, category: str, strategy: str, success: bool | None) -> None:
        """Takes in how an attempt ended; None (unscored) is counted, and teaches nothing."""
        self._seen.setdefault((category, strategy), [0, 0, 0])[2 if success is None else 0 if success else 1] += 1

    def table(self) -> list[Belief]:
        """What is known of each pair tried so far, by category and strategy."""
        shares = self._shares()
        rows = []
        for (category, strategy), counts in sorted(self._seen.items()):
            wins, losses = self._posterior(category, strategy, shares)
            rows.append(Belief(category, strategy, wins / (wins + losses), *counts))
        return rows

    def _shares(self) -> dict[str, float]:
        """Posterior mean of each strategy's success share in all categories together."""
        total: dict[str, list[int]] = defaultdict(lambda: [1, 1])
        for (_, strategy), (successes, failures, _) in self._seen.items():
            total[strategy][0] += successes
            total[strategy][1] += failures
        return {strategy: wins / (wins + losses) for strategy, (wins, losses) in total.items()}

    def _posterior(self, category: str, strategy: str, shares: dict[str, float]) -> tuple[float, float]:
        successes, failures, _ = self._seen.get((category, strategy), (0, 0, 0))
        share = shares.get(strategy, 0.5)
        return PRIOR_WEIGHT * share + successes, PRIOR_WEIGHT * (1 - share) + failures
