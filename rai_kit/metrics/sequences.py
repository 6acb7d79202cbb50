"""Confidence sequences: intervals that hold at every moment at once, so that one may look after each case and stop when enough is known.

Cases must come in random order (the order in which answers arrive is none) and be independent of each other: where clusters matter, give
`mean_sequence` one mean a cluster. Left out: several categories at once. `confseq`, by the methods' authors, has no wheels and needs a
C++ compiler, so the methods are written out here.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.intervals import CONFIDENCE, Floats
from rai_kit.metrics.outcomes import MEANS, values_of
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GRID = 1000  # means that a betting sequence tries
CAP = 0.5  # largest share of its wealth that a bet can lose
CHUNK = 50  # of the grid, at a time
STEP = 25  # a stopping rule looks whenever the cases have grown by one in so many
_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


def rate_sequence(values: ArrayLike, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Confidence sequence of a share, from 0s and 1s in random order.

    Args:
        values: 0, 1 or NaN (unscored: the bounds stay as they were).
        confidence: Probability that *all* the bounds hold.

    Returns:
        Lower and upper bounds after each case, 0-1; they never widen. Where data contradict themselves (the bounds would cross), the
        last ones that did not stay.

    Raises:
        InputError: Another value.

    Source: Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, section 3 (Beta-binomial mixture, here of Jeffreys' prior).
    """
    given = _checked(values, 1.0)
    scored = given[~np.isnan(given)]
    if not np.isin(scored, (0.0, 1.0)).all():
        raise InputError(
            f"value {scored[~np.isin(scored, (0.0, 1.0))][0]:g} of a share; give 0, 1 or NaN, or use `mean_sequence`."
        )
    return _spread(given, *_rate_bounds(scored, confidence))


def mean_sequence(values: ArrayLike, top: float, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Confidence sequence of a mean, from values in 0..top in random order; as `rate_sequence` otherwise.

    A bet is made that the mean is above m, and another that it is below, for each m of a grid that is finer towards the ends of the
    scale (at most 0.16 % of it apart); where one has won 2 / (1 - confidence) times its stake, m is ruled out.

    Source: Waudby-Smith and Ramdas 2024, theorem 3 and section 4.2 (hedged capital, predictable plug-in bets).
    """
    given = _checked(values, top)
    low, high = _spread(given, *_mean_bounds(given[~np.isnan(given)] / top, confidence))
    return top * low, top * high


def sequence_table(rows: pd.DataFrame, metric: str, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """A metric as it would have been seen after each row, in the order of the rows.

    Args:
        rows: As `verdict_table` or `attempt_table` gives them; their order has to be random.
        metric: As for `outcomes.values_of`.
        confidence: As for `rate_sequence`.

    Returns:
        Columns `count` (rows so far, unscored ones included), `value` (mean of the scored ones so far), `low` and `high`.
    """
    import pandas as pd

    values, top = values_of(rows, metric)
    low, high = mean_sequence(values, top, confidence) if metric in MEANS else rate_sequence(values, confidence)
    running = pd.Series(values).expanding().mean().to_numpy()
    return pd.DataFrame({"count": np.arange(1, len(values) + 1), "value": running, "low": low, "high": high})


def difference_sequence(
    before: ArrayLike, after: ArrayLike, top: float = 1.0, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Confidence sequence of after - before over pairs in random order, -top..top; a pair with a NaN is unscored.

    Raises:
        InputError: Arms of different length, or a value outside 0..top.
    """
    first, second = _checked(before, top), _checked(after, top)
    if len(first) != len(second):
        raise InputError(f"{len(first)} values before and {len(second)} after; give pairs, joined by their key.")
    low, high = mean_sequence((second - first + top) / 2, top, confidence)
    return 2 * low - top, 2 * high - top


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """When enough is known. Exactly one rule is given; it looks at a 95 % confidence sequence, so that looking often costs no validity.

    Attributes:
        half_width: Stop when half the width of the sequence is at most this, on the metric's scale.
        decide: Operator (`<=`, `<`, `>=`, `>`) and number: stop when the sequence lies wholly on one side of it.

    Raises:
        InputError: None or both are given, a half width that is not positive, or an unknown operator.
    """

    half_width: float | None = None
    decide: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        if (self.half_width is None) == (self.decide is None):
            raise InputError(
                "a stopping rule is either a half width, such as 0.05, or a bound, such as <= 0.15; give one of them."
            )
        if self.half_width is not None and not 0 < self.half_width < float("inf"):
            raise InputError(f"half width {self.half_width:g} of a stopping rule; give a number above 0, such as 0.05.")
        if self.decide is not None and (self.decide[0] not in _OPERATORS or not abs(self.decide[1]) < float("inf")):
            words = f"'{self.decide[0]} {self.decide[1]:g}'"
            raise InputError(f"{words} as a stopping rule; give one of {', '.join(_OPERATORS)} and a number, such as <= 0.15.")

    @classmethod
    def parse(cls, text: str) -> Stop:
        """A rule from words: `0.05` is a half width, `<= 0.15` a bound.

        Raises:
            InputError: Anything else.
        """
        found = re.fullmatch(r"\s*(<=|<|>=|>)?\s*(\d+\.?\d*|\.\d+)\s*", text)
        if not found:
            raise InputError(f"'{text}' is no stopping rule; give a half width, such as 0.05, or a bound, such as '<= 0.15'.")
        number = float(found[2])
        return cls(decide=(found[1], number)) if found[1] else cls(half_width=number)

    def __str__(self) -> str:
        """The rule in words that `parse` reads."""
        return f"{self.half_width:g}" if self.decide is None else f"{self.decide[0]} {self.decide[1]:g}"

    def at(self, values: ArrayLike, top: float, share: bool) -> int | None:
        """Number of leading cases after which the rule stops; None if it never does.

        The rule looks after every scored case up to 50, and then whenever their number has grown by a 25th; so the answer depends on the
        leading values alone, never on when it is asked for. Asking again before the next look costs next to nothing; a look at 2,000
        values takes some 25 milliseconds for a share, and 75 for a mean.

        Args:
            values: In their planned order, NaN where unscored. Values in the order in which they arrive would favour quick answers.
            top: End of the metric's scale; 1 for a share.
            share: Whether the values are 0s and 1s.

        Raises:
            InputError: Values outside the scale, or a rule that any data would meet: a bound that is not within the scale, a half
                width of half the scale or more. Ask once with no values to know beforehand.
        """
        given = _checked(values, top)
        if self.half_width is not None and self.half_width >= top / 2:
            raise InputError(
                f"half width {self.half_width:g} of a stopping rule on a scale of 0 to {top:g}; give less than {top / 2:g}."
            )
        if self.decide is not None and not 0 < self.decide[1] < top:
            raise InputError(f"bound {self.decide[1]:g} of a stopping rule on a scale of 0 to {top:g}; give a number inside it.")
        kept = np.flatnonzero(~np.isnan(given))
        looks = _looks(len(kept))
        if not len(looks):
            return None
        found = _stopped(self, given[kept[: looks[-1]]].tobytes(), float(top), share)
        return None if found is None else int(kept[found - 1]) + 1

    def _met(self, low: Floats, high: Floats) -> Bools:
        if self.decide is None:
            return np.asarray((high - low) / 2 <= (self.half_width or 0.0))
        compare, bound = _OPERATORS[self.decide[0]], self.decide[1]
        return np.asarray(compare(low, bound) == compare(high, bound))  # both ends on the same side


@lru_cache(maxsize=64)  # an engine asks after every case, and there is news only at a look
def _stopped(rule: Stop, data: bytes, top: float, share: bool) -> int | None:
    values = np.frombuffer(data)
    looks = _looks(len(values))
    low, high = rate_sequence(values) if share else mean_sequence(values, top)
    met = looks[rule._met(low, high)[looks - 1]]
    return int(met[0]) if len(met) else None


def _looks(count: int) -> Ints:
    """Numbers of cases, up to this one, at which a rule looks."""
    found, size = [], 1
    while size <= count:
        found.append(size)
        size += max(1, size // STEP)
    return np.array(found, dtype=np.int64)


def _rate_bounds(scored: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Ends of {p : likelihood of p > mixture x (1 - confidence)} after each case, by bisection, rounded outwards."""
    from scipy.special import betaln, xlog1py, xlogy

    n = np.arange(1.0, len(scored) + 1)
    ones = np.cumsum(scored)
    bar = betaln(ones + 0.5, n - ones + 0.5) - betaln(0.5, 0.5) + np.log(1 - confidence)

    def end(outer: Floats) -> Floats:
        inner = ones / n
        for _ in range(40):
            middle = (outer + inner) / 2
            inside = xlogy(ones, middle) + xlog1py(n - ones, -middle) > bar
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return outer

    low, high = end(np.zeros(len(n))), end(np.ones(len(n)))
    return np.where(ones == 0, 0.0, low), np.where(ones == n, 1.0, high)


def _mean_bounds(scored: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Ends of the means that neither bet rules out, after each case; the grid is rounded outwards (wealth is monotone in the mean)."""
    if not len(scored):
        return scored, scored
    n = np.arange(1.0, len(scored) + 1)
    means = (0.5 + np.cumsum(scored)) / (n + 1)
    variances = (0.25 + np.cumsum((scored - means) ** 2)) / (n + 1)
    known = np.concatenate([[0.25], variances[:-1]])  # a bet knows only what came before it
    bar = np.log(2 / (1 - confidence))
    bets = np.sqrt(2 * bar / (known * n * np.log(n + 1)))
    return _ruled_out(scored, bets, bar), 1 - _ruled_out(1 - scored, bets, bar)


def _ruled_out(scored: Floats, bets: Floats, bar: float) -> Floats:
    """The largest mean that the bet on a higher one has ruled out, after each case; 0 for none. Wealth falls as the mean rises."""
    grid = np.sin(np.linspace(0, np.pi / 2, GRID + 1)) ** 2
    first: list[int] = []  # case at which each mean of the grid was ruled out
    for start in range(0, len(grid), CHUNK):
        means = grid[start : start + CHUNK, None]
        with np.errstate(divide="ignore"):
            stakes = np.minimum(bets, CAP / means)
        won = np.cumsum(np.log1p(stakes * (scored - means)), axis=1) >= bar
        reached = won.any(axis=1)
        first += won.argmax(axis=1)[reached].tolist()
        if not reached.all():
            break
    count = np.searchsorted(first, np.arange(len(scored)), side="right")
    return np.where(count > 0, grid[count - 1], 0.0)


def _checked(values: ArrayLike, top: float) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if not 0 < top < float("inf"):
        raise InputError(f"top {top:g} of a scale; give the largest possible value, above 0.")
    outside = given[(given < 0) | (given > top)]
    if given.ndim != 1 or len(outside):
        what = f"value {outside[0]:g}" if len(outside) else f"values of {given.ndim} dimensions"
        raise InputError(f"{what} in a confidence sequence; give one row of numbers from 0 to {top:g}, NaN where unscored.")
    return given


def _spread(given: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds after each scored case, intersected, as bounds after each case; 0 and 1 before the first scored one."""
    low, high = np.maximum.accumulate(np.append(0.0, low)), np.minimum.accumulate(np.append(1.0, high))
    crossed = low >= high
    last = int(crossed.argmax()) - 1 if crossed.any() else len(low) - 1
    place = np.minimum(np.cumsum(~np.isnan(given)), last)
    return low[place], high[place]
