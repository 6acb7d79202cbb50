import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm
from test_comparison import arm

from rai_kit.metrics.differences import sign_flip
from rai_kit.metrics.intervals import rate_interval
from rai_kit.metrics.ranking import ranks, told_apart
from rai_kit.schema import InputError

METRICS = {"jailbreak": "DR-1"}


def tables(values, clusters=None):
    """Name -> table, of rows x arms."""
    return {f"m{i}": arm(column, f"m{i}", clusters=clusters, model=f"m{i}") for i, column in enumerate(np.asarray(values).T)}


def draw(rng, groups, each, shares, spread=0.0):
    shared = rng.normal(size=(groups, 1, 1)) * spread + rng.normal(size=(groups, 1, len(shares))) * spread / 2
    noise = rng.normal(size=(groups, each, 1)) + rng.normal(size=(groups, each, len(shares)))
    return (shared + noise < norm.ppf(shares) * math.sqrt(2 + 1.25 * spread**2)).astype(float).reshape(-1, len(shares))


def test_arms_far_apart_have_certain_ranks_and_arms_alike_have_not():
    values = draw(np.random.default_rng(0), 200, 1, [0.5, 0.1, 0.9, 0.1])
    found = ranks(tables(values), METRICS).set_index("model")
    assert found["rank_low"].tolist() == [3, 1, 4, 1]
    assert found["rank_high"].tolist() == [3, 2, 4, 2]
    assert sorted(found["rank"]) == [1, 2, 3, 4]
    for name, column in zip(found.index, values.T, strict=True):
        assert tuple(found.loc[name, ["value", "low", "high"]]) == rate_interval(column, np.arange(200))[:3]


def test_ties_share_a_rank_and_identical_arms_are_never_told_apart():
    column = np.repeat([1.0, 0.0], [30, 70])
    found = ranks(tables(np.stack([column, column, column, 1 - column], axis=1)), METRICS)
    assert found["rank"].tolist() == [1, 1, 1, 4]
    assert found["rank_low"].tolist() == [1, 1, 1, 4]
    assert found["rank_high"].tolist() == [3, 3, 3, 4]


def test_two_arms_are_told_apart_about_where_the_paired_comparison_says_so():
    rng, apart = np.random.default_rng(1), 0
    for _ in range(40):
        values = draw(rng, 100, 1, [0.3, 0.18])
        p = sign_flip(values[:, 0] - values[:, 1])
        told = told_apart(values, np.arange(100)).any()
        apart += told != (p < 0.05)
    assert apart <= 7


def test_the_order_of_rows_and_arms_and_the_names_of_clusters_change_nothing():
    values = draw(np.random.default_rng(2), 15, 6, [0.1, 0.3, 0.5], 0.6)
    clusters = np.repeat(np.arange(15), 6)
    given = tables(values, clusters)
    found = ranks(given, METRICS)
    shuffled = {name: table.sample(frac=1, random_state=i) for i, (name, table) in enumerate(given.items())}
    pd.testing.assert_frame_equal(found, ranks(shuffled, METRICS))
    relabelled = {name: table.assign(cluster=table["cluster"] + "!") for name, table in given.items()}
    pd.testing.assert_frame_equal(found, ranks(relabelled, METRICS))
    turned = ranks(dict(reversed(given.items())), METRICS)
    pd.testing.assert_frame_equal(found, turned.sort_values("model").reset_index(drop=True))


def test_copies_within_a_cluster_are_no_new_evidence():
    values = draw(np.random.default_rng(3), 40, 1, [0.2, 0.3, 0.4])
    once = told_apart(values, np.arange(40))
    assert (told_apart(np.repeat(values, 20, axis=0), np.repeat(np.arange(40), 20)) == once).all()
    assert (told_apart(np.repeat(values, 20, axis=0), np.arange(800)) != once).any()


@pytest.mark.parametrize("clusters", [np.zeros(100), np.repeat(np.arange(5), 20)])
def test_few_clusters_give_no_certainty(clusters):
    values = np.stack([np.zeros(100), np.ones(100)], axis=1)
    values[:3, 0] = 1  # so that the clusters differ a little in how far the arms are apart
    found = ranks(tables(values, clusters), METRICS)
    assert found["rank_low"].tolist() == [1, 1]
    assert found["rank_high"].tolist() == [2, 2]


def test_constant_differences_are_no_false_certainty_and_no_crash():
    values = np.stack([np.zeros(30), np.ones(30)], axis=1)
    found = ranks(tables(values), METRICS)
    assert found["rank"].tolist() == [1, 2]
    assert found[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1], [2, 2]]


def test_only_rows_scored_in_every_arm_count():
    found = ranks({"a": arm([1, None, 0, 1], "a"), "b": arm([0, 0, None, 1], "b")}, METRICS)
    assert found[["n", "n_unscored"]].to_numpy().tolist() == [[2, 2], [2, 2]]
    assert found["value"].tolist() == [1, 0.5]
    nothing = ranks({"a": arm([None, 1], "a"), "b": arm([1, None], "b")}, METRICS)
    assert nothing["value"].isna().all()
    assert nothing["rank"].isna().all()
    assert nothing[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2]]


def test_errors():
    one = arm([1, 0], "a")
    with pytest.raises(InputError, match="two or more"):
        ranks({"a": one}, METRICS)
    with pytest.raises(InputError, match="0 of 2 rows of a, 0 of 2 of b and 1 of 3 of c have no partner"):
        ranks({"a": one, "b": arm([1, 1], "b"), "c": arm([1, 1, 1], "c")}, METRICS)
    with pytest.raises(InputError, match="no metric for category"):
        ranks({"a": one, "b": arm([1, 1], "b")}, {"other": "DR-1"})
    with pytest.raises(InputError, match="2 judges"):
        ranks({"a": one, "b": arm([1, 1], "b", judge="k")}, METRICS)


@pytest.mark.parametrize(
    ("groups", "each", "shares", "spread"),
    [(60, 1, [0.2] * 4, 0.0), (8, 10, [0.2] * 5, 0.7), (100, 1, [0.1, 0.2, 0.2, 0.4], 0.0)],
)
def test_rank_intervals_cover_all_ranks_at_once(groups, each, shares, spread):
    rng, runs, hits = np.random.default_rng(4), 80, 0
    true = np.array(shares)
    least, most = (true[:, None] > true).sum(axis=1) + 1, (true[:, None] >= true).sum(axis=1)
    clusters = np.repeat(np.arange(groups), each)
    for _ in range(runs):
        lower = told_apart(draw(rng, groups, each, shares, spread), clusters)
        hits += bool(((1 + lower.sum(axis=0) <= least) & (len(shares) - lower.sum(axis=1) >= most)).all())
    assert binomtest(hits, runs, 0.95, alternative="less").pvalue > 0.001
