"""What the corrections share: the result, and the reasons to refuse one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rai_kit.metrics.intervals import wilson
from rai_kit.schema import InputError

Floats = NDArray[np.float64]

FEWEST = 10
"""A card needs as many labelled positives, and as many negatives."""
LEAST_YOUDEN = 0.1
"""The lower bound of sensitivity + specificity - 1 has to lie above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A corrected rate or difference with its 95 % interval, or the reason why there is none.

    Attributes:
        value: NaN, like `low` and `high`, where the correction is refused.
        method: How it was found, with the number of labels.
        refused: Why there is no correction, in one sentence; None where there is one.
    """

    value: float
    low: float
    high: float
    method: str
    refused: str | None = None


def refusal(method: str, reason: str) -> Corrected:
    """No correction, and why."""
    return Corrected(value=float("nan"), low=float("nan"), high=float("nan"), method=method, refused=reason)


def weak_card(card: Floats) -> str | None:
    """Why a 2 x 2 card (rows said, columns truth) cannot carry a correction: too few labels, or a judge that is near chance.

    Source: interval of the difference of two shares from Wilson's by Newcombe 1998, method 10.
    """
    (passed, missed), (alarms, hits) = card
    positives, negatives = missed + hits, passed + alarms
    if positives < FEWEST or negatives < FEWEST:
        return (
            f"The card knows {positives:g} answers that people call positive and {negatives:g} that they call negative; "
            f"a correction needs at least {FEWEST} of each."
        )
    sensitivity, specificity = hits / positives, passed / negatives
    below = np.hypot(sensitivity - wilson(hits, positives)[0], specificity - wilson(passed, negatives)[0])
    youden = sensitivity + specificity - 1
    if youden - below > LEAST_YOUDEN:
        return None
    return (
        f"Sensitivity {sensitivity:.2f} and specificity {specificity:.2f} sum to {1 + youden:.2f}, with a lower bound of "
        f"{1 + youden - below:.2f}; a correction needs more than {1 + LEAST_YOUDEN:.1f}, for a judge that guesses has 1."
    )


def table_of(confusion: ArrayLike, levels: int | None = None) -> Floats:
    """A confusion table as numbers.

    Raises:
        InputError: Not square, of another size than asked for, or with entries below 0.
    """
    table = np.asarray(confusion, dtype=float)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or levels not in (None, len(table)) or not (table >= 0).all():
        size = "square" if levels is None else f"{levels} x {levels}"
        raise InputError(
            f"confusion of shape {table.shape} is no card; give a {size} table of counts, rows what the judge said, "
            "columns what people said."
        )
    return table


def findings(values: ArrayLike, clusters: ArrayLike | None, allowed: tuple[float, ...]) -> tuple[Floats, NDArray[Any]]:
    """Scored findings (NaN and None dropped) and their clusters.

    Raises:
        InputError: A finding that is not allowed, or another number of clusters.
    """
    found = np.asarray(values, dtype=float)
    groups = groups_of(clusters, len(found))
    keep = ~np.isnan(found)
    found = found[keep]
    if not np.isin(found, allowed).all():
        raise InputError(
            f"finding {found[~np.isin(found, allowed)][0]:g} is none of {', '.join(f'{one:g}' for one in allowed)} or NaN (unscored)."
        )
    return found, groups[keep]


def groups_of(clusters: ArrayLike | None, count: int) -> NDArray[Any]:
    """Names of the clusters; every row alone where there are none."""
    groups = np.arange(count) if clusters is None else np.asarray(clusters)
    if len(groups) != count:
        raise InputError(f"{len(groups)} clusters for {count} rows; give one each, or None.")
    return groups.astype(str)
