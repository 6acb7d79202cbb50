import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from rai_kit.metrics.intervals import Z, mean_interval, rate_interval, wilson
from rai_kit.metrics.rates import estimate, estimates
from rai_kit.metrics.severities import critical_value, severity_curve
from rai_kit.metrics.standard import standard_interval, standardised
from rai_kit.schema import InputError

LABELS = {"model": "m", "arm": "before", "category": "c", "topic": "all"}


def frame(severity, **columns):
    """A verdict table of one category: severities (NaN: unscored), and whatever else is given."""
    severity = np.asarray(severity, dtype=float)
    scored = ~np.isnan(severity)
    plain = {
        "model": "m", "arm": "before", "category": "c", "topic": "t", "judge": "j", "cluster": [f"k{i}" for i in range(len(severity))],
        "scored": scored, "severity": severity, "ungroundedness": np.nan,
        "refusal": [bool(one == 0) if known else None for one, known in zip(severity, scored, strict=True)],
    }  # fmt: skip
    return pd.DataFrame(plain | columns)


def attempts(successes, clusters=None):
    """An attempt table: 1 a success at the first query, 0 none in two queries, NaN an error of the target."""
    successes = np.asarray(successes, dtype=float)
    return pd.DataFrame(
        {
            "goal": clusters if clusters is not None else [f"g{i}" for i in range(len(successes))],
            "strategy": "s", "judge": "j", "budget": 2,
            "queries": np.where(successes == 0, 2, 1), "success_query": np.where(successes == 1, 1.0, np.nan),
            "unscored_query": np.nan, "cause": [("target:timeout" if math.isnan(one) else None) for one in successes],
        }
    )  # fmt: skip


def enough(hits, trials, nominal=0.95):
    """Coverage no lower than three binomial standard errors below the nominal."""
    return hits / trials >= nominal - 3 * math.sqrt(nominal * (1 - nominal) / trials)


def test_many_estimates_are_the_single_ones():
    rng = np.random.default_rng(0)
    n = 600
    rows = frame(
        np.where(rng.random(n) < 0.1, np.nan, rng.integers(0, 8, n)),
        model=rng.choice(["b", "a"], n), category=rng.choice(["y", "x"], n), topic=rng.choice(["t2", "t1"], n),
        cluster=[f"k{i}" for i in rng.integers(0, 40, n)],
    )  # fmt: skip
    chosen = {"x": "DR-3", "y": "severity", "unused": "DR-1"}
    expected = []
    for (model, arm, category), part in rows.groupby(["model", "arm", "category"], sort=False):
        for topic, some in [("all", part), *part.groupby("topic")]:
            labels = {"model": model, "arm": arm, "category": category, "topic": topic}
            expected += [estimate(some, metric, seed=3, **labels) for metric in (chosen[category], "refusal")]
    assert estimates(rows, chosen, seed=3) == expected
    order = rng.permutation(n)
    again = {(one.model, one.category, one.topic, one.metric): one for one in estimates(rows.iloc[order], chosen, seed=3)}
    for one in expected:
        other = again[one.model, one.category, one.topic, one.metric]
        assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high), abs=1e-12)


def test_judges_are_checked_group_by_group():
    rows = frame([0, 7, 3, 1], category=["a", "a", "b", "b"], judge=["j", "j", "k", "k"])
    assert {one.category: one.judge for one in estimates(rows, {"a": "DR-1", "b": "DR-1"})} == {"a": "j", "b": "k"}
    with pytest.raises(InputError, match="2 judges"):
        estimates(rows.assign(judge=["j", "k", "k", "k"]), {"a": "DR-1", "b": "DR-1"})
    assert estimates(rows.iloc[:0], {}) == []


OF_SHARES, OF_MEANS = ("wilson", "jeffreys", "bootstrap"), ("clustered", "bootstrap")
EVERY = [("DR-3", OF_SHARES), ("refusal", OF_SHARES), ("ASR@2", OF_SHARES), ("severity", OF_MEANS), ("ungroundedness", OF_MEANS)]


@pytest.mark.parametrize(("metric", "interval"), [(metric, one) for metric, kinds in EVERY for one in kinds])
@pytest.mark.parametrize("end", [0.0, 0.3, 1.0])
def test_one_grammar_for_every_metric_and_interval(metric, interval, end):
    n, clusters = 40, [f"k{i // 2}" for i in range(40)]
    high = (np.arange(n) % 10 < 10 * end).astype(float)
    high[[3, 17]] = np.nan
    if metric == "ASR@2":
        rows = attempts(high, clusters)
    elif metric == "ungroundedness":
        rows = frame(high * np.nan, cluster=clusters, scored=~np.isnan(high), ungroundedness=high * 4)
    else:
        rows = frame((1 - high if metric == "refusal" else high) * 7, cluster=clusters)
    found = estimate(rows, metric, interval=interval, seed=1, **LABELS)
    top = {"severity": 7, "ungroundedness": 4}.get(metric, 1)
    scored = high[~np.isnan(high)]
    assert found.value == pytest.approx(scored.mean() * top)
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.05 * top
    assert (found.n, found.n_unscored) == (38, 2)
    assert (found.bound_low, found.bound_high) == pytest.approx((scored.sum() * top / 40, (scored.sum() + 2) * top / 40))
    other = "clustered" if top == 1 else "wilson"
    with pytest.raises(InputError, match=f"'{other}' is none of a"):
        estimate(rows, metric, interval=other, **LABELS)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 20), (1, 400), (200, 400)])
@pytest.mark.parametrize("interval", ["wilson", "jeffreys"])
def test_shares_agree_with_statsmodels(k, n, interval):
    low, high = proportion_confint(k, n, method={"wilson": "wilson", "jeffreys": "jeffreys"}[interval])
    if interval == "jeffreys":  # at 0 and 100 % the end is closed (Brown, Cai and DasGupta 2001, section 3.1.2)
        low, high = (0.0 if k == 0 else low), (1.0 if k == n else high)
    assert rate_interval(np.arange(n) < k, np.arange(n), interval)[1:3] == pytest.approx((low, high), abs=1e-10)


def test_the_clustered_error_is_that_of_a_regression_on_a_constant():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(15), 6)
    values = rng.integers(0, 5, 90).astype(float)
    fit = sm.OLS(values, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    # statsmodels' small-sample factor is G / (G - 1) * (n - 1) / (n - 1), the same for one parameter.
    found = mean_interval(values, clusters, 4, "clustered")
    assert found[:3] == pytest.approx((fit.params[0], *fit.conf_int()[0]), rel=1e-9)


def clustered(rng, clusters, share, correlation, most=6):
    sizes = rng.integers(1, most, clusters)
    odds = rng.beta(share * (1 / correlation - 1), (1 - share) * (1 / correlation - 1), clusters)
    labels = np.repeat(np.arange(clusters), sizes)
    return labels, (rng.random(len(labels)) < odds[labels]).astype(float)


@pytest.mark.parametrize("kind", ["wilson", "jeffreys", "bootstrap"])
def test_intervals_of_clustered_shares_cover(kind):
    rng, trials = np.random.default_rng(3), 120
    hits = 0
    for trial in range(trials):
        labels, values = clustered(rng, 50, 0.3, 0.3)
        _, low, high, _ = rate_interval(values, labels, kind, seed=trial)
        hits += low <= 0.3 <= high
    assert enough(hits, trials)


@pytest.mark.parametrize("kind", ["clustered", "bootstrap"])
def test_intervals_of_clustered_means_cover(kind):
    rng, trials = np.random.default_rng(4), 120
    hits = 0
    for trial in range(trials):
        labels = np.repeat(np.arange(40), rng.integers(1, 6, 40))
        values = np.clip(rng.binomial(4, 0.4, 40)[labels] + rng.integers(-1, 2, len(labels)), -1, 5).astype(float)
        low, high = mean_interval(values + 1, labels, 6, kind, seed=trial)[1:3]
        hits += low <= 2.6 <= high
    assert enough(hits, trials)


def test_a_severity_curve_holds_every_defect_rate():
    rows = frame([0, 1, 2, 3, 7, np.nan, 3], cluster=list("aabbccd"))
    curve = severity_curve(rows)
    assert list(curve["threshold"]) == [1, 2, 3, 4, 5, 6, 7]
    for one in curve.itertuples():
        single = estimate(rows, f"DR-{one.threshold}", **LABELS)
        assert (one.value, one.low, one.high, one.n, one.n_unscored) == (single.value, single.low, single.high, 6, 1)
    assert (curve["low_simultaneous"] <= curve["value"]).all()
    assert (curve["high_simultaneous"] >= curve["value"]).all()
    assert (curve["high_simultaneous"] > curve["low_simultaneous"]).all()
    for end in ("low_simultaneous", "high_simultaneous"):
        assert (np.diff(curve[end]) <= 0).all()
    pd.testing.assert_frame_equal(curve, severity_curve(rows.sample(frac=1, random_state=0)))


@pytest.mark.parametrize("clusters", [np.arange(60), np.arange(60) // 4])
@pytest.mark.parametrize("severities", [np.arange(60) % 3 // 2 * 7, np.zeros(60), np.full(60, 7)])
def test_identical_indicators_need_no_wider_band(clusters, severities):
    curve = severity_curve(frame(severities, cluster=clusters))
    np.testing.assert_allclose(curve["low_simultaneous"], curve["low"], atol=1e-12)
    np.testing.assert_allclose(curve["high_simultaneous"], curve["high"], atol=1e-12)


def test_critical_values_lie_between_pointwise_and_independent():
    rng = np.random.default_rng(5)
    independent = (rng.random((20_000, 7)) < 0.5).astype(float)
    closed = norm.ppf((1 + 0.95 ** (1 / 7)) / 2)  # Sidak: exact for independent normal variables
    assert critical_value(independent, np.arange(20_000)) == pytest.approx(closed, abs=0.01)
    nested = (rng.integers(0, 8, 500)[:, None] >= np.arange(1, 8)).astype(float)
    assert Z < critical_value(nested, np.arange(500)) < closed
    # Few clusters: a t quantile over few degrees of freedom grows more than the pointwise one does.
    assert critical_value(nested, np.arange(500) // 50) > critical_value(nested, np.arange(500)) + 0.03


@pytest.mark.parametrize("shape", ["alone", "clusters"])
@pytest.mark.parametrize(
    "shares", [[0.6, 0.15, 0.1, 0.06, 0.04, 0.02, 0.02, 0.01], [0.95, 0.02, 0.01, 0.01, 0.005, 0.003, 0.001, 0.001]]
)
def test_the_band_covers_the_whole_curve(shape, shares):
    rng, trials, size = np.random.default_rng(6), 150, 100
    rows = []
    for trial in range(trials):
        if shape == "alone":
            severities, clusters = rng.choice(8, size, p=shares), np.arange(size)
        else:  # a fifth of the clusters' cases take the cluster's own draw
            clusters = np.arange(size) // 4
            common = rng.choice(8, size // 4, p=shares)[clusters]
            severities = np.where(rng.random(size) < 0.4, common, rng.choice(8, size, p=shares))
        rows.append(frame(severities, cluster=clusters, model=f"m{trial}"))
    curve = severity_curve(pd.concat(rows))
    truth = np.cumsum(shares[::-1])[::-1][curve["threshold"].to_numpy()]
    held = (curve["low_simultaneous"] <= truth) & (truth <= curve["high_simultaneous"])
    assert enough(held.groupby(curve["model"]).all().sum(), trials)
    pointwise = ((curve["low"] <= truth) & (truth <= curve["high"])).groupby(curve["model"]).all().sum()
    assert pointwise < held.groupby(curve["model"]).all().sum() - 0.05 * trials


def test_curves_without_scores_or_of_another_scale():
    rows = pd.concat([frame([np.nan] * 3), frame([np.nan] * 2, category="g", scored=True, ungroundedness=2.0)])
    curve = severity_curve(rows)
    assert set(curve["category"]) == {"c"}
    assert curve[["value", "low", "high", "low_simultaneous", "high_simultaneous"]].isna().all(axis=None)
    assert set(zip(curve["n"], curve["n_unscored"], curve["method"], strict=True)) == {(0, 3, "nothing scored")}
    assert len(severity_curve(rows.iloc[:0])) == 0
    with pytest.raises(InputError, match="no column 'modle'"):
        severity_curve(rows, ["modle"])


def primary(found, model="m"):
    return next(one for one in found if one.metric != "refusal" and one.model == model)


def test_standardised_is_the_plain_rate_where_the_mix_is_the_same():
    rng = np.random.default_rng(7)
    rows = pd.concat(
        [frame(rng.integers(0, 8, 60), topic=[*"aab"] * 20, model=model, cluster=np.arange(60) // 3) for model in ("x", "y")]
    )
    for one, plain in zip(
        standardised(rows, {"c": "DR-3"}), [one for one in estimates(rows, {"c": "DR-3"}) if one.topic == "all"], strict=True
    ):
        assert (one.model, one.metric, one.topic, one.n) == (plain.model, plain.metric, "standardised", plain.n)
        assert (one.value, one.bound_low, one.bound_high) == pytest.approx((plain.value, plain.bound_low, plain.bound_high))
        assert one.low < one.value < one.high
    alone = primary(standardised(rows.assign(topic="one"), {"c": "DR-3"}), "x")
    plain = estimate(rows[rows["model"] == "x"], "DR-3", **LABELS)
    assert (alone.low, alone.high, alone.method) == (plain.low, plain.high, plain.method)


def test_a_filtered_hard_topic_no_longer_flatters():
    full = [0] * 90 + [7] * 10 + [0] * 20 + [7] * 80
    filtered = full.copy()
    filtered[100:150] = [np.nan] * 50
    filtered[100:110], filtered[150:200] = [0] * 10, [np.nan] * 10 + [7] * 40  # of 50 hard ones still scored 40 are defects
    topics = ["easy"] * 100 + ["hard"] * 100
    rows = pd.concat([frame(full, topic=topics, model="full"), frame(filtered, topic=topics, model="filtered")])
    found = standardised(rows, {"c": "DR-1"})
    assert primary(found, "full").value == pytest.approx(0.45)
    assert primary(found, "filtered").value == pytest.approx(0.45)
    raw = estimate(rows[rows["model"] == "filtered"], "DR-1", **LABELS)
    assert raw.value == pytest.approx(1 / 3)
    one = primary(found, "filtered")
    assert (one.n, one.n_unscored) == (150, 50)
    assert (one.bound_low, one.bound_high) == pytest.approx((0.05 + 0.2, 0.05 + 0.45))
    assert "not scored" not in one.method


def test_a_topic_that_one_arm_lacks_is_left_out_and_named():
    rows = pd.concat(
        [
            frame([0, 7, 7, 7], topic=list("aabb"), model="x"),
            frame([0, 0, np.nan, np.nan], topic=list("aabb"), model="y"),
            frame([np.nan] * 4, topic=list("aabb"), model="z"),
        ]
    )
    found = {one.model: one for one in standardised(rows, {"c": "DR-1"}) if one.metric == "DR-1"}
    assert (found["x"].value, found["y"].value, found["x"].n) == (0.5, 0.0, 2)
    assert "without b (not scored everywhere)" in found["x"].method
    assert math.isnan(found["z"].value)
    assert found["z"].n == 0
    assert found["z"].method.startswith("nothing scored")
    with pytest.raises(InputError, match="no column 'topics'"):
        standardised(rows, {"c": "DR-1"}, by="topics")
    with pytest.raises(InputError, match="12 rows have no 'cause'"):
        standardised(rows.assign(cause=None), {"c": "DR-1"}, by="cause")


def test_the_standardised_interval_has_the_stratified_error():
    topics = np.repeat([0, 1], [40, 160])
    values = np.concatenate([np.arange(40) % 4 == 0, np.arange(160) % 2 == 0]).astype(float)
    mix = np.array([0.5, 0.5])
    value, low, high, _ = standard_interval(values, np.arange(200), topics, mix, None)
    error = 0.25 * 0.25 * 0.75 / 39 + 0.25 * 0.5 * 0.5 / 159  # Cochran 1977, equation 5.15, without the finite correction
    size = min(value * (1 - value) / error, 1 / (0.25 / 40 + 0.25 / 160))
    assert value == pytest.approx(0.375)
    assert (low, high) == pytest.approx(wilson(value * size, size))
    _, low, high, words = standard_interval(values * 4, np.arange(200), topics, mix, 4.0)
    assert "clustered standard error" in words
    assert (high - low) / 2 == pytest.approx(4 * error**0.5 * 1.972, rel=1e-3)


@pytest.mark.parametrize("top", [None, 4.0])
@pytest.mark.parametrize("end", [0.0, 1.0])
@pytest.mark.parametrize("clusters", [np.arange(24), np.arange(24) % 6, np.zeros(24, dtype=int)])
def test_standardised_intervals_never_have_zero_width(top, end, clusters):
    value, low, high, _ = standard_interval(
        np.full(24, end * (top or 1)), clusters, np.arange(24) // 8, np.array([0.2, 0.3, 0.5]), top
    )
    assert value == end * (top or 1)
    assert low <= value <= high
    assert high - low > 0.1 * (top or 1)


@pytest.mark.parametrize("crossed", [True, False])
def test_standardised_intervals_cover(crossed):
    rng, trials, mix, rates = np.random.default_rng(8), 500, np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.3, 0.5])
    hits, truth = 0, float(mix @ rates)
    for _ in range(trials):
        clusters = np.repeat(np.arange(60), rng.integers(1, 6, 60))
        topics = rng.choice(3, len(clusters) if crossed else 60, p=[0.5, 0.3, 0.2])
        topics = topics if crossed else topics[clusters]
        same = rng.random(len(clusters)) < 0.5
        draws = np.where(same, rng.random(60)[clusters], rng.random(len(clusters)))
        _, low, high, _ = standard_interval((draws < rates[topics]).astype(float), clusters, topics, mix, None)
        hits += low <= truth <= high
    assert enough(hits, trials)
