"""How many cases a difference needs, and what a run can show."""

import math

import numpy as np
import pytest

from rai_kit.metrics.planning import design_effect, detectable, detectable_rate, mcnemar_power, pairs_needed, samples_needed
from rai_kit.schema import InputError


@pytest.mark.parametrize(
    ("before", "after", "pairs"), [(0.42, 0.105, 26), (0.30, 0.15, 71), (0.20, 0.10, 107), (0.10, 0.05, 217)]
)
def test_pairs_needed_gives_the_known_figures_in_both_directions(before, after, pairs):
    assert pairs <= pairs_needed(before, after) <= pairs + 1  # rounded up
    assert pairs_needed(after, before) == pairs_needed(before, after)


def test_more_pairs_that_break_need_more_pairs():
    assert [pairs_needed(0.3, 0.15, broken) for broken in (0.0, 0.03, 0.10, 0.15)] == sorted(
        pairs_needed(0.3, 0.15, broken) for broken in (0.0, 0.03, 0.10, 0.15)
    )
    assert pairs_needed(0.3, 0.15, 0.0) < pairs_needed(0.3, 0.15) < pairs_needed(0.3, 0.15, 0.15)


def test_the_default_share_that_breaks_is_always_possible():
    for before, after in ((1.0, 0.5), (0.5, 1.0), (0.0, 0.1), (0.1, 0.0), (0.99, 0.98)):
        assert pairs_needed(before, after) > 5


@pytest.mark.parametrize(("n", "discordant"), [(71, 0.21), (500, 0.02), (100, 0.0), (80, 0.1), (100, 1.0), (61.7, 0.3)])
def test_detectable_solves_the_equation_of_its_source(n, discordant):
    found = detectable(n, discordant)
    share = max(found, discordant)
    needed = (1.959964 * math.sqrt(share) + 0.841621 * math.sqrt(share - found**2)) ** 2 / found**2
    assert needed == pytest.approx(n, rel=1e-5)


def test_detectable_inverts_pairs_needed():
    for before, after, broken in ((0.42, 0.105, 0.021), (0.1, 0.05, 0.01), (0.02, 0.5, 0.49)):
        found = detectable(pairs_needed(before, after, broken), before - after + 2 * broken)
        assert found == pytest.approx(abs(before - after), rel=0.02)


@pytest.mark.parametrize(("n", "discordant"), [(6, 0.0), (8, 0.3), (10, 1.0), (20, 0.2), (40, 0.1)])
def test_with_few_pairs_the_exact_test_has_the_power_that_is_promised(n, discordant):
    found = detectable(n, discordant)
    moved = max(found, discordant)
    assert mcnemar_power(n, (moved + found) / 2, (moved - found) / 2) >= 0.8 - 1e-6


def test_so_few_pairs_as_to_show_nothing_are_never_enough():
    assert pairs_needed(1, 0) >= 6
    assert mcnemar_power(pairs_needed(0.9, 0.05), 0.86, 0.01) >= 0.8


def test_detectable_falls_with_pairs_and_rises_with_discordance_confidence_and_power():
    assert detectable(400, 0.2) < detectable(100, 0.2) < detectable(100, 0.4)
    assert detectable(100, 0.2) < detectable(100, 0.2, confidence=0.99)
    assert detectable(100, 0.2, power=0.5) < detectable(100, 0.2) < detectable(100, 0.2, power=0.95) <= 1
    assert 0 < detectable(6, 0.0) <= 1


@pytest.mark.parametrize("n", [-1, 0, 3, 5, math.nan])
def test_too_few_pairs_can_show_nothing(n):
    assert math.isnan(detectable(n, 0.5))


def test_nothing_known_of_discordance_says_nothing():
    assert math.isnan(detectable(100, math.nan))


def test_mcnemar_power_agrees_with_simulation():
    from scipy.stats import binom

    rng = np.random.default_rng(5)
    for n, fixed, broken in ((40, 0.30, 0.05), (80, 0.05, 0.20)):
        draws = rng.multinomial(n, [fixed, broken, 1 - fixed - broken], 2000)[:, :2]
        shown = (2 * binom.cdf(draws.min(axis=1), draws.sum(axis=1), 0.5) <= 0.05).sum()
        power = mcnemar_power(n, fixed, broken)
        assert shown / 2000 == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 2000))
        assert power == pytest.approx(mcnemar_power(n, broken, fixed), abs=1e-12)


def test_mcnemar_power_by_hand_and_under_no_difference():
    assert mcnemar_power(5, 1.0, 0.0) == 0.0  # five of five: p = 0.0625
    assert mcnemar_power(6, 1.0, 0.0) == pytest.approx(1.0)  # p = 0.03125
    assert mcnemar_power(6, 0.5, 0.0) == pytest.approx(0.5**6)
    assert mcnemar_power(100, 0.0, 0.0) == mcnemar_power(0, 0.5, 0.1) == 0.0
    assert all(mcnemar_power(n, share, share) <= 0.05 for n in (10, 50, 300) for share in (0.05, 0.2, 0.5))


def test_the_exact_test_has_nearly_the_power_that_was_asked_for():
    for before, after in ((0.42, 0.105), (0.30, 0.15), (0.10, 0.05)):
        broken = 0.2 * after
        assert 0.75 < mcnemar_power(pairs_needed(before, after), before - after + broken, broken) < 0.85


@pytest.mark.parametrize(("before", "after", "samples"), [(0.123, 0.107, 6240), (0.240, 0.105, 122)])
def test_samples_needed_gives_the_known_figures(before, after, samples):
    assert samples_needed(before, after) == samples_needed(after, before) == samples
    assert samples_needed(1 - before, 1 - after) == samples


def test_detectable_rate_inverts_samples_needed():
    assert detectable_rate(6240, 0.123)[0] == pytest.approx(0.016, rel=1e-3)
    assert detectable_rate(122, 0.105)[1] == pytest.approx(0.135, rel=2e-3)
    fall, rise = detectable_rate(200, 0.3)
    assert detectable_rate(200, 0.7) == pytest.approx((rise, fall))
    assert detectable_rate(800, 0.3) < (fall, rise)


def test_detectable_rate_says_where_no_fall_or_rise_would_be_shown():
    assert math.isnan(detectable_rate(50, 0.02)[0])
    assert detectable_rate(50, 0.02)[1] < 0.2
    assert math.isnan(detectable_rate(50, 1.0)[1])
    assert detectable_rate(50, 1.0)[0] < 0.2
    assert all(map(math.isnan, detectable_rate(0, 0.5)))


def test_design_effect():
    assert design_effect(20, 0.05) == pytest.approx(1.95)
    assert design_effect(1, 0.9) == design_effect(50, 0.0) == 1.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: pairs_needed(15, 0.1), "before 15"),
        (lambda: pairs_needed(0.2, 0.2), "both 0.2"),
        (lambda: pairs_needed(0.2, 0.1, 0.15), "give 0 to 0.1"),
        (lambda: pairs_needed(0.1, 0.3, 0.1), "give 0.2 to 0.3"),
        (lambda: pairs_needed(0.2, math.nan), "after nan"),
        (lambda: samples_needed(0.2, 0.2), "both 0.2"),
        (lambda: samples_needed(0.2, -0.1), "after -0.1"),
        (lambda: samples_needed(0.2, 0.1, power=0.2), "power 0.2"),
        (lambda: samples_needed(0.2, 0.1, confidence=95), "confidence 95"),
        (lambda: detectable(100, 1.5), "discordant 1.5"),
        (lambda: detectable_rate(100, 2), "base 2"),
        (lambda: mcnemar_power(100, 0.7, 0.6), "fixed \\+ broken 1.3"),
        (lambda: design_effect(0.5, 0.1), "size 0.5"),
        (lambda: design_effect(5, 1.1), "icc 1.1"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_it(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()
