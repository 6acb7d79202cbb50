import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from rai_kit import metrics
from rai_kit.schema import Conversation, InputError, Message, Scenario, Verdict


def make(severities, clusters=None, metric_field="severity", model="m", category="jailbreak", topics=None, judge="j"):
    """Scenarios, conversations and verdicts with the given scores; None is unscored."""
    count = len(severities)
    clusters = clusters or [f"k{i}" for i in range(count)]
    scenarios = [
        Scenario(
            id=f"{category}{i}", suite="rai5", category=category, topic=(topics or ["t"] * count)[i], goal="g", persona="p",
            template=clusters[i], opening="o", rubric="jailbreak", turns=1, seed=i, cluster=clusters[i],
        )
        for i in range(count)
    ]  # fmt: skip
    talks = [
        Conversation(
            id=f"{model}-{one.id}", scenario=one.id, target=model, simulator="s", category=category,
            messages=(Message("user", "o"), Message("assistant", "a")),
        )
        for one in scenarios
    ]  # fmt: skip
    verdicts = [
        Verdict.unscored(talk.id, judge, "judge:unparsable")
        if score is None
        else Verdict(id=talk.id, judge=judge, scored=True, refusal=score == 0, **{metric_field: score})
        for talk, score in zip(talks, severities, strict=True)
    ]
    return scenarios, talks, verdicts


def table(*args, **settings):
    scenarios, talks, verdicts = make(*args, **settings)
    return metrics.verdict_table(talks, verdicts, scenarios)


LABELS = {"model": "m", "arm": "before", "category": "jailbreak", "topic": "all"}


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 300), (3, 10), (10, 10), (57, 200), (1, 2)])
def test_wilson_agrees_with_scipy(k, n):
    reference = binomtest(k, n).proportion_ci(method="wilson")
    assert metrics.wilson(k, n) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_zero_of_300_is_bounded_above():
    low, high = metrics.wilson(0, 300)
    assert low == 0
    assert high == pytest.approx(0.0126, abs=1e-4)


def test_a_defect_rate_by_hand():
    found = metrics.estimate(table([0, 1, 2, 3, 7, None, None]), "DR-3", **LABELS)
    assert (found.value, found.n, found.n_unscored) == (2 / 5, 5, 2)
    assert (found.bound_low, found.bound_high) == (2 / 7, 4 / 7)
    assert (found.low, found.high) == pytest.approx(metrics.wilson(2, 5))
    assert found.method == "Wilson"
    assert [metrics.estimate(table([0, 1, 2, 3, 7]), f"DR-{x}", **LABELS).value for x in (1, 2, 3, 4, 7)] == [
        0.8,
        0.6,
        0.4,
        0.2,
        0.2,
    ]


def test_nothing_scored_is_nan_and_not_zero():
    found = metrics.estimate(table([None, None]), "DR-1", **LABELS)
    assert found.n == 0
    assert found.n_unscored == 2
    assert all(math.isnan(value) for value in (found.value, found.low, found.high, found.bound_low, found.bound_high))


@pytest.mark.parametrize("scores", [[0] * 12, [7] * 12])
@pytest.mark.parametrize("clusters", [None, ["a", "b", "c"] * 4, ["a"] * 12])
def test_no_interval_has_zero_width(scores, clusters):
    found = metrics.estimate(table(scores, clusters), "DR-1", **LABELS)
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.2
    mean = metrics.estimate(table([score / 7 * 4 for score in scores], clusters, "ungroundedness"), "ungroundedness", **LABELS)
    assert mean.low <= mean.value <= mean.high
    assert mean.high - mean.low > 0.5


def test_sharing_a_template_widens_the_interval():
    scores = [0, 0, 0, 0, 5, 5, 5, 5] * 4
    alone = metrics.estimate(table(scores), "DR-1", **LABELS)
    shared = metrics.estimate(table(scores, [f"k{i // 4}" for i in range(32)]), "DR-1", **LABELS)
    assert shared.value == alone.value
    assert shared.high - shared.low > 1.5 * (alone.high - alone.low)
    assert "8 clusters" in shared.method


@pytest.mark.parametrize("metric", ["DR-1", "ungroundedness"])
def test_order_and_names_of_clusters_do_not_matter(metric):
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 5, 40).astype(float)
    clusters = rng.integers(0, 9, 40)
    field = "ungroundedness" if metric == "ungroundedness" else "severity"
    first = metrics.estimate(table(list(scores), [f"k{i}" for i in clusters], field), metric, **LABELS)
    order = rng.permutation(40)
    again = metrics.estimate(table(list(scores[order]), [f"k{i}" for i in clusters[order]], field), metric, **LABELS)
    assert (again.value, again.low, again.high) == pytest.approx((first.value, first.low, first.high), abs=1e-12)


def test_duplicating_every_case_within_its_cluster_narrows_nothing():
    values, clusters = np.array([0.0, 1, 1, 0, 0, 0, 1, 0, 0, 0]), np.arange(10)
    twice = metrics.rate_interval(np.repeat(values, 2), np.repeat(clusters, 2))
    once = metrics.rate_interval(values, clusters)
    assert twice[2] - twice[1] > 0.95 * (once[2] - once[1])


def simulate(rng, clusters, size, share, correlation):
    """Clustered coin tosses with a beta-binomial correlation within clusters."""
    sizes = rng.integers(1, 2 * size, clusters)
    within = (
        np.full(clusters, share)
        if correlation == 0
        else rng.beta(share * (1 / correlation - 1), (1 - share) * (1 / correlation - 1), clusters)
    )
    return np.repeat(np.arange(clusters), sizes), np.concatenate([rng.random(n) < p for n, p in zip(sizes, within, strict=True)])


@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize(("clusters", "size", "share"), [(8, 4, 0.3), (20, 2, 0.1), (40, 5, 0.5)])
def test_rate_intervals_cover(clusters, size, share, correlation):
    rng, trials = np.random.default_rng(7), 400
    hits = 0
    for _ in range(trials):
        labels, values = simulate(rng, clusters, size, share, correlation)
        _, low, high, _ = metrics.rate_interval(values.astype(float), labels)
        hits += low <= share <= high
    # Three binomial standard errors below the nominal 95 %: .917.
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("shares", [[0.6, 0.25, 0.1, 0.03, 0.02], [0.05, 0.1, 0.2, 0.3, 0.35], [0.97, 0.01, 0.01, 0.005, 0.005]])
def test_mean_intervals_cover(shares):
    rng, trials, truth = np.random.default_rng(8), 300, float(np.dot(shares, range(5)))
    hits = 0
    for trial in range(trials):
        sizes = rng.integers(1, 5, 16)
        values = rng.choice(5, p=shares, size=sizes.sum()).astype(float)
        _, low, high, _ = metrics.mean_interval(values, np.repeat(np.arange(16), sizes), 4, seed=trial)
        hits += low <= truth <= high
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_the_bootstrap_is_seeded():
    rows = table([0, 1, 2, 3, 4, 1, 2, 0, 1, 3], None, "ungroundedness")
    first, again = (metrics.estimate(rows, "ungroundedness", seed=3, **LABELS) for _ in range(2))
    assert first == again


def test_estimates_by_category_and_topic():
    rows = table([0, 7, 7, 0], topics=["a", "a", "b", "b"])
    found = metrics.estimates(rows, {"jailbreak": "DR-1"})
    assert [(one.topic, one.metric, one.value) for one in found] == [
        ("all", "DR-1", 0.5), ("all", "refusal", 0.5), ("a", "DR-1", 0.5), ("a", "refusal", 0.5), ("b", "DR-1", 0.5), ("b", "refusal", 0.5),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no metric for category jailbreak"):
        metrics.estimates(rows, {"grounding": "ungroundedness"})


def test_verdicts_are_joined_by_id_never_by_position():
    scenarios, talks, verdicts = make([0, 7, 3])
    shuffled = metrics.verdict_table(talks, verdicts[::-1], scenarios[::-1])
    assert list(shuffled["severity"]) == [0, 7, 3]
    with pytest.raises(InputError, match="do not match by id"):
        metrics.verdict_table(talks, verdicts[:-1], scenarios)
    with pytest.raises(InputError, match="do not match by id"):
        metrics.verdict_table(talks + talks[:1], verdicts + verdicts[:1], scenarios)
    with pytest.raises(InputError, match="unknown scenario jailbreak2"):
        metrics.verdict_table(talks, verdicts, scenarios[:-1])


def test_rates_of_different_judges_do_not_mix():
    first, second = make([0, 1]), make([2], category="other", judge="k")
    rows = metrics.verdict_table(first[1] + second[1], first[2] + second[2], first[0] + second[0])
    with pytest.raises(InputError, match="verdicts of 2 judges"):
        metrics.estimate(rows, "DR-1", **LABELS)


@pytest.mark.parametrize("metric", ["DR-0", "DR-8", "dr-3", "DR", "DR-10"])
def test_an_unknown_metric_is_named(metric):
    with pytest.raises(InputError, match=f"'{metric}' is no metric"):
        metrics.estimate(table([0]), metric, **LABELS)


def test_the_funnel_adds_up():
    row = metrics.funnel(table([0, None, 7, None])).iloc[0]
    assert (row["planned"], row["reached"], row["scored"], row["unscored"]) == (4, 4, 2, 2)
    assert row["causes"] == "judge:unparsable: 2"


def test_a_frame_to_read():
    import pandas as pd

    frame = pd.DataFrame(
        [{"a": 0.5, "a_low": 0.25, "a_high": 0.75, "n": 3}, {"a": math.nan, "a_low": math.nan, "a_high": math.nan, "n": 0}]
    )
    read = metrics.intervals_as_text(frame, ["a", "n", "absent"])
    assert read.to_dict("list") == {"a": ["0.500 [0.250, 0.750]", "-"], "n": ["3", "0"], "absent": ["-", "-"]}


def test_equal_means_in_every_cluster_still_have_an_interval():
    value, low, high, method = metrics.mean_interval(np.full(20, 2.0), np.arange(20), 4)
    assert value == 2
    assert low < 1.5 < 2.5 < high
    assert method == "Wilson on the scale, 20 clusters"


def test_intervals_as_text_to_as_many_digits_as_wanted():
    frame = pd.DataFrame([{"name": "a", "kappa": 0.7583, "kappa_low": 0.666, "kappa_high": 0.8451}])
    assert metrics.intervals_as_text(frame, ["kappa"])["kappa"][0] == "0.758 [0.666, 0.845]"
    assert metrics.intervals_as_text(frame, ["kappa"], digits=2)["kappa"][0] == "0.76 [0.67, 0.85]"
