import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm, permutation_test
from statsmodels.stats.contingency_tables import mcnemar

from rai_kit.metrics.comparison import compare_arms, equivalent, non_inferior
from rai_kit.metrics.differences import difference_of, sign_flip
from rai_kit.metrics.intervals import rate_interval, wilson
from rai_kit.metrics.pairs import paired
from rai_kit.metrics.regression import regression_to_mean
from rai_kit.schema import InputError

METRICS = {"jailbreak": "DR-1", "harmful_content": "DR-3", "ungroundedness": "ungroundedness"}
COUNTS = {"airway": (1, 1, 7, 12), "response": (59, 6, 16, 80)}  # both, only the first, only the second, neither


def arm(severities, name="before", *, clusters=None, category="jailbreak", judge="j", seed=0, model="m", field="severity"):
    """A verdict table of one arm; None is unscored."""
    count = len(severities)
    scores = np.array([math.nan if one is None else one for one in severities], dtype=float)
    blank = np.full(count, math.nan)
    return pd.DataFrame(
        {
            "id": [f"{name}-{category}-{seed}-{i}" for i in range(count)],
            "scenario": [f"{category}{i}" for i in range(count)],
            "seed": seed,
            "model": model,
            "arm": name,
            "category": category,
            "topic": "t",
            "cluster": [f"k{i}" for i in range(count)] if clusters is None else [f"k{one}" for one in clusters],
            "judge": judge,
            "scored": ~np.isnan(scores),
            "severity": scores if field == "severity" else blank,
            "ungroundedness": scores if field == "ungroundedness" else blank,
            "refusal": False,
        }
    )


def of_counts(a, b, c, d):
    return np.repeat([1.0, 1, 0, 0], [a, b, c, d]), np.repeat([1.0, 0, 1, 0], [a, b, c, d])


def one_row(before, after, clusters=None, **settings):
    frame = compare_arms(
        arm(before, clusters=clusters), arm(after, "after", clusters=clusters), {"jailbreak": "DR-1"}, **settings
    )
    assert len(frame) == 1
    return frame.iloc[0]


# published and computed references


@pytest.mark.parametrize(
    ("counts", "difference", "low", "high"),
    [
        (COUNTS["airway"], 0.2857, 0.0256, 0.5069),
        (COUNTS["response"], 0.0621, 0.0046, 0.1186),
        ((0, 0, 0, 30), 0, -0.1135, 0.1135),
    ],
)
def test_newcombe_gives_the_published_intervals(counts, difference, low, high):
    """Fagerland, Lydersen and Laake 2014, tables 2 and 3; the third is Newcombe 1998 with Wilson's limits of 0 of 30."""
    found = one_row(*of_counts(*counts))
    assert (found.difference, found.low, found.high) == pytest.approx((difference, low, high), abs=1e-4)
    assert found.n == found.n_clusters == sum(counts)
    assert (found.fixed, found.broken) == (counts[1], counts[2])


def test_the_ratio_gives_the_published_interval():
    """MOVER with Wilson's limits of the same data: 0.8667 (0.7592 to 0.9866), as Fagerland, Lydersen and Laake have it."""
    second, first = of_counts(*COUNTS["response"])
    found = one_row(first, second)
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((65 / 75, 0.7592, 0.9866), abs=1e-4)


@pytest.mark.parametrize("counts", [*COUNTS.values(), (5, 0, 0, 5), (3, 9, 0, 4), (0, 4, 4, 0)])
def test_p_is_mcnemars_exact(counts):
    a, b, c, d = counts
    assert one_row(*of_counts(*counts)).p == pytest.approx(mcnemar([[a, b], [c, d]], exact=True).pvalue, rel=1e-12)


def test_p_of_clusters_is_that_of_scipys_exact_permutation():
    rng = np.random.default_rng(3)
    for _ in range(5):
        sums = rng.integers(-4, 4, 11).astype(float)
        exact = permutation_test((sums,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True).pvalue
        assert sign_flip(sums) == pytest.approx(exact, rel=1e-9)
    assert sign_flip(np.full(300, 2.0)) == sign_flip(np.ones(300)) == pytest.approx(2.0**-299, rel=1e-9)
    chances = np.ones(1)
    for step in np.repeat([1, 2, 5], [400, 190, 20]):  # one after the other; the sum is 120 of 880
        chances = np.convolve(chances, [0.5, *[0.0] * (step - 1), 0.5])
    tail = 2 * chances[(880 + 120) // 2 :].sum()
    assert sign_flip(np.repeat([1.0, -2.0, 5.0], [400, 190, 20])) == pytest.approx(tail, rel=1e-9)
    halves = np.array([0.5, -1.25, 2.5, 0.75, 3.0, 1.5])
    assert sign_flip(halves) == pytest.approx(sign_flip(4 * halves), rel=1e-9)
    many = rng.normal(0.3, 1, 40)
    assert sign_flip(many, seed=1) == sign_flip(many[::-1], seed=1)


def test_a_row_by_hand():
    found = one_row([1, 0, 1, None, 1], [0, 0, 0, 1, None])
    assert (found.n, found.n_unscored, found.fixed, found.broken) == (3, 2, 2, 0)
    assert (found.value_before, found.value_after, found.difference, found.ratio) == (2 / 3, 0, -2 / 3, 0)
    assert (found.value_before_low, found.value_before_high) == pytest.approx(wilson(2, 3))
    assert found.ratio_low == 0 < found.ratio_high
    assert (found.bound_low, found.bound_high) == pytest.approx(((-2 + 0 - 1) / 5, (-2 + 1 - 0) / 5))
    assert found.p == pytest.approx(0.5)
    assert found.finding == "no difference shown"


def test_holm_by_hand_and_the_findings():
    rng = np.random.default_rng(0)
    categories = [f"c{i}" for i in range(4)]
    shifts = [0.0, 0.12, 0.5, 0.05]
    drawn = [(rng.random(60) < 0.6, rng.random(60) < 0.6 - shift) for shift in shifts]
    arms = [
        pd.concat([arm(pair[side].astype(float), str(side), category=name) for name, pair in zip(categories, drawn, strict=True)])
        for side in (0, 1)
    ]
    found = compare_arms(*[table.assign(arm=str(i)) for i, table in enumerate(arms)], dict.fromkeys(categories, "DR-1"))
    order, held = np.argsort(found["p"]), 0.0
    for place, number in enumerate(order):
        held = max(held, min(1.0, found["p"][number] * (4 - place)))
        assert found["p_holm"][number] == pytest.approx(held)
    assert found["finding"].tolist() == ["lower" if p < 0.05 else "no difference shown" for p in found["p_holm"]]
    assert found["finding"][2] == "lower"
    assert found["category"].tolist() == categories


def test_the_pooled_row_is_no_part_of_the_family():
    before = pd.concat([arm([1, 1, 0, 5]), arm([3, 2, 7, 0], category="harmful_content", judge="k")])
    before = pd.concat([before, arm([4, 0, 1, 2], category="ungroundedness", field="ungroundedness")])
    after = pd.concat([arm([0, 0, 0, 1]), arm([0, 4, 2, 1], category="harmful_content", judge="k")])
    after = pd.concat([after, arm([0, 0, 1, 2], category="ungroundedness", field="ungroundedness")])
    found = compare_arms(before, after, METRICS, pooled=True)
    assert found["category"].tolist() == [*METRICS, "all"]
    pool = found.iloc[-1]
    assert (pool["n"], pool["metric"], pool["judge"], pool["fixed"], pool["broken"]) == (8, "defect", "j, k", 4, 1)
    assert pool["n_clusters"] == 4  # clusters of one name are one, whatever the category
    assert math.isnan(pool["p_holm"])
    pd.testing.assert_frame_equal(found.iloc[:-1], compare_arms(before, after, METRICS))


def test_means_agree_with_the_textbook_on_many_cases():
    rng = np.random.default_rng(5)
    before = rng.integers(0, 5, 400).astype(float)
    after = np.clip(before - rng.integers(0, 3, 400), 0, 4)
    tables = [
        arm(values, name, category="ungroundedness", field="ungroundedness") for values, name in ((before, "b"), (after, "a"))
    ]
    found = compare_arms(*tables, METRICS).iloc[0]
    change = after - before
    half = 1.96 * change.std(ddof=1) / 20
    assert found["difference"] == pytest.approx(change.mean())
    assert (found["low"], found["high"]) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.01)
    assert found["mde"] == pytest.approx(2.8016 * change.std(ddof=1) / 20, rel=0.1)
    assert found["ratio"] == pytest.approx(after.mean() / before.mean())
    draws = rng.integers(0, 400, (4000, 400))
    ratios = after[draws].mean(axis=1) / before[draws].mean(axis=1)
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), abs=0.015)
    assert (found["fixed"], found["broken"]) == ((change < 0).sum(), 0)
    assert found["finding"] == "lower"


# what must not change a result


def test_the_order_of_rows_and_the_names_of_clusters_change_nothing():
    rng = np.random.default_rng(2)
    before, after, clusters = rng.integers(0, 3, 60), rng.integers(0, 2, 60), np.repeat(np.arange(12), 5)
    first, second = arm(before, clusters=clusters), arm(after, "after", clusters=clusters)
    found = compare_arms(first, second, METRICS)
    shuffled = compare_arms(first.sample(frac=1, random_state=1), second.sample(frac=1, random_state=2), METRICS)
    pd.testing.assert_frame_equal(found, shuffled)
    relabelled = compare_arms(*(table.assign(cluster=table["cluster"] + "!") for table in (first, second)), METRICS)
    pd.testing.assert_frame_equal(found, relabelled)


@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(20), 3)])
def test_swapping_the_arms_mirrors_all(clusters):
    rng = np.random.default_rng(4)
    before, after = (rng.random(60) < 0.6).astype(float), (rng.random(60) < 0.3).astype(float)
    there, back = one_row(before, after, clusters), one_row(after, before, clusters)
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert (there.ratio, there.ratio_low, there.ratio_high) == pytest.approx(
        (1 / back.ratio, 1 / back.ratio_high, 1 / back.ratio_low)
    )
    assert (there.p, there.fixed, there.broken) == (back.p, back.broken, back.fixed)
    assert (there.finding, back.finding) == ("lower", "higher")


def test_copies_within_a_cluster_are_no_new_evidence():
    rng = np.random.default_rng(6)
    before, after = (rng.random(80) < 0.4).astype(float), (rng.random(80) < 0.2).astype(float)
    single = one_row(before, after, np.arange(80))
    tenfold = one_row(np.repeat(before, 10), np.repeat(after, 10), np.repeat(np.arange(80), 10))
    assert tenfold.p == pytest.approx(single.p)
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high), abs=0.01)
    assert tenfold.high - tenfold.low > single.high - single.low
    assert tenfold.mde == pytest.approx(single.mde, rel=0.05)


@pytest.mark.parametrize("metric", ["DR-1", "severity"])
@pytest.mark.parametrize("values", [(0, 0), (7, 7), (7, 0), (0, 7)])
@pytest.mark.parametrize("clusters", [None, np.zeros(30), np.repeat(np.arange(10), 3)])
def test_no_interval_has_zero_width(metric, values, clusters):
    tables = [arm([value] * 30, name, clusters=clusters) for value, name in zip(values, "ba", strict=True)]
    found = compare_arms(*tables, {"jailbreak": metric}).iloc[0]
    assert found["low"] < found["high"]
    assert found["low"] <= found["difference"] <= found["high"]
    if values[0] == 0:
        assert math.isnan(found["ratio"])
    else:
        assert found["ratio_low"] < found["ratio_high"]
        assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    if values[0] == values[1]:
        assert found["p"] == 1


def test_nothing_scored_is_said_and_takes_no_part_in_holm():
    before, after = arm([None, 1, None]), arm([1, None, None], "after")
    other = [arm([3] * 8, name, category="harmful_content") for name in ("before", "after")]
    other[1]["severity"] = 0
    found = compare_arms(pd.concat([before, other[0]]), pd.concat([after, other[1]]), METRICS, pooled=True).set_index("category")
    nothing = found.loc["jailbreak"]
    assert nothing[["bound_low", "bound_high"]].tolist() == pytest.approx([-2 / 3, 2 / 3]), (
        "of three pairs one side each is known at most"
    )
    assert (nothing["n"], nothing["n_unscored"], nothing["finding"], nothing["method"]) == (
        0,
        3,
        "nothing scored",
        "nothing scored",
    )
    assert nothing[["difference", "low", "high", "p", "p_holm", "mde", "ratio", "value_before"]].isna().all()
    assert found.loc["harmful_content", "p_holm"] == found.loc["harmful_content", "p"] == pytest.approx(2 / 2**8)


# coverage and size


def latent(rng, groups, each, shares, spread):
    """0s and 1s of both arms, correlated within pairs and clusters, with these true shares."""
    scale = math.sqrt(2 + spread**2)
    shared, pair = rng.normal(size=(groups, 1)) * spread, rng.normal(size=(groups, each))
    return [(shared + pair + rng.normal(size=(groups, each)) < norm.ppf(share) * scale).astype(float).ravel() for share in shares]


@pytest.mark.parametrize(
    ("groups", "each", "shares", "spread"), [(80, 1, (0.3, 0.2), 0), (200, 1, (0.06, 0.02), 0), (20, 8, (0.3, 0.2), 0.8)]
)
def test_intervals_of_shares_cover(groups, each, shares, spread):
    rng, runs = np.random.default_rng(7), 600
    clusters, hits, ratios = np.repeat(np.arange(groups), each), 0, 0
    for _ in range(runs):
        found = difference_of(*latent(rng, groups, each, shares, spread), clusters, "DR-1", 1.0)
        hits += found.low <= shares[1] - shares[0] <= found.high
        ratios += found.ratio[1] <= shares[1] / shares[0] <= found.ratio[2]
    assert binomtest(hits, runs, 0.95, alternative="less").pvalue > 0.001
    assert binomtest(ratios, runs, 0.95, alternative="less").pvalue > 0.001
    assert hits < runs * 0.995


def test_intervals_of_means_cover():
    rng, runs, hits = np.random.default_rng(8), 150, 0
    clusters = np.repeat(np.arange(25), 4)

    def draw(groups):
        shared, change = rng.normal(size=(groups, 1)) * 0.6, rng.normal(size=(groups, 1)) * 0.3
        noise = rng.normal(size=(2, groups, 4)) * 0.6
        return [np.clip(np.round(base + noise[i]), 0, 4).ravel() for i, base in enumerate((0.9 + shared, 0.6 + shared + change))]

    far = draw(200_000)
    truth = far[1].mean() - far[0].mean()
    for _ in range(runs):
        found = difference_of(*draw(25), clusters, "ungroundedness", 4.0)
        hits += found.low <= truth <= found.high
    assert binomtest(hits, runs, 0.95, alternative="less").pvalue > 0.001


def test_the_permutation_test_keeps_its_size_and_the_interval_rarely_disagrees():
    rng, runs, wrong, apart = np.random.default_rng(9), 600, 0, 0
    for _ in range(runs):
        before, after = latent(rng, 20, 6, (0.3, 0.3), 0.8)
        p = sign_flip((after - before).reshape(20, 6).sum(axis=1))
        found = difference_of(before, after, np.repeat(np.arange(20), 6), "DR-1", 1.0)
        wrong += p < 0.05
        apart += (p < 0.05) == (found.low <= 0 <= found.high)
    assert binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 0.001
    assert apart / runs < 0.05


# margins


def test_margins_by_hand():
    before, after = of_counts(20, 12, 10, 158)
    pairs = paired(arm(before), arm(after, "after"), "DR-1")
    row = one_row(before, after)
    test = non_inferior(pairs, 0.05)
    assert (test.difference, test.low, test.high) == (row.difference, row.low, row.high)
    assert test.holds == (row.high < 0.05)
    assert non_inferior(pairs, row.high + 1e-9).holds is True
    assert non_inferior(pairs, row.high - 1e-9).holds is False
    both = equivalent(pairs, 0.06)
    assert both.confidence == pytest.approx(0.9)
    assert row.low < both.low < both.high < row.high
    assert equivalent(pairs, -both.low + 1e-9).holds is True
    assert equivalent(pairs, -both.low - 1e-9).holds is False
    assert "not shown" not in both.words
    assert "-0.010" in both.words
    assert "200 pairs" in both.words


def test_margins_that_are_none_and_pairs_without_a_score():
    pairs = paired(arm([None]), arm([1], "after"), "DR-1")
    for margin in (-0.1, math.nan, math.inf):
        with pytest.raises(InputError, match="at least 0"):
            non_inferior(pairs, margin)
    assert non_inferior(pairs, 0.1).holds is None
    assert equivalent(pairs, 0.1).holds is None


# joining


def test_rows_are_joined_by_key():
    before, after = arm([1, 0, 3]), arm([0, 2, 3], "after").iloc[::-1]
    found = paired(before, after, "DR-1")
    assert found.frame["before"].tolist() == [1, 0, 1]
    assert found.frame["after"].tolist() == [0, 1, 1]
    assert list(found.frame) == ["scenario", "seed", "category", "topic", "cluster", "before", "after"]
    assert (found.left_out, found.judge, found.top) == ((0, 0), "j", 1.0)


def test_what_does_not_match_is_counted():
    before, after = arm([1] * 5), arm([0] * 7, "after").iloc[2:]
    with pytest.raises(
        InputError, match=r"2 of 5 rows of the first arm and 2 of 5 of the second have no partner \(first: scenario jailbreak0"
    ):
        paired(before, after, "DR-1")
    with pytest.raises(InputError, match=r"common=True \(--common\) to compare the 3 that all have"):
        compare_arms(before, after, METRICS)
    found = paired(before, after, "DR-1", common=True)
    assert (len(found.frame), found.left_out) == (3, (2, 2))
    assert compare_arms(before, after, METRICS, common=True)["n"].tolist() == [3]
    with pytest.raises(InputError, match="5 of 5 rows of the first arm"):
        paired(before, arm([1], "after", seed=9), "DR-1", common=True)


def test_errors_name_what_is_wrong():
    one, other = arm([1, 0]), arm([0, 0], "after")
    with pytest.raises(InputError, match="scenario jailbreak0, seed 0 stands 2 times in the second"):
        paired(one, pd.concat([other, other.iloc[:1]]), "DR-1")
    with pytest.raises(InputError, match="the first arm holds 2 models or arms"):
        paired(pd.concat([one, other]), other, "DR-1")
    with pytest.raises(InputError, match="1 of 2 rows have another cluster in the second"):
        paired(one, other.assign(cluster=["k0", "k7"]), "DR-1")
    with pytest.raises(InputError, match="another category"):
        paired(one, other.assign(category="other"), "DR-1")
    with pytest.raises(InputError, match="no metric for category jailbreak"):
        compare_arms(one, other, {"other": "DR-1"})
    with pytest.raises(InputError, match="has no column"):
        paired(one, other.drop(columns="seed"), "DR-1")


def test_judges_must_agree_unless_asked_for():
    one, other = arm([1, 0]), arm([0, 0], "after", judge="k")
    with pytest.raises(InputError, match="2 judges .*across_judges"):
        compare_arms(one, other, METRICS)
    assert compare_arms(one, other, METRICS, across_judges=True)["judge"].tolist() == ["j / k"]
    with pytest.raises(InputError, match="2 judges"):
        paired(one.assign(judge=["j", "k"]), other, "DR-1", across_judges=True)


def attempts(won, name):
    count = len(won)
    return pd.DataFrame(
        {
            "id": [f"{name}{i}" for i in range(count)],
            "goal": [f"g{i // 2}" for i in range(count)],
            "category": "jailbreak",
            "strategy": ["a", "b"] * (count // 2),
            "persona": "",
            "way": "adaptive",
            "model": "m",
            "arm": name,
            "judge": "j",
            "budget": 3,
            "queries": 3,
            "success_query": np.where(won, 2.0, np.nan),
            "unscored_query": np.nan,
            "cause": None,
        }
    )


def test_attempts_are_compared_by_goal():
    before, after = attempts([True] * 8, "before"), attempts([False, False] * 3 + [True, False], "after")
    found = compare_arms(before, after, {"jailbreak": "ASR@2"}).iloc[0]
    assert (found["n"], found["n_clusters"], found["fixed"], found["value_after"]) == (8, 4, 7, 1 / 8)
    assert found["p"] == pytest.approx(2 / 2**4)
    assert compare_arms(before, after, {"jailbreak": "ASR@1"}).iloc[0]["value_before"] == 0
    assert paired(before, after, "ASR@2").frame["cluster"].tolist() == before["goal"].tolist()


# regression to the mean


def test_an_untrained_model_fixes_what_was_picked_for_failing():
    rng = np.random.default_rng(11)
    chance = rng.beta(1, 3, 3000)
    first, again = (arm((rng.random(3000) < chance).astype(float), seed=seed) for seed in (1, 2))
    found = regression_to_mean(first, again, "DR-1").set_index("group")
    assert found.loc["failed first", "first"] == 1
    assert found.loc["passed first", "first"] == 0
    assert found.loc["failed first", "again"] == pytest.approx(0.4, abs=0.04)  # E p^2 / E p of Beta(1, 3)
    assert found.loc["passed first", "again"] == pytest.approx(0.2, abs=0.03)
    assert found.loc["all", "again"] == pytest.approx(found.loc["all", "first"], abs=0.03)
    assert found["n"].tolist() == [found.loc["failed first", "n"], 3000 - found.loc["failed first", "n"], 3000]


def test_regression_by_hand_and_its_errors():
    first = arm([1, 1, 1, 0, None, 0], seed=1, clusters=[0, 0, 1, 1, 2, 2])
    again = arm([0, 1, None, 0, 1, 1], seed=2, clusters=[0, 0, 1, 1, 2, 2])
    found = regression_to_mean(first, again, "DR-1").set_index("group")
    assert found[["n", "n_unscored"]].to_numpy().tolist() == [[2, 1], [2, 0], [4, 2]]
    assert found["again"].tolist() == [0.5, 0.5, 0.5]
    low, high = rate_interval(np.array([0.0, 1]), ["k0", "k0"])[1:3]
    assert found.loc["failed first", ["again_low", "again_high"]].tolist() == [low, high]
    assert found["first_low"].isna().tolist() == [True, True, False]
    nothing = regression_to_mean(arm([0, 0], seed=1), arm([0, 1], seed=2), "DR-1").iloc[0]
    assert nothing["n"] == 0
    assert math.isnan(nothing["again"])
    with pytest.raises(InputError, match="is a mean"):
        regression_to_mean(first, again, "severity")
    with pytest.raises(InputError, match="6 rows stand in both tables"):
        regression_to_mean(first, first, "DR-1")
    with pytest.raises(InputError, match="2 models"):
        regression_to_mean(first, again.assign(model="n"), "DR-1")
