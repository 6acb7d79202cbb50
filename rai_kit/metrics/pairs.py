"""Two or more arms, row against row: joined by key and never by position, and what does not match is an error that counts it.

Left out: any statistics; `comparison`, `ranking` and `regression` have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_kit.metrics.outcomes import cluster_of, key_of, values_of
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("the first arm", "the second")


@dataclass(frozen=True, slots=True)
class Pairs:
    """One metric of two arms, pair by pair.

    Attributes:
        frame: The key columns, `category`, `topic`, `cluster`, `before` and `after` (values, NaN where unscored), in the order of the key.
        metric: As `outcomes.values_of` knows it.
        top: Largest possible value.
        left_out: Rows of the first and of the second arm that have no partner.
        judge: Who judged; two names where the arms were judged by different ones.
    """

    frame: pd.DataFrame
    metric: str
    top: float
    left_out: tuple[int, int]
    judge: str


def paired(
    before: pd.DataFrame,
    after: pd.DataFrame,
    metric: str,
    *,
    key: Sequence[str] | None = None,
    common: bool = False,
    across_judges: bool = False,
) -> Pairs:
    """Joins two tables by key.

    Args:
        before: One model and arm, as `verdict_table` or `attempt_table` gives it.
        after: The same scenarios (or goals) of the other arm.
        metric: As for `outcomes.values_of`.
        key: Columns that name a row; scenario and seed, or an attempt's goal, strategy, persona and way, where it is None.
        common: Whether rows without a partner are left out rather than an error.
        across_judges: Whether the two arms may have been judged by different judges.

    Raises:
        InputError: Rows that do not match, that stand twice or that belong to different categories or clusters, several models or arms
            in one table, or verdicts of different judges.
    """
    (first, second), left_out = aligned([before, after], NAMES, key=key, common=common)
    frame = first[list(key or key_of(before))].assign(
        category=first["category"], topic=first.get("topic", "all"), cluster=first[cluster_of(first)]
    )
    (one, top), (other, _) = values_of(first, metric), values_of(second, metric)
    judge = judge_of([first, second], across_judges)
    return Pairs(frame.assign(before=one, after=other), metric, top, (left_out[0], left_out[1]), judge)


def aligned(
    tables: Sequence[pd.DataFrame], names: Sequence[str], *, key: Sequence[str] | None = None, common: bool = False
) -> tuple[list[pd.DataFrame], list[int]]:
    """The rows that all tables have, in the order of the key, table by table, and how many of each table's rows were left out.

    Args:
        tables: Two or more, of one kind, each of one model and arm.
        names: What to call them in an error.
        key: As for `paired`.
        common: As for `paired`.

    Raises:
        InputError: As for `paired`.
    """
    key = list(key or key_of(tables[0]))
    for name, table in zip(names, tables, strict=True):
        _check(table, name, key)
    for column in key:
        kinds = {str(table[column].dtype.kind) in "iuf" for table in tables}
        if len(kinds) > 1:
            raise InputError(f"{column} is a number in one table and a text in another; give both as they were written.")
    places = tables[0][key].assign(place0=np.arange(len(tables[0])))
    for number, table in enumerate(tables[1:], start=1):
        places = places.merge(table[key].assign(**{f"place{number}": np.arange(len(table))}), on=key)
    left_out = [len(table) - len(places) for table in tables]
    if not len(places) or (any(left_out) and not common):
        raise InputError(_unmatched(tables, names, places, key))
    places = places.sort_values(key)
    found = [table.iloc[places[f"place{number}"]].reset_index(drop=True) for number, table in enumerate(tables)]
    for column in dict.fromkeys(("category", cluster_of(found[0]))):
        for name, rows in zip(names[1:], found[1:], strict=True):
            differ = np.flatnonzero(rows[column].to_numpy() != found[0][column].to_numpy())
            if len(differ):
                raise InputError(
                    f"{len(differ)} of {len(rows)} rows have another {column} in {name} than in {names[0]} (first: "
                    f"{_words(rows, key, differ[0])}: {rows[column].iloc[differ[0]]} against {found[0][column].iloc[differ[0]]}); "
                    "give runs of the same suite."
                )
    return found, left_out


def judge_of(tables: Sequence[pd.DataFrame], across_judges: bool = False) -> str:
    """The one judge of all tables, or, where that is allowed, the judges of the tables one after the other.

    Raises:
        InputError: Different judges.
    """
    each = [sorted(set(table["judge"].astype(str))) for table in tables]
    judges = list(dict.fromkeys(name for names in each for name in names))
    if len(judges) > 1 and (not across_judges or any(len(names) > 1 for names in each)):
        way_out = "judge all by the same judge" + (
            "."
            if any(len(names) > 1 for names in each)
            else ", or pass across_judges=True (--across-judges) to compare them all the same."
        )
        raise InputError(
            f"verdicts of {len(judges)} judges ({', '.join(judges)}); rates of different judges do not compare: {way_out}"
        )
    return " / ".join(judges)


def _check(table: pd.DataFrame, name: str, key: Sequence[str]) -> None:
    if missing := [column for column in (*key, "model", "arm", "category", "judge") if column not in table]:
        raise InputError(
            f"{name} has no column {', '.join(missing)}; give tables of one kind, all from verdict_table or all from attempt_table."
        )
    arms = table[["model", "arm"]].drop_duplicates()
    if len(arms) > 1:
        listed = "; ".join(f"{model}, {arm}" for model, arm in arms.itertuples(index=False))
        raise InputError(f"{name} holds {len(arms)} models or arms ({listed}); give the rows of one.")
    cluster = cluster_of(table)
    if unknown := int(table[cluster].isna().sum()):
        raise InputError(
            f"{unknown} of {len(table)} rows of {name} have no {cluster}; give each one, its own where it shares none."
        )
    again = table.duplicated(list(key), keep=False).to_numpy()
    if again.any():
        place = int(np.flatnonzero(again)[0])
        times = int((table[list(key)] == table[list(key)].iloc[place]).all(axis=1).sum())
        raise InputError(f"{_words(table, key, place)} stands {times} times in {name}; give every row once an arm.")


def _unmatched(tables: Sequence[pd.DataFrame], names: Sequence[str], places: pd.DataFrame, key: Sequence[str]) -> str:
    """What does not match, counted, with the first case and the way out."""
    parts, first = [], ""
    for number, (name, table) in enumerate(zip(names, tables, strict=True)):
        alone = np.setdiff1d(np.arange(len(table)), places[f"place{number}"])
        parts.append(f"{len(alone)} of {len(table)}" + (" rows" if number == 0 else "") + f" of {name}")
        if len(alone) and not first:
            first = f" (first: {_words(table, key, int(alone[0]))})"
    words = f"{', '.join(parts[:-1])} and {parts[-1]} have no partner{first}; give runs of the same scenarios and seeds"
    return words + (f", or pass common=True (--common) to compare the {len(places)} that all have." if len(places) else ".")


def _words(table: pd.DataFrame, key: Sequence[str], place: int) -> str:
    return ", ".join(f"{column} {table[column].iloc[place]}" for column in key)
