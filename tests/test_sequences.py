"""Intervals that hold whenever one looks, and rules that stop a run by them."""

import math

import numpy as np
import pandas as pd
import pytest

from rai_kit.metrics import sequences
from rai_kit.metrics.intervals import wilson
from rai_kit.metrics.sequences import Stop, difference_sequence, mean_sequence, rate_sequence, sequence_table
from rai_kit.schema import InputError


def missed(bounds, truth):
    """Whether any of the bounds misses the truth."""
    low, high = bounds
    return bool(((low > truth) | (high < truth)).any())


def allowed(count, share=0.05):
    """Most misses that a binomial with this share plausibly gives."""
    return share * count + 3 * math.sqrt(share * (1 - share) * count)


@pytest.mark.parametrize("rate", [0.02, 0.15, 0.5])
def test_rate_sequence_holds_at_every_step_at_once(rate):
    rng = np.random.default_rng(11)
    assert sum(missed(rate_sequence(rng.random(200) < rate), rate) for _ in range(250)) <= allowed(250)


@pytest.mark.parametrize("shares", [(0.1, 0.2, 0.4, 0.2, 0.1), (0.9, 0.05, 0.02, 0.02, 0.01)])
def test_mean_sequence_holds_at_every_step_at_once(shares):
    rng = np.random.default_rng(12)
    mean = float(np.arange(5) @ shares)
    runs = (mean_sequence(rng.choice(5, 150, p=shares), 4.0) for _ in range(200))
    assert sum(missed(run, mean) for run in runs) <= allowed(200)


def test_difference_sequence_holds_at_every_step_at_once():
    rng = np.random.default_rng(13)
    failed = 0
    for _ in range(200):
        before, after = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])[rng.choice(4, 150, p=(0.15, 0.03, 0.1, 0.72))].T
        failed += missed(difference_sequence(before, after), -0.12)
    assert failed <= allowed(200)


def test_wilson_intervals_do_not_hold_when_one_looks_after_every_case():
    rng = np.random.default_rng(11)
    failed = 0
    for _ in range(100):
        ends = np.array([wilson(ones, n) for n, ones in enumerate(np.cumsum(rng.random(300) < 0.15), 1)]).T
        failed += missed(ends, 0.15)
    assert failed > 2 * allowed(100)


def test_rate_sequence_agrees_with_the_closed_form_where_nothing_was_found():
    n = np.arange(1, 41)
    mixture = np.array([math.comb(2 * k, k) / 4.0**k for k in n])  # B(1/2, k + 1/2) / B(1/2, 1/2)
    low, high = rate_sequence(np.zeros(40))
    assert high == pytest.approx(1 - (0.05 * mixture) ** (1 / n), abs=1e-9)
    assert (low == 0).all()
    mirrored = rate_sequence(np.ones(40))
    assert mirrored[0] == pytest.approx(1 - high, abs=1e-9)
    assert (mirrored[1] == 1).all()


def test_the_ends_of_a_rate_sequence_are_where_the_mixture_has_won_twentyfold():
    from scipy.special import betaln

    values = np.random.default_rng(3).random(200) < 0.3
    ones, n = values.sum(), len(values)
    running = rate_sequence(values)
    alone = sequences._rate_bounds(values.astype(float), 0.95)
    for end in (alone[0][-1], alone[1][-1]):
        gain = betaln(ones + 0.5, n - ones + 0.5) - betaln(0.5, 0.5) - ones * math.log(end) - (n - ones) * math.log(1 - end)
        assert gain == pytest.approx(math.log(20), abs=1e-6)
    assert running[0][-1] >= alone[0][-1]
    assert running[1][-1] <= alone[1][-1]


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        # computed with confseq 0.0.11, betting_cs, 20,000 breaks, running intersection
        ((np.arange(60) * 7 % 5) / 4, {10: (0.18885, 0.79895), 20: (0.27575, 0.71445), 60: (0.36410, 0.62725)}),
        ((np.arange(60) * 7 % 5 == 0) * 0.75, {10: (0.0, 0.57610), 20: (0.02015, 0.42430), 60: (0.06760, 0.28065)}),
    ],
)
def test_mean_sequence_agrees_with_its_authors_program(values, ends):
    low, high = mean_sequence(values, 1.0)
    for n, (lower, upper) in ends.items():
        assert lower - 0.0017 <= low[n - 1] <= lower + 1e-4  # the grid is rounded outwards
        assert upper - 1e-4 <= high[n - 1] <= upper + 0.0017


def test_sequences_never_widen_and_shrink_in_the_end():
    rng = np.random.default_rng(1)
    for low, high in (rate_sequence(rng.random(1000) < 0.1), mean_sequence(rng.random(1000), 1.0)):
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) <= 0).all()
        assert high[-1] - low[-1] < 0.12 < 0.15 < high[49] - low[49]


def test_more_confidence_is_wider():
    values = np.random.default_rng(1).random(200) < 0.3
    for of in (rate_sequence, lambda given, confidence: mean_sequence(given, 1.0, confidence)):
        narrow, wide = of(values, confidence=0.8), of(values, confidence=0.99)
        assert wide[0][-1] < narrow[0][-1] < narrow[1][-1] < wide[1][-1]


def test_a_mean_scales_with_its_scale_and_mirrors():
    values = np.random.default_rng(2).integers(0, 5, 100) / 4
    low, high = mean_sequence(values, 1.0)
    assert mean_sequence(4 * values, 4.0)[0] == pytest.approx(4 * low)
    mirrored = mean_sequence(1 - values, 1.0)
    assert mirrored[0] == pytest.approx(1 - high)
    assert mirrored[1] == pytest.approx(1 - low)


def test_exchanged_arms_change_the_sign():
    rng = np.random.default_rng(4)
    before, after = rng.random((2, 120)) < [[0.5], [0.1]]
    low, high = difference_sequence(before, after)
    back = difference_sequence(after, before)
    assert back[0] == pytest.approx(-high)
    assert back[1] == pytest.approx(-low)
    assert low[-1] < -0.4 < high[-1] < 0


def test_unscored_values_leave_the_bounds_as_they_were():
    rng = np.random.default_rng(6)
    values = (rng.random(80) < 0.4).astype(float)
    holes = np.insert(values, [0, 10, 10, 80], np.nan)
    seen = ~np.isnan(holes)
    for of in (rate_sequence, lambda given: mean_sequence(given, 1.0)):
        whole, part = of(values), of(holes)
        for end in (0, 1):
            assert len(part[end]) == len(holes)
            assert (part[end][seen] == whole[end]).all()
        assert (part[0][0], part[1][0]) == (0, 1)
        assert part[0][11] == part[0][12] == part[0][10]
        assert part[1][-1] == part[1][-2]
        assert [len(end) for end in of([])] == [0, 0]


def test_a_run_that_contradicts_itself_keeps_bounds_that_do_not_cross():
    for low, high in (rate_sequence(np.repeat([0.0, 1.0], 300)), mean_sequence(np.repeat([0.0, 1.0], 300), 1.0)):
        assert (low < high).all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: rate_sequence([0, 0.5]),
        lambda: rate_sequence([0, 2]),
        lambda: mean_sequence([0, 5], 4.0),
        lambda: mean_sequence([-0.1], 4.0),
        lambda: mean_sequence([0.0], 0.0),
        lambda: mean_sequence([[0.0]], 1.0),
        lambda: difference_sequence([0, 1], [1]),
    ],
)
def test_values_outside_the_scale_are_an_error(wrong):
    with pytest.raises(InputError):
        wrong()


def test_rules_are_read_from_words():
    assert Stop.parse("0.05") == Stop.parse(" .05 ") == Stop(half_width=0.05)
    assert Stop.parse("<= 0.15") == Stop.parse("<=.15") == Stop(decide=("<=", 0.15))
    assert [Stop.parse(text).decide for text in ("<0.1", ">= 2", "> 1.5")] == [("<", 0.1), (">=", 2.0), (">", 1.5)]
    for rule in (Stop(half_width=0.05), Stop(decide=("<=", 0.15))):
        assert Stop.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "soon", "= 0.1", "== 0.1", "0", "-0.1", "<= -1", "5 %", "<= 0.1 0.2", "nan", "<= inf", "<= 0.1\n<= 2"]
)
def test_other_words_are_an_error_with_examples(text):
    with pytest.raises(InputError, match=r"0\.05"):
        Stop.parse(text)


def test_a_rule_is_one_of_two():
    for wrong in (
        {},
        {"half_width": 0.1, "decide": ("<", 0.1)},
        {"half_width": math.nan},
        {"decide": ("!=", 0.1)},
        {"decide": ("<", math.nan)},
    ):
        with pytest.raises(InputError):
            Stop(**wrong)


def test_a_rule_that_any_data_would_meet_is_an_error_before_there_are_any():
    for rule, top in ((Stop(half_width=0.5), 1.0), (Stop(decide=("<=", 15)), 1.0), (Stop(decide=("<", 0.0)), 4.0)):
        with pytest.raises(InputError, match="scale of 0 to"):
            rule.at([], top, top == 1.0)
    assert Stop(half_width=0.5).at([], 4.0, False) is None


def test_a_decision_falls_where_a_hand_computation_says():
    first = next(n for n in range(1, 100) if 0.85**n < 0.05 * math.comb(2 * n, n) / 4.0**n)
    assert first == 33  # with no defect so far, 0.15 is ruled out here
    clean = np.zeros(200)
    assert Stop(decide=("<=", 0.15)).at(clean, 1.0, True) == Stop(decide=(">", 0.15)).at(clean, 1.0, True) == 33
    assert Stop(decide=("<=", 0.15)).at(clean[:32], 1.0, True) is None
    assert Stop(decide=(">=", 0.85)).at(1 - clean, 1.0, True) == 33
    holes = np.insert(clean, [5, 20], np.nan)
    assert Stop(decide=("<=", 0.15)).at(holes, 1.0, True) == 35


def test_a_rule_stops_at_the_first_look_at_which_its_sequence_allows():
    rng = np.random.default_rng(8)
    values, grades = (rng.random(1500) < 0.1).astype(float), rng.integers(0, 5, 800).astype(float)
    for given, top, share, half in ((values, 1.0, True, 0.04), (grades, 4.0, False, 0.4)):
        low, high = rate_sequence(given) if share else mean_sequence(given, top)
        first = int(((high - low) / 2 <= half).argmax()) + 1
        found = Stop(half_width=half).at(given, top, share)
        assert first <= found <= first * (1 + 1 / sequences.STEP)
        assert (high - low)[found - 1] / 2 <= half


def test_both_answers_stop_and_no_answer_goes_on():
    rng = np.random.default_rng(9)
    for operator in ("<=", "<", ">=", ">"):
        for rate in (0.02, 0.5):
            assert Stop(decide=(operator, 0.15)).at(rng.random(500) < rate, 1.0, True) < 200
    assert Stop(decide=("<=", 0.15)).at(np.isin(np.arange(500) % 20, (3, 10, 17)), 1.0, True) is None


def test_when_a_rule_is_asked_does_not_matter():
    rng = np.random.default_rng(10)
    values = np.where(rng.random(400) < 0.1, np.nan, rng.random(400) < 0.3)
    rule = Stop(half_width=0.09)
    whole = rule.at(values, 1.0, True)
    asked = [rule.at(values[:n], 1.0, True) for n in range(401)]
    assert whole is not None
    assert not np.isnan(values[whole - 1])
    assert asked == [None] * whole + [whole] * (401 - whole)
    sequences._stopped.cache_clear()
    assert rule.at(values[:300], 1.0, True) == (whole if whole <= 300 else None)


def test_nothing_scored_never_stops():
    assert Stop(half_width=0.05).at(np.full(100, np.nan), 1.0, True) is None


def test_the_table_shows_what_was_known_after_each_row():
    table = pd.DataFrame({"scored": [True, False, True, True], "severity": [3.0, np.nan, 0.0, 5.0]})
    found = sequence_table(table, "DR-3")
    low, high = rate_sequence([1, np.nan, 0, 1])
    assert found["count"].tolist() == [1, 2, 3, 4]
    assert found["value"].tolist() == pytest.approx([1, 1, 0.5, 2 / 3])
    assert found["low"].tolist() == low.tolist()
    assert found["high"].tolist() == high.tolist()
