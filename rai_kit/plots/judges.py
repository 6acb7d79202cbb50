"""Figures of judges: how far each agrees with people, at which thresholds, how well calibrated, and what its errors do to a rate."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, PUBLISHED, across, label, nothing, panels, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


TASKS = {"refusal": "refusal", "objective": "attack success", "severity": "severity", "ungroundedness": "ungroundedness"}
PANELS = {"kappa": "kappa (severity: of 3 and above)", "weighted_kappa": "quadratic-weighted kappa"}
PEOPLE = "human ceiling"


@styled
def agreement(rows: pd.DataFrame) -> Figure:
    """Agreement beyond chance, yes-or-no beside the whole scale, one row a task and category; hollow diamonds are what people reach
    among themselves (one rater against the mean of the others).

    Args:
        rows: Figures of cards (`JudgeCard.frame`), with a column `judge` where there are several.
    """
    rows = rows.reset_index(drop=True)
    rows = rows[rows["statistic"].isin(PANELS) & (rows["threshold"].isna() | (rows["threshold"] == 3)) & rows["task"].isin(TASKS)]
    rows = rows.assign(
        name=rows["task"].map(TASKS) + rows["category"].map(lambda one: "" if one in ("all", "none") else f", {one}")
    )
    rows = rows.drop_duplicates(["name", "statistic", "method", *(["judge"] if "judge" in rows else [])])
    if not len(rows):
        return nothing(*panels(6.0, 1.6), "no agreement to show")
    judges = list(dict.fromkeys(rows["judge"])) if "judge" in rows else [""]
    names = list(dict.fromkeys(rows["name"].str.replace("_", " ")))
    counts = rows[rows["method"] != PEOPLE].groupby(rows["name"].str.replace("_", " "))["n"].max()
    figure, axes = panels(9.2, 1.4 + (0.2 + 0.12 * len(judges)) * len(names), len(PANELS), sharey=True)
    for axis, (statistic, title) in zip(axes, PANELS.items(), strict=True):
        for row in rows[rows["statistic"] == statistic].to_dict("records"):
            people, judge = row["method"] == PEOPLE, judges.index(row.get("judge", ""))
            colour, marker = (PUBLISHED, "D") if people else (COLOURS[judge % len(COLOURS)], "o")
            y = names.index(row["name"].replace("_", " ")) + (0.3 if people else 0.22 * (judge - (len(judges) - 1) / 2))
            axis.plot([row["low"], row["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
            axis.plot(row["value"], y, marker, color=colour, mfc="white" if people else colour, ms=5.5)
        axis.set_xlabel(title)
        axis.set_xlim(float(np.nanmin([0.0, *rows["low"]])) - 0.03, 1.03)
    labels = [label(name, 36) + (f"  (n={counts[name]:.0f})" if name in counts else "") for name in names]
    axes[0].set_yticks(range(len(names)), labels, fontsize=8.5)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    shown = [
        (label(judge, 36, 1) or "judge", "o", COLOURS[place % len(COLOURS)], COLOURS[place % len(COLOURS)])
        for place, judge in enumerate(judges)
    ]
    _legend(figure, *shown, ("people among themselves", "D", PUBLISHED, "white") if PEOPLE in set(rows["method"]) else None)
    return figure


def _legend(figure: Figure, *marks: tuple[str, str, str, str] | None) -> None:
    from matplotlib.lines import Line2D

    shown = [mark for mark in marks if mark]
    lines = [Line2D([], [], marker=marker, color=colour, mfc=face, lw=2) for _, marker, colour, face in shown]
    figure.legend(
        lines, [words for words, *_ in shown], loc="outside upper center", ncols=across(figure, [words for words, *_ in shown])
    )


@styled
def thresholds(rows: pd.DataFrame) -> Figure:
    """Sensitivity and specificity of a defect rate DR-x, for each x.

    Args:
        rows: Columns `statistic` (`sensitivity`, `specificity`), `threshold` (1-7; others are passed over), `value`, `low`, `high`.
    """
    rows = rows[rows["threshold"].notna()]
    if not len(rows):
        return nothing(*panels(6.0, 1.6), "no thresholds to show")
    levels = sorted(set(rows["threshold"].astype(int)))
    figure, (axis,) = panels(5.4, 3.4)
    for colour, statistic, marker in zip(COLOURS, ("sensitivity", "specificity"), "os", strict=False):
        part = rows[rows["statistic"] == statistic].sort_values("threshold")
        axis.fill_between(part["threshold"], part["low"], part["high"], color=colour, alpha=0.18, lw=0)
        axis.plot(part["threshold"], part["value"], marker=marker, color=colour, label=statistic, ms=5)
    axis.set_xticks(levels, [f"DR-{level}" for level in levels])
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
    if not counts.sum():
        return nothing(*panels(6.0, 1.6), "no answers that both people and the judge scored")
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
    if not findings:
        return nothing(*panels(6.0, 1.6), "no probabilities to show")
    figure, axes = panels(3.3 * max(len(findings), 1), 3.4, len(findings) or 1, sharey=True)
    for axis, finding in zip(axes, findings, strict=False):
        part = table[(table["finding"] == finding) & (table["n"] > 0)].sort_values("predicted")
        axis.plot([0, 1], [0, 1], color="#999999", lw=0.9, ls=":")
        axis.vlines(part["predicted"], part["low"], part["high"], color=COLOURS[0], lw=1.8)
        axis.plot(part["predicted"], part["observed"], "o-", color=COLOURS[0], ms=5, lw=1)
        axis.set_title(f"{label(finding, 28)}, n={int(part['n'].sum())}")
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
    if not len(judges):
        return nothing(*panels(6.0, 1.6), "no judges to show")
    marks = {"1 %": 0.01, "20 %": 0.2} if rates is None else rates
    truth = np.linspace(0, most, 121)
    figure, (axis,) = panels(6.6, max(4.0, 0.6 + 0.175 * len(judges)))
    axis.plot(100 * truth, 100 * truth, color="#999999", lw=0.9, ls=":", label="a judge without error")
    styles = cycle([(0, (4, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (7, 2, 1, 2, 1, 2))])
    colours = cycle(COLOURS)
    for row in judges.to_dict("records"):
        colour, style = (PUBLISHED, next(styles)) if row["published"] else (next(colours), "-")
        middle = _reported(truth, row["sensitivity"], row["specificity"])
        axis.plot(
            100 * truth,
            100 * middle,
            color=colour,
            ls=style,
            lw=1.8,
            label=label(row["judge"], 40, 1) + " (published)" * bool(row["published"]),
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
    if not len(table):
        return nothing(*panels(6.0, 1.6), "no rates to show")
    figure, (axis,) = panels(7.6, 1.3 + 0.42 * len(table))
    for y, row in enumerate(table.to_dict("records")):
        _interval(axis, y - 0.12, row["value"], row["low"], row["high"], PUBLISHED, "o")
        if isinstance(row["refused"], str):
            axis.annotate(
                label(row["refused"].partition(";")[0], 90, 1),
                (1, y + 0.2),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize=7,
                color="#555555",
            )
        else:
            _interval(axis, y + 0.16, row["corrected"], row["corrected_low"], row["corrected_high"], COLOURS[0], "D")
    axis.set_yticks(range(len(table)), [label(name) for name in table["name"]])
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.set_xlabel("defect rate, %, with 95 % interval")
    _legend(figure, ("as judged", "o", PUBLISHED, PUBLISHED), ("corrected for the judge's errors", "D", COLOURS[0], COLOURS[0]))
    return figure


def _interval(axis: Axes, y: float, value: float, low: float, high: float, colour: str, marker: str) -> None:
    if np.isnan(value):
        axis.annotate("nothing scored", (0, y), va="center", fontsize=7.5, color="#555555")
    axis.plot([100 * low, 100 * high], [y, y], color=colour, lw=2, solid_capstyle="butt")
    axis.plot(100 * value, y, marker, color=colour, ms=6)
