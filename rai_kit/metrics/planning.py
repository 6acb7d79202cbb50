"""Planning: how many pairs or samples a difference needs, and how small a difference a run can show.

Everything counts independent cases; `design_effect` translates where cases come in clusters. Tests are two-sided. Left out: means
(their spread is not known beforehand) and looking early, which `sequences` does.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from rai_kit.metrics.intervals import CONFIDENCE, z_of
from rai_kit.schema import InputError

POWER = 0.8
FEW = 20
"""With fewer pairs the approximate number of pairs is raised until the exact test has the power."""
SMALL = 60
"""With fewer pairs the approximation promises too much, and the exact test's own power decides."""
AGAINST = 0.2
"""Share of the smaller rate that is taken to move against the trend, where nobody says."""


def detectable(n: float, discordant: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> float:
    """Smallest difference of two paired shares, without its sign, that McNemar's test shows.

    Args:
        n: Pairs; may be an effective, fractional number.
        discordant: Share of pairs that differ between the arms, 0-1. A difference cannot be larger than this share, so where it would
            have to be, the share is taken to grow with it.
        confidence: Of the two-sided test.
        power: Probability, at least 1/2, of showing a true difference of that size.

    Returns:
        0-1. NaN where not even a difference of 1 would be shown (fewer than 6 pairs at 95 %), and where `discordant` is NaN.

    Raises:
        InputError: A share, confidence or power out of range.

    Source: Connett, Smith and McHugh 1987, solved for the difference; below 60 pairs by the exact power (`mcnemar_power`).
    """
    _check(confidence, power)
    z, quantile = z_of(confidence), NormalDist().inv_cdf(power)
    if math.isnan(discordant) or not n >= max(z * z, 1 - math.log2(1 - confidence)):
        return float("nan")
    _check(confidence, power, discordant=discordant)
    spread = n + quantile**2
    found = math.sqrt(discordant) * (z * math.sqrt(n) + quantile * math.sqrt(spread - z * z)) / spread
    if not 0 < found <= discordant:
        # All discordant pairs point one way: sqrt(n d) = z + quantile sqrt(1 - d), which d = sin(angle)^2 solves.
        angle = math.asin(z / math.sqrt(spread)) + math.atan2(quantile, math.sqrt(n))
        found = math.sin(min(angle, math.pi / 2)) ** 2
    return found if n >= SMALL else _exactly(int(n), discordant, found, confidence, power)


def _exactly(n: int, discordant: float, found: float, confidence: float, power: float) -> float:
    """The smallest difference, from the approximation on upwards, for which the exact test has the power."""

    def enough(difference: float) -> bool:
        moved = max(discordant, difference)
        return mcnemar_power(n, min((moved + difference) / 2, 1.0), max((moved - difference) / 2, 0.0), confidence) >= power

    if enough(found):
        return found
    if not enough(1.0):
        return float("nan")
    low, high = found, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pairs_needed(
    before: float, after: float, broken: float | None = None, *, confidence: float = CONFIDENCE, power: float = POWER
) -> int:
    """Pairs that McNemar's test needs to show a paired before/after difference.

    The exact test falls a little short of the power of this approximation (0.77 to 0.79 for 0.8); `mcnemar_power` tells it.

    Args:
        before: Defect rate of the first arm, 0-1.
        after: Of the second.
        broken: Share of all pairs that were no defect before and are one after. By default, of the smaller rate a fifth moves against
            the trend.
        confidence: Of the two-sided test.
        power: Probability, at least 1/2, of showing the difference.

    Raises:
        InputError: Shares out of range or equal, or a `broken` that they do not allow.

    Source: Connett, Smith and McHugh 1987.
    """
    _check(confidence, power, before=before, after=after)
    _differ(before, after)
    least, most = max(0.0, after - before), min(after, 1 - before)
    if broken is None:
        broken = min(least + AGAINST * min(before, after), most)
    if not least - 1e-12 <= broken <= most + 1e-12:
        raise InputError(f"broken {broken:g} cannot be with {before:g} before and {after:g} after; give {least:g} to {most:g}.")
    difference, discordant = before - after, before - after + 2 * broken
    z, quantile = z_of(confidence), NormalDist().inv_cdf(power)
    rest = math.sqrt(max(discordant - difference**2, 0.0))
    found = math.ceil((z * math.sqrt(discordant) + quantile * rest) ** 2 / difference**2)
    while found < FEW and mcnemar_power(found, before - after + broken, broken, confidence) < power:
        found += 1  # the approximation is none for so few pairs
    return found


def mcnemar_power(n: int, fixed: float, broken: float, confidence: float = CONFIDENCE) -> float:
    """Power of the exact McNemar test over `n` pairs, by enumeration of everything that they can show.

    Args:
        n: Pairs.
        fixed: Share of pairs that are a defect before and none after, 0-1.
        broken: The reverse.
        confidence: Of the two-sided test.

    Raises:
        InputError: Shares that are out of range or add up to more than 1.

    Source: Duffy 1984 (unconditional power of the conditional test).
    """
    from scipy.special import bdtr, bdtrc
    from scipy.stats import binom

    discordant = fixed + broken
    _check(confidence, POWER, fixed=fixed, broken=broken, **{"fixed + broken": discordant})
    if discordant == 0 or n < 1:
        return 0.0
    size = np.arange(1, n + 1)  # discordant pairs
    least = binom.ppf((1 - confidence) / 2, size, 0.5)
    least -= 2 * binom.cdf(least, size, 0.5) > 1 - confidence  # the largest number of broken pairs that rejects, -1 for none
    can, share = least >= 0, broken / discordant
    size, least = size[can], least[can]
    rejects = bdtr(least, size, share) + bdtrc(size - least - 1, size, share)
    return float(binom.pmf(size, n, min(discordant, 1.0)) @ rejects)


def samples_needed(before: float, after: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> int:
    """Independent samples in each arm that a two-sided test needs to show the difference of two shares that are not paired.

    Raises:
        InputError: Shares out of range or equal.

    Source: Fleiss, Levin and Paik 2003, chapter 4, as statsmodels computes it.
    """
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

    _check(confidence, power, before=before, after=after)
    _differ(before, after)
    size = samplesize_proportions_2indep_onetail(after - before, before, power, alpha=1 - confidence, alternative="two-sided")
    return math.ceil(float(size))


def detectable_rate(n: float, base: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> tuple[float, float]:
    """Smallest fall and smallest rise from `base` that `n` independent samples in each arm show; the inverse of `samples_needed`.

    Returns:
        Differences without their sign, 0-1. NaN where not even a fall to 0 (a rise to 1) would be shown.

    Raises:
        InputError: A share, confidence or power out of range.
    """
    from scipy.optimize import brentq
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail as size_of

    _check(confidence, power, base=base)

    def excess(size: float, sign: int) -> float:
        return float(size_of(sign * size, base, power, alpha=1 - confidence, alternative="two-sided")) - n

    found = []
    for sign, most in ((-1, base), (1, 1 - base)):
        shown = most > 0 and excess(most, sign) <= 0
        found.append(float(brentq(excess, 1e-12, most, args=(sign,), xtol=1e-12)) if shown else float("nan"))
    return found[0], found[1]


def design_effect(size: float, icc: float) -> float:
    """How many cases in clusters are worth one independent case: pairs or samples needed are multiplied by it.

    Args:
        size: Cases of a cluster, on average; at least 1.
        icc: Intraclass correlation, 0-1.

    Raises:
        InputError: A size below 1 or a correlation out of range.

    Source: Kish 1965.
    """
    _check(CONFIDENCE, POWER, icc=icc)
    if not size >= 1:
        raise InputError(f"size {size:g} of a cluster is below 1; give the mean number of cases in one.")
    return 1 + (size - 1) * icc


def _check(confidence: float, power: float, **shares: float) -> None:
    """One sentence on all that is out of range."""
    wrong = [f"{name} {share:g} (0 to 1)" for name, share in shares.items() if not 0 <= share <= 1 + 1e-12]
    wrong += [] if 0 < confidence < 1 else [f"confidence {confidence:g} (above 0, below 1)"]
    wrong += [] if 0.5 <= power < 1 else [f"power {power:g} (0.5 to below 1)"]
    if wrong:
        raise InputError(f"out of range: {', '.join(wrong)}; 15 per cent is written 0.15.")


def _differ(before: float, after: float) -> None:
    if before == after:
        raise InputError(f"before and after are both {before:g}; give the rates that the run is to tell apart.")
