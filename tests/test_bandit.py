"""The bandit: finds more than an even allocation where there is something to learn, and learns only from what was scored."""

import random
from collections import Counter
from statistics import fmean

import pytest

from rai_kit.attacks.bandit import PRIOR_WEIGHT, Thompson

CATEGORIES = [f"c{number}" for number in range(6)]
STRATEGIES = [f"s{number}" for number in range(8)]
PAIRS = [(category, strategy) for category in CATEGORIES for strategy in STRATEGIES for _ in range(4)]


def weak(category: str, strategy: str) -> float:
    """Two strategies are strong everywhere, one in a single category."""
    return 0.5 if strategy in ("s2", "s5") else 0.7 if (category, strategy) == ("c1", "s6") else 0.05


def found(chance, *, bandit: bool, budget: int = 64, seeds: int = 40) -> float:
    """Mean successes of `budget` attempts in batches of 16, over seeds."""
    totals = []
    for seed in range(seeds):
        rng = random.Random(seed)
        ends = [rng.random() < chance(*pair) for pair in PAIRS]
        if not bandit:
            totals.append(sum(ends[place] for place in rng.sample(range(len(PAIRS)), budget)))
            continue
        learner, waiting, total = Thompson(seed), list(range(len(PAIRS))), 0
        for _ in range(budget // 16):
            batch = [waiting[at] for at in learner.choose([PAIRS[place] for place in waiting], 16)]
            for place in batch:
                learner.learn(*PAIRS[place], ends[place])
                total += ends[place]
            waiting = [place for place in waiting if place not in batch]
        totals.append(total)
    return fmean(totals)


def test_finds_more_than_an_even_allocation_of_the_same_attempts() -> None:
    assert found(weak, bandit=True) > 1.4 * found(weak, bandit=False)


def test_gains_and_loses_nothing_where_all_are_equal() -> None:
    def equal(category: str, strategy: str) -> float:
        return 0.3

    assert found(equal, bandit=True) == pytest.approx(found(equal, bandit=False), rel=0.1)


def test_what_happened_elsewhere_counts_until_the_category_has_spoken_for_itself() -> None:
    learner = Thompson(0)
    for _ in range(20):
        learner.learn("c0", "good", True)
        learner.learn("c0", "bad", False)
    waiting = [("c9", "bad"), ("c9", "good")] * 50
    assert {waiting[place][1] for place in learner.choose(waiting, 40)} == {"good"}
    for _ in range(40):
        learner.learn("c9", "good", False)
        learner.learn("c9", "bad", True)
    assert {waiting[place][1] for place in learner.choose(waiting, 40)} == {"bad"}


def test_a_batch_is_spread_while_little_is_known() -> None:
    chosen = Counter(PAIRS[place][1] for place in Thompson(3).choose(PAIRS, 64))
    assert set(chosen) == set(STRATEGIES)
    assert max(chosen.values()) <= 20


def test_each_pair_is_chosen_once_and_no_more_than_there_are() -> None:
    chosen = Thompson(1).choose(PAIRS, 50)
    assert len(chosen) == len(set(chosen)) == 50
    assert sorted(Thompson(1).choose(PAIRS, 10**6)) == list(range(len(PAIRS)))
    assert chosen == Thompson(1).choose(PAIRS, 10**6)[:50]
    assert Thompson(1).choose(PAIRS, 0) == Thompson(1).choose([], 5) == []


def test_the_choice_follows_from_seed_and_history_in_whatever_order_it_came() -> None:
    history = [("c0", "s1", True), ("c0", "s2", False), ("c1", "s1", None), ("c0", "s1", True)]
    first, second, other = Thompson(7), Thompson(7), Thompson(8)
    for one, order in ((first, history), (second, history[::-1]), (other, history)):
        for entry in order:
            one.learn(*entry)
    assert first.choose(PAIRS, 30) == second.choose(PAIRS, 30) == first.choose(PAIRS, 30)
    assert first.choose(PAIRS, 30) != other.choose(PAIRS, 30)
    assert first.choose(PAIRS, 30) != Thompson(7).choose(PAIRS, 30)
    assert first.table() == second.table()


def test_what_is_unscored_is_counted_and_teaches_nothing() -> None:
    learner = Thompson(0)
    learner.learn("c0", "s0", True)
    before = learner.table()[0]
    for _ in range(30):
        learner.learn("c0", "s0", None)
        learner.learn("c1", "s9", None)
    after, never = learner.table()
    assert (after.mean, after.successes, after.failures, after.unscored) == (before.mean, 1, 0, 30)
    assert (never.mean, never.successes, never.failures, never.unscored) == (0.5, 0, 0, 30)


def test_the_table_holds_posterior_means() -> None:
    learner = Thompson(0)
    for success in (True, True, False):
        learner.learn("c0", "s0", success)
    learner.learn("c1", "s0", False)
    share = (1 + 2) / (2 + 4)
    rows = {(row.category, row.strategy): row.mean for row in learner.table()}
    assert rows == {
        ("c0", "s0"): pytest.approx((PRIOR_WEIGHT * share + 2) / (PRIOR_WEIGHT + 3)),
        ("c1", "s0"): pytest.approx(PRIOR_WEIGHT * share / (PRIOR_WEIGHT + 1)),
    }
