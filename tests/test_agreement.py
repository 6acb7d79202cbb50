"""Agreement with people: every figure against a reference library, every interval by what it must hold."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, cohen_kappa_score, confusion_matrix, roc_auc_score

from rai_kit.metrics import agreement, wilson
from rai_kit.schema import InputError


def graded(seed=0, count=200):
    """Levels of people and of a judge that errs by up to two, in clusters."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 8, count)
    return np.clip(truth + rng.integers(-2, 2, count), 0, 7), truth, rng.integers(0, 40, count)


def found(seed=0, count=300):
    """Labels, a probability that tells them apart somewhat, and what follows at one half."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    score = np.round(np.clip(0.35 + 0.3 * truth + rng.normal(0, 0.2, count), 0, 1), 2)  # rounded: with ties
    return score >= 0.5, truth, score


def test_binary_figures_are_those_of_the_reference_library():
    said, truth, score = found()
    measured = agreement.binary_agreement(said, truth, score)
    (passed, alarms), (missed, hits) = confusion_matrix(truth, said)
    reference = {
        "agreement": (passed + hits) / 300,
        "kappa": cohen_kappa_score(said, truth),
        "sensitivity": hits / (hits + missed),
        "specificity": passed / (passed + alarms),
        "precision": hits / (hits + alarms),
        "auc": roc_auc_score(truth, score),
        "brier": brier_score_loss(truth, score),
    }
    assert {name: measured[name].value for name in reference} == pytest.approx(reference)
    assert agreement.auc(score, truth) == pytest.approx(reference["auc"])
    assert agreement.kappa(said, truth) == pytest.approx(reference["kappa"])
    assert measured["sensitivity"][1:] == wilson(hits, hits + missed)
    for name, one in measured.items():
        assert one.low < one.value < one.high, name


def test_kappa_of_names_is_that_of_the_reference_library():
    rng = np.random.default_rng(1)
    one = rng.choice(["comply", "partial", "refuse"], 100)
    other = np.where(rng.random(100) < 0.6, one, rng.choice(["comply", "partial", "refuse"], 100))
    assert agreement.kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    assert math.isnan(agreement.kappa(["refuse"] * 5, ["refuse"] * 5))


def test_ordinal_figures_are_those_of_the_reference_libraries():
    said, truth, clusters = graded()
    measured = agreement.ordinal_agreement(said, truth, clusters)
    reference = {
        "agreement": (said == truth).mean(),
        "within_one": (abs(said - truth) <= 1).mean(),
        "weighted_kappa": cohen_kappa_score(said, truth, weights="quadratic", labels=range(8)),
        "bias": (said - truth).mean(),
        "spearman": spearmanr(said, truth).statistic,
    }
    assert {name: one.value for name, one in measured.items()} == pytest.approx(reference)
    assert agreement.weighted_kappa(said, truth) == pytest.approx(reference["weighted_kappa"])
    assert measured["bias"].high < 0  # it under-scores, and that is seen
    for name, one in measured.items():
        assert one.low < one.value < one.high, name


def test_the_confusion_table_is_that_of_the_reference_library_and_rounds_down_as_defect_rates_do():
    said, truth, _ = graded()
    assert (agreement.confusion(said, truth) == confusion_matrix(truth, said, labels=range(8)).T).all()
    assert agreement.confusion([2.5], [3])[2, 3] == 1
    assert agreement.confusion([1, 0, math.nan, 1], [1, 1, 1, math.nan], top=1).tolist() == [[0, 1], [0, 1]]


def test_the_unscored_count_nowhere():
    said, truth, score = found()
    without = agreement.binary_agreement(said, truth, score)
    nan = [math.nan] * 20
    longer = [np.concatenate([column.astype(float), extra]) for column, extra in ((said, nan), (truth, [1] * 20), (score, nan))]
    assert agreement.binary_agreement(*longer) == without
    levels, labels, clusters = graded()
    more = agreement.ordinal_agreement([*levels, math.nan], [*labels, 7], [*clusters, 99])
    assert more == agreement.ordinal_agreement(levels, labels, clusters)
    nothing = agreement.binary_agreement([math.nan], [1], [math.nan])
    assert set(nothing) == set(without)
    assert all(math.isnan(value) for one in nothing.values() for value in one)


def test_a_side_without_cases_has_no_figure():
    measured = agreement.binary_agreement([0, 0, 1, 0], [0, 0, 0, 0], [0.1, 0.2, 0.6, 0.3])
    assert math.isnan(measured["sensitivity"].value)
    assert math.isnan(measured["auc"].low)
    assert measured["specificity"].value == 0.75


@pytest.mark.parametrize("count", [10, 60])
def test_perfect_agreement_still_has_an_interval(count):
    truth = np.arange(count) % 8
    measured = agreement.ordinal_agreement(truth, truth)
    binary = agreement.binary_agreement(truth > 3, truth > 3, (truth > 3) * 1.0)
    raters = agreement.human_ceiling(np.stack([truth, truth, truth], axis=1), top=7)
    for name, one in [*measured.items(), *binary.items(), *raters.items()]:
        assert one.value == pytest.approx({"bias": 0, "brier": 0, "calibration_error": 0, "rater_bias": 0}.get(name, 1)), name
        if name != "calibration_error":
            assert one.high - one.low > 1e-3, name


def test_sharing_a_goal_widens_the_intervals():
    said, truth, score = found(count=60)
    alone = agreement.binary_agreement(said, truth, score)
    goals = np.tile(np.arange(60), 5)
    shared = agreement.binary_agreement(*(np.tile(column, 5) for column in (said, truth, score)), goals)
    for name in ("kappa", "auc", "brier", "sensitivity", "agreement"):
        assert shared[name].value == pytest.approx(alone[name].value)
        assert shared[name].high - shared[name].low > 0.9 * (alone[name].high - alone[name].low), name


def test_kappa_intervals_cover():
    rng, hits, trials = np.random.default_rng(3), 0, 200
    flip, rate = 0.15, 0.3  # the judge is wrong in 15 % of cases, whatever they are
    agree, said = 1 - flip, rate * (1 - flip) + (1 - rate) * flip
    chance = rate * said + (1 - rate) * (1 - said)
    for _ in range(trials):
        goals = np.repeat(np.arange(60), 3)
        truth = (rng.random(60) < rate)[goals]  # answers of one goal share the label
        given = truth ^ (rng.random(180) < flip)
        one = agreement.binary_agreement(given, truth, clusters=goals)["kappa"]
        hits += one.low <= (agree - chance) / (1 - chance) <= one.high
    assert hits / trials >= 0.92


def test_the_reliability_table_by_hand():
    frame = agreement.reliability_table([0.1, 0.1, 0.2, 0.3, 0.8, 0.9, 0.9, 1.0], [0, 0, 0, 1, 1, 1, 0, 1], bins=2)
    assert frame[["low_edge", "high_edge", "n", "predicted", "observed"]].to_numpy() == pytest.approx(
        np.array([[0.1, 0.3, 4, 0.175, 0.25], [0.8, 1.0, 4, 0.9, 0.75]])
    )
    assert tuple(frame.loc[1, ["low", "high"]]) == pytest.approx(wilson(3, 4))


def test_bins_of_equal_mass_lose_nothing_and_keep_equal_scores_together():
    said, truth, score = found(count=500)
    frame = agreement.reliability_table(score, truth)
    assert frame["n"].sum() == 500
    assert (frame["high_edge"].to_numpy()[:-1] < frame["low_edge"].to_numpy()[1:]).all()
    assert frame["n"].between(25, 90).all()
    error = (frame["n"] * (frame["predicted"] - frame["observed"]).abs()).sum() / 500
    assert agreement.binary_agreement(said, truth, score)["calibration_error"].value == pytest.approx(error)
    assert agreement.reliability_table([0.5] * 9, [0] * 9)["n"].tolist() == [9]
    assert agreement.reliability_table([], []).empty


def test_a_calibrated_judge_is_told_from_one_that_is_not():
    rng = np.random.default_rng(5)
    score = rng.random(1000)
    truth = rng.random(1000) < score
    honest = agreement.binary_agreement(score > 0.5, truth, score)["calibration_error"]
    boastful = agreement.binary_agreement(score > 0.5, truth, np.round(score))["calibration_error"]
    assert honest.low < 0.02
    assert boastful.low > 0.2


def test_the_human_ceiling_is_one_rater_against_the_mean_of_the_others():
    ratings = np.array([[0, 0, 0.25], [1, 0.75, 1], [0.5, 0.5, 0.75], [0, 0.25, 0], [1, 1, 1], [0.25, 0, 0.5]])
    measured = agreement.human_ceiling(ratings)
    others = [(ratings[:, one], np.delete(ratings, one, axis=1).mean(axis=1)) for one in range(3)]
    expected = np.mean([agreement.weighted_kappa(one, other) for one, other in others])
    middle = np.mean([cohen_kappa_score(one >= 0.5, other >= 0.5) for one, other in others])
    assert measured["weighted_kappa"].value == pytest.approx(expected)
    assert measured["kappa_middle"].value == pytest.approx(middle)
    assert measured["rater_bias"].value == pytest.approx(ratings.mean(axis=0).max() - ratings.mean(axis=0).min())
    again = agreement.human_ceiling(np.vstack([ratings * 4, [0, 4, math.nan]]), top=4)
    assert again["weighted_kappa"].value == pytest.approx(expected)
    assert again["rater_bias"] == pytest.approx(measured["rater_bias"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: agreement.binary_agreement([0, 1], [0, 1, 1]), "no pairs"),
        (lambda: agreement.binary_agreement([0, 3], [0, 1]), "3 is no yes-or-no finding"),
        (lambda: agreement.binary_agreement([0, 1], [0, 1], [0.2, 1.4]), "score 1.4 is no probability"),
        (lambda: agreement.binary_agreement([0, 1], [0, 1], clusters=["a"]), "1 clusters for 2 answers"),
        (lambda: agreement.ordinal_agreement([0, 8], [0, 7]), "grade 8 lies off the scale"),
        (lambda: agreement.confusion([-1], [0]), "grade -1 lies off the scale"),
        (lambda: agreement.human_ceiling([[1.0], [0.0]]), "at least 2"),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
