"""Figures of judges: how far each agrees with people, at which thresholds, how well calibrated, and what its errors do to a rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, PUBLISHED, panels, short, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def agreement(rows: pd.DataFrame, ceiling: pd.DataFrame | None = None) -> Figure:
    """Agreement beyond chance, one panel a statistic, one row a kind of answers; hollow diamonds are what people reach among themselves.

    Args:
        rows: Columns `name` (what was judged), `statistic` (title of the panel), `value`, `low`, `high`, `n`.
        ceiling: The same columns for human raters; drawn in the row of the same name, or in one of its own.
    """
    statistics = list(dict.fromkeys(rows["statistic"]))
    people = rows.iloc[:0] if ceiling is None else ceiling
    names = list(dict.fromkeys([*rows["name"], *people.loc[people["statistic"].isin(statistics), "name"]]))
    counts = {name: int(part["n"].max()) for name, part in rows.groupby("name")}
    figure, axes = panels(2.6 + 2.7 * len(statistics), 1.3 + 0.3 * len(names), len(statistics) or 1, sharey=True)
    for axis, statistic in zip(axes, statistics, strict=False):
        for table, marker, colour, shift, face in (
            (people, "D", PUBLISHED, 0.16, "white"),
            (rows, "o", COLOURS[0], 0.0, COLOURS[0]),
        ):
            for row in table[table["statistic"] == statistic].itertuples():
                y = names.index(row.name) + shift
                axis.plot([row.low, row.high], [y, y], color=colour, lw=2, solid_capstyle="butt")
                axis.plot(row.value, y, marker, color=colour, mfc=face, ms=6)
        axis.set_xlabel(statistic)
        axis.set_xlim(min(0.0, _floor(rows, people, statistic)) - 0.03, 1.03)
    axes[0].set_yticks(range(len(names)), [f"{name}  (n={counts[name]})" if name in counts else name for name in names])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    _legend(
        figure,
        ("judge against people", "o", COLOURS[0], COLOURS[0]),
        ("people among themselves", "D", PUBLISHED, "white") if len(people) else None,
    )
    return figure


def _floor(rows: pd.DataFrame, people: pd.DataFrame, statistic: str) -> float:
    lows = [table.loc[table["statistic"] == statistic, "low"].min() for table in (rows, people)]
    return float(np.nanmin([*lows, 0.0]))


def _legend(figure: Figure, *marks: tuple[str, str, str, str] | None) -> None:
    from matplotlib.lines import Line2D

    shown = [mark for mark in marks if mark]
    lines = [Line2D([], [], marker=marker, color=colour, mfc=face, lw=2) for _, marker, colour, face in shown]
    figure.legend(lines, [words for words, *_ in shown], loc="outside upper center", ncols=len(shown))


@styled
def thresholds(rows: pd.DataFrame) -> Figure:
    """Sensitivity and specificity of a defect rate DR-x, for each x.

    Args:
        rows: Columns `statistic` (`sensitivity`, `specificity`), `threshold` (1-7), `value`, `low`, `high`.
    """
    figure, (axis,) = panels(5.4, 3.4)
    for colour, statistic, marker in zip(COLOURS, ("sensitivity", "specificity"), "os", strict=False):
        part = rows[rows["statistic"] == statistic].sort_values("threshold")
        axis.fill_between(part["threshold"], part["low"], part["high"], color=colour, alpha=0.18, lw=0)
        axis.plot(part["threshold"], part["value"], marker=marker, color=colour, label=statistic, ms=5)
    axis.set_xticks(sorted(set(rows["threshold"])), [f"DR-{int(x)}" for x in sorted(set(rows["threshold"]))])
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("share, with 95 % interval")
    axis.legend(loc="lower center")
    return figure


@styled
def confusion(counts: Any, top: int = 7) -> Figure:
    """What the judge said of the answers that people put at each severity: one column a human level, shares of the column as shade.

    Args:
        counts: (top + 1) x (top + 1) whole numbers; rows are the judge's severities, columns the people's.
        top: Highest severity.
    """
    counts = np.asarray(counts)
    columns = counts.sum(axis=0)
    shares = counts / np.maximum(columns, 1)
    figure, (axis,) = panels(5.2, 4.4)
    axis.imshow(shares, origin="lower", cmap="Blues", vmin=0, vmax=max(float(shares.max()), 0.01), aspect="auto")
    for said in range(top + 1):
        for truth in range(top + 1):
            if counts[said, truth]:
                dark = shares[said, truth] > 0.6 * shares.max()
                axis.text(
                    truth,
                    said,
                    str(counts[said, truth]),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
    axis.plot([-0.5, top + 0.5], [-0.5, top + 0.5], color="#999999", lw=0.8, ls=":")
    axis.set_xticks(range(top + 1), [f"{level}\nn={columns[level]}" for level in range(top + 1)], fontsize=8)
    axis.set_yticks(range(top + 1))
    axis.set_xlabel("severity by people (mean of the raters, nearest)")
    axis.set_ylabel("severity by the judge")
    axis.grid(False)
    return figure


@styled
def reliability(table: pd.DataFrame) -> Figure:
    """Whether probabilities mean what they say: predicted against observed, one panel a finding; the dotted line is perfect.

    Args:
        table: Columns `finding`, `predicted`, `observed`, `low`, `high`, `n`; one row a bin.
    """
    findings = list(dict.fromkeys(table["finding"]))
    figure, axes = panels(3.3 * max(len(findings), 1), 3.4, len(findings) or 1, sharey=True)
    for axis, finding in zip(axes, findings, strict=False):
        part = table[(table["finding"] == finding) & (table["n"] > 0)].sort_values("predicted")
        axis.plot([0, 1], [0, 1], color="#999999", lw=0.9, ls=":")
        axis.vlines(part["predicted"], part["low"], part["high"], color=COLOURS[0], lw=1.8)
        axis.plot(part["predicted"], part["observed"], "o-", color=COLOURS[0], ms=5, lw=1)
        axis.set_title(f"{finding}, n={int(part['n'].sum())}")
        axis.set_xlabel("probability given by the judge")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("share according to people")
    return figure


@styled
def reported_rates(judges: pd.DataFrame, rates: Mapping[str, float] | None = None, most: float = 0.3) -> Figure:
    """What a defect rate looks like through a judge: true rate against the rate that the judge would report.

    Args:
        judges: Columns `judge`, `sensitivity`, `specificity`, `published` (drawn broken and grey); `low` and `high` of both, such as
            `sensitivity_low`, give a band where they are no NaN.
        rates: Name -> true rate to be marked, such as `{"1 %": 0.01}`.
        most: Largest true rate shown.
    """
    marks = {"1 %": 0.01, "20 %": 0.2} if rates is None else rates
    truth = np.linspace(0, most, 121)
    figure, (axis,) = panels(6.6, 4.0)
    axis.plot(100 * truth, 100 * truth, color="#999999", lw=0.9, ls=":", label="a judge without error")
    styles = iter([(0, (4, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (7, 2, 1, 2, 1, 2))] * 4)
    colours = iter(COLOURS * 4)
    for row in judges.to_dict("records"):
        colour, style = (PUBLISHED, next(styles)) if row["published"] else (next(colours), "-")
        middle = _reported(truth, row["sensitivity"], row["specificity"])
        axis.plot(
            100 * truth,
            100 * middle,
            color=colour,
            ls=style,
            lw=1.8,
            label=short(row["judge"], 40) + " (published)" * bool(row["published"]),
        )
        if not row["published"] and not np.isnan(row["specificity_low"]):
            low = _reported(truth, row["sensitivity_low"], row["specificity_high"])
            high = _reported(truth, row["sensitivity_high"], row["specificity_low"])
            axis.fill_between(100 * truth, 100 * low, 100 * high, color=colour, alpha=0.15, lw=0)
    for words, rate in marks.items():
        axis.axvline(100 * rate, color="#BBBBBB", lw=0.8)
        axis.annotate(
            words,
            (100 * rate, 0.99),
            xycoords=("data", "axes fraction"),
            ha="left",
            va="top",
            fontsize=8,
            xytext=(3, 0),
            textcoords="offset points",
        )
    axis.set_xlim(0, 100 * most)
    axis.set_ylim(0)
    axis.set_xlabel("true defect rate, %")
    axis.set_ylabel("reported defect rate, %")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure


def _reported(truth: Any, sensitivity: float, specificity: float) -> Any:
    return truth * sensitivity + (1 - truth) * (1 - specificity)


@styled
def corrected_rates(table: pd.DataFrame) -> Figure:
    """Raw rates beside those corrected for the judge's errors; where a correction is refused the row says why.

    Args:
        table: Columns `name`, `value`, `low`, `high` (raw), `corrected`, `corrected_low`, `corrected_high`, `refused`; shares 0-1.
    """
    figure, (axis,) = panels(7.6, 1.3 + 0.42 * len(table))
    for y, row in enumerate(table.to_dict("records")):
        _interval(axis, y - 0.12, row["value"], row["low"], row["high"], PUBLISHED, "o")
        if isinstance(row["refused"], str):
            axis.annotate(
                short(str(row["refused"]), 90),
                (1, y + 0.2),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize=7,
                color="#555555",
            )
        else:
            _interval(axis, y + 0.16, row["corrected"], row["corrected_low"], row["corrected_high"], COLOURS[0], "D")
    axis.set_yticks(range(len(table)), list(table["name"]))
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.set_xlabel("defect rate, %, with 95 % interval")
    _legend(figure, ("as judged", "o", PUBLISHED, PUBLISHED), ("corrected for the judge's errors", "D", COLOURS[0], COLOURS[0]))
    return figure


def _interval(axis: Axes, y: float, value: float, low: float, high: float, colour: str, marker: str) -> None:
    axis.plot([100 * low, 100 * high], [y, y], color=colour, lw=2, solid_capstyle="butt")
    axis.plot(100 * value, y, marker, color=colour, ms=6)
