"""Corrections: worked values, coverage by seeded simulation, and when there is none."""

import math

import numpy as np
import pytest

from rai_kit.metrics import agreement, correction
from rai_kit.schema import InputError

CARD = np.array([[171, 11], [19, 99]])  # said x truth: specificity .9, sensitivity .9


def table(*rows):
    """Columns from rows of values and how often they occur."""
    return [np.repeat(column, [row[-1] for row in rows]).astype(float) for column in list(zip(*rows, strict=True))[:-1]]


def drawn_card(rng, sensitivity, specificity, positives, negatives):
    hits, passed = rng.binomial(positives, sensitivity), rng.binomial(negatives, specificity)
    return np.array([[passed, positives - hits], [negatives - passed, hits]])


def judge(rng, truth, sensitivity, specificity):
    return np.where(truth, rng.random(truth.shape) < sensitivity, rng.random(truth.shape) > specificity).astype(float)


def test_a_small_rate_is_reported_many_times_too_large():
    # Error rates on JailbreakBench's 300 human labels: a GPT-4 judge, the HarmBench classifier.
    assert correction.reported_rate(0.007, 1 - 0.091, 1 - 0.100) == pytest.approx(0.106, abs=5e-4)
    assert correction.reported_rate(0.007, 1 - 0.127, 1 - 0.268) == pytest.approx(0.272, abs=5e-4)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.9])
def test_rogan_gladen_undoes_the_reporting(rate):
    card = np.array([[9000, 1000], [1000, 9000]])
    said = round(10000 * correction.reported_rate(rate, 0.9, 0.9))
    found = correction.rogan_gladen([1] * said + [0] * (10000 - said), card)
    assert found.value == pytest.approx(rate, abs=1e-9)
    assert found.low < rate < found.high
    assert found.refused is None
    assert "20000 labels" in found.method


def test_with_a_judge_known_to_be_perfect_the_interval_is_agresti_and_coulls():
    found = correction.rogan_gladen([1] * 12 + [0] * 88, [[1e9, 0], [0, 1e9]])
    centre, half = (12 + 1.959964**2 / 2) / (100 + 1.959964**2), 1.959964 / math.sqrt(100 + 1.959964**2)
    half *= math.sqrt(centre * (1 - centre))
    assert (found.value, found.low, found.high) == pytest.approx((0.12, centre - half, centre + half), abs=1e-6)


def test_fewer_labels_widen_the_interval_and_so_do_clusters():
    rng = np.random.default_rng(0)
    said = np.repeat((rng.random(60) < 0.3).astype(float), 5)
    width = {}
    for name, card, clusters in (
        ("many", CARD * 10, None), ("few", CARD / 5, None), ("clustered", CARD * 10, np.repeat(np.arange(60), 5)),
    ):  # fmt: skip
        found = correction.rogan_gladen(said, card, clusters)
        width[name] = found.high - found.low
    assert width["few"] > 1.3 * width["many"]
    assert width["clustered"] > 1.8 * width["many"]


@pytest.mark.parametrize("size", [20, 2000])
def test_no_corrected_interval_has_zero_width(size):
    for said in (0.0, 1.0, 0.09, 0.1, 0.91):
        found = correction.rogan_gladen(np.arange(size) < said * size, CARD * 1.0)
        if found.refused is None:
            assert 0 <= found.low <= found.value <= found.high <= 1
            assert found.high - found.low > 1e-3
    zero = np.zeros(200)
    for labels in (20, 100):
        found = correction.ppi(zero, zero[:labels], zero[:labels])
        assert (found.value, found.low) == (0, 0)
        assert found.high > 2 / labels
        pairs = correction.ppi_difference(zero, zero[:labels], zero[:labels])
        assert pairs.low < -1.5 / labels < 1.5 / labels < pairs.high
    same = correction.rogan_gladen_difference(np.arange(100) < 30, np.arange(100) < 30, CARD)
    assert same.low < -0.01 < same.value == 0 < 0.01 < same.high


@pytest.mark.parametrize(("positives", "negatives"), [(15, 25), (110, 190)])
@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.9), (0.75, 0.95)])
def test_rogan_gladen_covers(positives, negatives, sensitivity, specificity):
    rng, trials = np.random.default_rng(1), 150
    for rate in (0.0, 0.05, 0.3):
        hits = done = 0
        for _ in range(trials):
            card = drawn_card(rng, sensitivity, specificity, positives, negatives)
            found = correction.rogan_gladen(judge(rng, rng.random(150) < rate, sensitivity, specificity), card)
            done += found.refused is None
            hits += found.low <= rate <= found.high
        assert done > 0.9 * trials
        assert hits / done >= 0.92


def test_rogan_gladen_covers_with_clusters():
    rng, trials, rate = np.random.default_rng(2), 200, 0.3
    hits = 0
    for _ in range(trials):
        goals = np.repeat(np.arange(40), 5)
        truth = (rng.random(40) < rate)[goals]  # the answers to a goal are alike
        found = correction.rogan_gladen(judge(rng, truth, 0.9, 0.9), drawn_card(rng, 0.9, 0.9, 110, 190), goals)
        hits += found.low <= rate <= found.high
    assert hits / trials >= 0.92


@pytest.mark.parametrize("cards", [1, 2])
@pytest.mark.parametrize(("before", "after"), [(0.05, 0.01), (0.42, 0.105)])
def test_differences_by_card_cover(cards, before, after):
    rng, trials = np.random.default_rng(3), 200
    hits = done = 0
    for _ in range(trials):
        goals, luck = np.repeat(np.arange(50), 3), rng.random(50)
        first, second = luck[goals] < before, np.where(rng.random(150) < 0.5, luck[goals], rng.random(150)) < after
        found = correction.rogan_gladen_difference(
            judge(rng, first, 0.9, 0.9), judge(rng, second, 0.9, 0.9), drawn_card(rng, 0.9, 0.9, 60, 90),
            drawn_card(rng, 0.9, 0.9, 60, 90) if cards == 2 else None, goals,
        )  # fmt: skip
        done += found.refused is None
        hits += found.low <= after - before <= found.high
    assert done > 0.9 * trials
    assert hits / done >= 0.92


def test_one_card_for_both_arms_errs_less_than_a_card_each():
    before, after = np.arange(400) % 10 < 4, np.arange(400) % 20 < 7
    one = correction.rogan_gladen_difference(before, after, CARD)
    each = correction.rogan_gladen_difference(before, after, CARD, CARD)
    assert one.value == pytest.approx(each.value) == pytest.approx((after.mean() - before.mean()) / 0.8)
    assert one.high - one.low < 0.9 * (each.high - each.low)


def test_ppi_is_that_of_the_reference_library():
    # ppi-python 0.2.3: ppi_mean_pointestimate and ppi_mean_ci; its tuning of lambda differs by terms of order 1 / n.
    said, truth = table((0, 0, 70), (0, 1, 5), (1, 0, 9), (1, 1, 36))
    found = correction.ppi(np.concatenate([said, np.zeros(310), np.ones(170)]), said, truth)
    assert found.value == pytest.approx(0.32922896, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((0.26632007, 0.39213785), abs=5e-3)
    said, truth = table((-1, -1, 20), (-1, 0, 6), (0, -1, 4), (0, 0, 80), (0, 1, 2), (1, 0, 3), (1, 1, 5))
    rest = np.concatenate([-np.ones(90), np.zeros(350), np.ones(40)])
    found = correction.ppi_difference(np.concatenate([said, rest]), said, truth)
    assert found.value == pytest.approx(-0.11537653, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((-0.1800962, -0.05065686), abs=5e-3)


def test_ppi_with_everything_labelled_is_the_labels_own_rate():
    said, truth = table((0, 0, 70), (0, 1, 10), (1, 0, 20), (1, 1, 30))
    assert correction.ppi(said, said, truth).value == pytest.approx(40 / 130)


def test_ppi_by_hand_with_weights():
    # All 40 positives are labelled, and every fifth of 160 negatives: strata weigh what they are.
    everything = np.repeat([1.0, 0.0], [40, 160])
    said, truth = table((1, 1, 30), (1, 0, 10), (0, 1, 2), (0, 0, 30))
    found = correction.ppi(everything, said, truth, weights=np.where(said == 1, 1, 5))
    assert found.value == pytest.approx((30 + 160 * 2 / 32) / 200)
    assert correction.ppi(everything, said, truth).value != pytest.approx(found.value, abs=0.02)


def test_a_good_judge_narrows_and_a_useless_one_costs_little():
    rng = np.random.default_rng(4)
    truth = rng.random(2000) < 0.3
    alone = 2 * 1.97 * math.sqrt(0.3 * 0.7 / 200)
    width = {}
    for name, said in (("good", judge(rng, truth, 0.97, 0.97)), ("useless", (rng.random(2000) < 0.5) * 1.0)):
        found = correction.ppi(said, said[:200], truth[:200])
        width[name] = found.high - found.low
    assert width["good"] < 0.6 * alone
    assert width["useless"] < 1.1 * alone


@pytest.mark.parametrize("labels", [40, 120])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.4])
def test_ppi_covers(labels, rate):
    rng, trials = np.random.default_rng(5), 150
    hits = {"rate": 0, "two phases": 0, "clusters": 0, "difference": 0}
    for _ in range(trials):
        truth = rng.random(400) < rate
        said = judge(rng, truth, 0.9, 0.9)
        pick = rng.permutation(400)[:labels]
        found = correction.ppi(said, said[pick], truth[pick])
        hits["rate"] += found.low <= rate <= found.high
        positive, negative = (rng.permutation(np.flatnonzero(said == one)) for one in (1, 0))
        positive, negative = positive[: labels // 2], negative[: labels - min(len(positive), labels // 2)]
        weights = np.repeat(
            [(said == 1).sum() / max(len(positive), 1), (said == 0).sum() / len(negative)], [len(positive), len(negative)]
        )
        pick = np.concatenate([positive, negative])
        found = correction.ppi(said, said[pick], truth[pick], weights=weights)
        hits["two phases"] += found.low <= rate <= found.high
        goals = rng.integers(0, 80, 400)
        truth = np.where(rng.random(400) < 0.7, rng.random(80)[goals], rng.random(400)) < rate
        said, pick = judge(rng, truth, 0.9, 0.9), rng.permutation(400)[:labels]
        found = correction.ppi(said, said[pick], truth[pick], clusters_all=goals, clusters_labelled=goals[pick])
        hits["clusters"] += found.low <= rate <= found.high
        later = truth & (rng.random(400) < 0.5)
        change, known = judge(rng, later, 0.9, 0.9) - said, later * 1.0 - truth
        found = correction.ppi_difference(change, change[pick], known[pick], clusters_all=goals, clusters_labelled=goals[pick])
        hits["difference"] += found.low <= -rate / 2 <= found.high
    assert min(hits.values()) / trials >= 0.92, hits


def graded_card(rng, labels=40, good=0.8):
    """A judge that gives people's level with a chance of `good`, else a level near it; drawn card and true shares."""
    shares = np.eye(8) * good
    for level in range(8):
        near = [one for one in (level - 1, level + 1, level + 2) if 0 <= one < 8]
        shares[near, level] += (1 - good) / len(near)
    return np.stack([rng.multinomial(labels, shares[:, level]) for level in range(8)], axis=1), shares


@pytest.mark.parametrize("levels", [[0.9, 0.03, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005], [0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])
def test_corrected_defect_rates_of_a_scale_cover(levels):
    rng, trials = np.random.default_rng(6), 20
    truth = np.array(levels)[::-1].cumsum()[::-1][1:]
    hits, error, raw = np.zeros(7), np.zeros(7), np.zeros(7)
    for _ in range(trials):
        card, shares = graded_card(rng)
        frame = correction.ordinal_correction(rng.choice(8, 300, p=shares @ levels), card).iloc[1:]
        hits += (frame["rate_low"] <= truth).to_numpy() & (truth <= frame["rate_high"]).to_numpy()
        error, raw = error + (frame["rate"] - truth).to_numpy() / trials, raw + (frame["raw_rate"] - truth).to_numpy() / trials
    assert hits.sum() / (7 * trials) >= 0.92
    assert np.abs(error).max() < 0.6 * np.abs(raw).max(), (error, raw)


def test_a_faithful_card_changes_nothing_and_levels_that_people_never_gave_have_no_share():
    judged = np.repeat(np.arange(8), [60, 0, 20, 0, 10, 6, 0, 4])
    frame = correction.ordinal_correction([*judged, math.nan], np.diag([200, 0, 200, 0, 200, 200, 0, 200]))
    assert frame["rate"].to_numpy() == pytest.approx(frame["raw_rate"].to_numpy(), abs=5e-3)
    assert frame["level"][frame["value"].isna()].tolist() == [1, 3, 6]
    assert frame["value"].sum() == pytest.approx(1)
    assert frame.loc[1:, "rate_low"].lt(frame.loc[1:, "rate_high"]).all()


def test_thresholds_that_the_card_does_not_know_are_refused_one_by_one():
    card = np.diag([60, 0, 30, 0, 30, 12, 0, 4])
    frame = correction.ordinal_correction(np.repeat([0, 2, 4], [60, 20, 20]), card).set_index("level")
    assert frame.loc[[1, 2, 3, 4, 5], "refused"].isna().all()
    assert "4 answers that people call positive" in frame.loc[7, "refused"]
    assert frame.loc[[6, 7], ["rate", "rate_low", "rate_high"]].isna().all(axis=None)
    assert frame["raw_rate"].notna().all()


def test_answers_that_no_mixture_of_the_cards_kinds_explains_are_noticed():
    rng = np.random.default_rng(7)
    card, shares = graded_card(rng, labels=100, good=0.9)
    assert correction.transport_check(rng.choice(8, 300, p=shares @ np.full(8, 1 / 8)), card) is None
    # People's levels 0, 2 and 4 only; the judge then never said 7.
    known = card.copy()
    known[:, [1, 3, 5, 6, 7]] = 0
    reason = correction.transport_check([7] * 60 + [0] * 240, known)
    assert "300 judged answers cannot be a mixture" in reason
    frame = correction.ordinal_correction([7] * 60 + [0] * 240, known)
    assert frame["refused"].str.contains("cannot be a mixture").all()
    assert frame["rate"].isna().all()
    assert frame["raw_rate"].notna().all()


def test_the_check_seldom_rings_without_cause_even_with_clusters():
    rng, alarms = np.random.default_rng(8), 0
    for _ in range(60):
        goals = np.repeat(np.arange(40), 5)
        truth = rng.random(40)[goals] < 0.02
        alarms += correction.transport_check(judge(rng, truth, 0.9, 0.9), drawn_card(rng, 0.9, 0.9, 60, 90), goals) is not None
    assert alarms <= 4


def test_fewer_findings_than_false_alarms_alone_would_bring_refuse_the_correction():
    found = correction.rogan_gladen([1] * 4 + [0] * 596, CARD)  # 1 in 150, where the card expects at least 1 in 10
    assert "cannot be a mixture" in found.refused
    assert all(math.isnan(one) for one in (found.value, found.low, found.high))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ([[90, 9], [10, 0]], "9 answers that people call positive and 100"),
        ([[8, 10], [1, 90]], "100 answers that people call positive and 9 that they call negative"),
        ([[55, 45], [45, 55]], "Sensitivity 0.55 and specificity 0.55 sum to 1.10"),
        ([[12, 6], [6, 12]], "lower bound of 1.0"),
    ],
)
def test_a_card_that_cannot_carry_a_correction_says_why(card, words):
    judged = np.arange(100) < 40
    for found in (correction.rogan_gladen(judged, card), correction.rogan_gladen_difference(judged, judged, CARD, card)):
        assert words in found.refused
        assert math.isnan(found.value)
        assert math.isnan(found.high)


def test_too_few_labels_refuse_a_prediction_powered_rate():
    said = np.arange(100) % 2 * 1.0
    assert "19 labels" in correction.ppi(said, said[:19], said[:19]).refused
    few = correction.ppi(said, said[:40], said[:40], clusters_all=np.arange(100) // 10, clusters_labelled=np.arange(40) // 10)
    assert "40 labels in 4 clusters" in few.refused
    assert "Nothing was scored" in correction.rogan_gladen([math.nan] * 3, CARD).refused


def test_the_unscored_count_nowhere():
    rng = np.random.default_rng(9)
    truth = rng.random(300) < 0.3
    said = judge(rng, truth, 0.9, 0.9)
    gaps = [math.nan] * 30
    assert correction.rogan_gladen([*said, *gaps], CARD) == correction.rogan_gladen(said, CARD)
    longer = correction.ppi([*said, *gaps], [*said[:50], math.nan, 1.0], [*truth[:50], 1.0, math.nan])
    assert longer == correction.ppi(said, said[:50], truth[:50])
    pairs = correction.rogan_gladen_difference([*said, math.nan, 1], [*said[::-1], 1, math.nan], CARD)
    assert pairs == correction.rogan_gladen_difference(said, said[::-1], CARD)
    levels = rng.integers(0, 8, 200)
    card = agreement.confusion(np.clip(levels + rng.integers(-1, 2, 200), 0, 7), levels)
    assert correction.ordinal_correction([*levels, math.nan], card).equals(correction.ordinal_correction(levels, card))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: correction.rogan_gladen([0, 0.5], CARD), "finding 0.5 is none of 0, 1"),
        (lambda: correction.rogan_gladen([0, 1], np.eye(8)), "give a 2 x 2 table"),
        (lambda: correction.rogan_gladen([0, 1], [[1, 2], [3, -1]]), "no card"),
        (lambda: correction.rogan_gladen([0, 1], CARD, ["a"]), "1 clusters for 2 rows"),
        (lambda: correction.rogan_gladen_difference([0, 1], [0], CARD), "2 findings before and 1 after"),
        (lambda: correction.ordinal_correction([8], np.eye(8)), "level 8 lies off"),
        (lambda: correction.ppi([0, 1], [1], [1, 0]), "1 findings, 2 labels"),
        (lambda: correction.ppi([0, 1], [1], [2]), "finding 2 is none of"),
        (lambda: correction.ppi([0, 1], [1], [1], weights=[0.5]), "weight 0.5"),
        (lambda: correction.ppi([0, 0], [1], [1]), "judged_all holds the labelled too"),
        (lambda: correction.ppi([0, 1], [1], [1], clusters_all=["a", "b"]), "clusters on one side only"),
        (lambda: correction.ppi([0, 1], [1], [1], clusters_all=["a", "b"], clusters_labelled=["c"]), "cluster c"),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
