"""Figures over the whole harm taxonomy: dozens of rows, in two columns, family by family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, label, legend, metric_title, nothing, panels, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.205  # inches
_FAMILY = "#333333"


@styled
def coverage(table: pd.DataFrame) -> Figure:
    """What there is for each harm category, as numbers on a tint: the darker the more, for each column by itself; nothing is marked.

    Args:
        table: Columns `family` and `category` (titles, in order) and one column of counts for each kind of material.
    """
    kinds = [name for name in table.columns if name not in ("family", "category")]
    if not len(table):
        return nothing(*panels(6.0, 1.6), "no categories to show")
    most = {kind: max(1, int(table[kind].max())) for kind in kinds} if len(table) else {}
    columns = _columns(table)
    figure, axes = _two(columns, 0.3 + 0.55 * len(kinds), head=0.95)
    for axis, rows in zip(axes, columns, strict=True):
        for y, row in enumerate(rows):
            if isinstance(row, str):
                continue
            for x, kind in enumerate(kinds):
                count = int(row[kind])
                depth = np.log1p(count) / np.log1p(most[kind])
                colour = (0.0, 0.447, 0.698, 0.08 + 0.72 * depth) if count else "white"
                axis.barh(y, 1, left=x - 0.5, height=1, color=colour, edgecolor="white", lw=0.8)
                words: dict[str, Any] = (
                    {"color": "white" if depth > 0.72 else "black"} if count else {"color": COLOURS[1], "weight": "bold"}
                )
                axis.text(x, y, f"{count:,}", ha="center", va="center", fontsize=7.5, **words)
        axis.set_xlim(-0.5, len(kinds) - 0.5)
        axis.set_xticks(range(len(kinds)), [kind.replace(" ", "\n") for kind in kinds], fontsize=8)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.grid(False)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure


@styled
def harm_categories(estimates: pd.DataFrame, titles: Sequence[str]) -> Figure:
    """The defect rate of every harm category with its 95 % interval and n, family by family, models side by side.

    Args:
        estimates: As `metrics.family_estimates` gives it: `category` holds the family and `topic` the harm category, both by title; the
            family as a whole has the topic `all`.
        titles: Harm categories in the order of the rows.
    """
    part = estimates[estimates["metric"] != "refusal"]
    if not len(part):
        return nothing(*panels(6.0, 1.6), "no estimates to show")
    names = list(dict.fromkeys(part["model"]))
    order = {title: number for number, title in enumerate(titles)}
    lines = part[part["topic"] != "all"].drop_duplicates("topic").sort_values("topic", key=lambda column: column.map(order))
    table = lines[["category", "topic"]].set_axis(["family", "category"], axis=1)
    columns = _columns(table)
    figure, axes = _two(columns, 2.3, head=0.75)
    metric = str(part["metric"].iloc[0]) if len(part) else "DR-3"
    note = "\n(+k): k unscored" if part["n_unscored"].sum() else ""
    for axis, rows in zip(axes, columns, strict=True):
        labels = []
        for y, row in enumerate(rows):
            family = row if isinstance(row, str) else None
            found = (
                part[(part["category"] == family) & (part["topic"] == "all")]
                if family
                else part[part["topic"] == row["category"]]
            )
            for _, one in found.iterrows():
                at = y + 0.26 * (names.index(one["model"]) - (len(names) - 1) / 2)
                colour = COLOURS[names.index(one["model"]) % len(COLOURS)]
                if np.isnan(one["value"]):
                    axis.annotate(
                        "nothing scored", (2 + 30 * (names.index(one["model"]) % 3), at), va="center", fontsize=7, color="#555555"
                    )
                    continue
                axis.plot(
                    [100 * one["low"], 100 * one["high"]],
                    [at, at],
                    color=colour,
                    lw=2.4 if family else 1.3,
                    solid_capstyle="butt",
                )
                axis.plot(100 * one["value"], at, "D" if family else "o", color=colour, ms=5 if family else 4)
            labels.append(f"{label(family or row['category'], 44, 1)}  n={_counts(found)}")
        axis.set_yticks(range(len(rows)), labels)
        axis.set_xlim(-3, 103)
        axis.set_xlabel(f"{metric_title(metric)} of conversations{note}")
        for name, row in zip(axis.get_yticklabels(), rows, strict=True):
            name.set(fontsize=7.8, fontweight="bold" if isinstance(row, str) else "normal", color=_FAMILY)
    legend(figure, names)
    return figure


def _counts(rows: pd.DataFrame) -> str:
    """Number of scored, and of unscored, cases; a range where models differ."""
    scored, left = sorted({int(n) for n in rows["n"]}), int(rows["n_unscored"].sum())
    return (f"{scored[0]}" if len(scored) == 1 else f"{scored[0]}-{scored[-1]}" if scored else "0") + (
        f" (+{left})" if left else ""
    )


def _columns(table: pd.DataFrame) -> list[list[Any]]:
    """Rows for two columns of about the same length, each family whole, under its name."""
    families = [[str(family), *part.to_dict("records")] for family, part in table.groupby("family", sort=False)]
    total = sum(map(len, families))
    columns: list[list[Any]] = [[], []]
    for block in families:
        first = columns[0]
        fits = not columns[1] and (not first or len(first) + len(block) / 2 <= total / 2)
        columns[0 if fits else 1].extend(block)
    return [column for column in columns if column] or [[]]


def _two(columns: Sequence[Sequence[Any]], width: float, head: float) -> tuple[Figure, list[Axes]]:
    """One panel a column of rows; the rows are of the same height in both."""
    tallest = max(len(column) for column in columns)
    longest = max((len(row if isinstance(row, str) else row["category"]) for column in columns for row in column), default=0)
    width += float(np.clip(0.07 * longest, 2.1, 3.6))
    figure, axes = panels(width * len(columns), head + _ROW * max(tallest, 3), len(columns))
    for axis, rows in zip(axes, columns, strict=True):
        axis.set_yticks(range(len(rows)), [label(row if isinstance(row, str) else row["category"], 44, 1) for row in rows])
        for name, row in zip(axis.get_yticklabels(), rows, strict=True):
            name.set(fontsize=7.8, fontweight="bold" if isinstance(row, str) else "normal", color=_FAMILY)
        axis.set_ylim(tallest - 0.4, -0.6)
    return figure, axes
