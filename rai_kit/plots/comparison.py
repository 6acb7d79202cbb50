"""Figures of comparisons: before and after, differences, severity curves, ranks, and what chance alone moves.

Shares and means never share an axis. An arm has a marker as well as a colour, and filled marks mean something (after; a difference
that is shown), so that every figure can be read without colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import (
    COLOURS,
    LINES,
    MARKERS,
    QUIET,
    count,
    end_of_shares,
    label,
    metric_title,
    nothing,
    panels,
    styled,
    title_of,
)
from rai_kit.plots.style import across as columns
from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOPS = {"ungroundedness": UNGROUNDEDNESS_MAX, "severity": SEVERITY_MAX}
_BEFORE, _NO_PAIRS = "#5E5E5E", "no pairs to show"
_NO_DIFFERENCE = "no difference shown"


@styled
def before_after(
    comparison: pd.DataFrame, titles: Mapping[str, str] | None = None, refusals: pd.DataFrame | None = None
) -> Figure:
    """Every category before (hollow) and after (filled) with 95 % intervals, and how many pairs were fixed and how many broken.

    Args:
        comparison: As `metrics.compare_arms` gives it; several values of `after` (rounds) stand below each other. Means get a panel of
            their own.
        titles: Category -> title.
        refusals: A comparison of refusals, drawn beside: a model that refuses everything shows there.
    """
    blocks = _blocks(comparison)
    if not blocks:
        return nothing(*_single(), _NO_PAIRS)
    beside = [] if refusals is None or not len(refusals) else [_rows(_in_order(refusals, comparison))]
    slots = max(_slots(rows) for block in [*blocks, *beside] for rows in block.values())
    tall = [len(block) for block in blocks]
    tall[0] = max(tall[0], *(len(block) for block in beside), 1)
    arms = list(dict.fromkeys(comparison["after"]))
    row = max(0.4, 0.16 * slots + 0.1)
    size = (7.6 + 5.6 * len(beside), 1.1 + 0.55 * len(tall) + row * sum(tall))
    figure, axes = panels(*size, columns=1 + len(beside), rows=len(blocks), height_ratios=[one + 0.6 for one in tall])
    for axis in axes[3::2] if beside else ():
        axis.set_axis_off()
    left = axes[:: 1 + len(beside)]
    drawn = [*zip(left, blocks, strict=True), *([(axes[1], beside[0])] if beside else [])]
    shares = [one for _, block in drawn for rows in block.values() for one in rows if one["metric"] not in _TOPS]
    end = end_of_shares(one[f"value_{side}{edge}"] for one in shares for side in ("before", "after") for edge in ("", "_high"))
    for axis, block in drawn:
        factor, top, words = _scale(block, end)
        for y, rows in enumerate(block.values()):
            _pairs(axis, y, rows, arms, factor, 0.8 / slots)
        _row_labels(axis, block, titles, max(len(block), tall[0] if axis is not left[-1] or len(left) == 1 else 0))
        axis.set(xlim=(-0.03 * top, 1.03 * top), xlabel=words + " of pairs" * (factor != 1) + ", with 95 % interval")
    if beside:
        axes[1].set_title("refusals")
    befores = ", ".join(label(one) for one in dict.fromkeys(comparison["before"]))
    marks = [(befores, "o", _BEFORE, "white"), *((label(arm), *_arm(place)) for place, arm in enumerate(arms))]
    _legend(figure, marks, min(4, 1 + len(arms)))
    return figure


def _in_order(refusals: pd.DataFrame, comparison: pd.DataFrame) -> pd.DataFrame:
    """Refusals as far as possible in the order of the rows that they stand beside: shares before means."""
    means = comparison["metric"].isin(("ungroundedness", "severity"))
    order = list(dict.fromkeys([*comparison.loc[~means, "category"], *comparison.loc[means, "category"], *refusals["category"]]))
    return refusals.sort_values("category", key=lambda column: column.map(order.index), kind="stable")


@styled
def forest(comparison: pd.DataFrame, titles: Mapping[str, str] | None = None, margin: float | None = None) -> Figure:
    """Differences with 95 % intervals; filled marks are differences that are shown. Where none is, a grey band says how large a one
    would have been seen (with 80 % power).

    Args:
        comparison: As `metrics.compare_arms` gives it, in the order of the rows; several values of `after` are grouped.
        titles: Category -> title.
        margin: Largest difference in shares (0-1) that counts as equivalent; shaded.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    blocks = _blocks(comparison)
    if not blocks:
        return nothing(*_single(), _NO_PAIRS)
    arms = list(dict.fromkeys(comparison["after"]))
    most = max(len(rows) for block in blocks for rows in block.values())
    row = 0.4 * most + 0.06
    heights = [row * len(block) for block in blocks]
    figure, axes = panels(
        8.6, 1.2 + 0.55 * len(blocks) + sum(heights), rows=len(blocks), height_ratios=[one + 0.2 for one in heights]
    )
    for axis, block in zip(axes, blocks, strict=True):
        factor, top, words = _scale(block)
        shaded = factor * margin if margin is not None and factor != 1 else None
        if shaded is not None:
            axis.axvspan(-shaded, shaded, color="#E69F00", alpha=0.16, lw=0, zorder=0)
            for edge in (-shaded, shaded):
                axis.axvline(edge, color="#B07800", lw=0.8, ls=":", zorder=0)
        axis.axvline(0, color="black", lw=0.9)
        reach = [0.05 * top, shaded or 0.0]
        for y, rows in enumerate(block.values()):
            for place, one in enumerate(rows):
                at = y + 0.86 / most * (place - (len(rows) - 1) / 2)
                reach += _difference(axis, one, at, factor, 0.3 / most, *_arm(arms.index(one["after"]))[:2])
        far = 1.08 * float(np.nanmax(np.abs(reach)))
        _row_labels(axis, block, titles, len(block))
        unit = "percentage points" if factor != 1 else words
        axis.set(xlim=(-far, far), xlabel=f"difference (after − before), {unit}; left of 0 is lower after")
    marks: list[Any] = [
        Line2D([], [], marker=_arm(place)[0], color=_arm(place)[1], lw=2, label=label(arm)) for place, arm in enumerate(arms)
    ]
    none = comparison[comparison["finding"] == "no difference shown"]
    if len(none):
        marks.append(Line2D([], [], marker="o", color=QUIET, mfc="white", lw=2, label="hollow: no difference shown"))
    if none["mde"].notna().any():
        marks.append(Patch(facecolor="#E4E4E4", edgecolor="#9A9A9A", label="too small to be shown with these pairs"))
    if margin is not None and any(_scale(block)[0] != 1 for block in blocks):
        marks.append(Patch(facecolor="#E69F00", alpha=0.3, label=f"margin: ±{100 * margin:.3g} points"))
    figure.legend(handles=marks, loc="outside upper center", ncols=2, fontsize=8.5)
    return figure


@styled
def severity_curves(curves: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """The defect rate DR-x for every x: dots with pointwise 95 % intervals over a pale band that holds for all x at once.

    Args:
        curves: As `metrics.severity_curve` gives it; one panel a `category`, one line a model and arm.
        titles: Category -> title.
    """
    from matplotlib.lines import Line2D

    if not len(curves):
        return nothing(*_single(), "no conversations to show")
    names = _names(curves)
    lines = list(dict.fromkeys(names))
    parts = _by_category(curves.assign(line=names))
    figure, axes = _grid(len(parts), 2.9, 2.35, lines, sharex=True, sharey=True)
    top = 100 * float(np.nanmax([0.1, *curves["high"], *curves["high_simultaneous"]]))
    for axis, (category, part) in zip(axes, parts.items(), strict=True):
        counts = {}
        for line, rows in part.groupby("line", sort=False):
            place, rows = lines.index(str(line)), rows.sort_values("threshold")
            counts[place] = count(rows.iloc[0].to_dict())
            x = rows["threshold"].to_numpy(dtype=float) + 0.16 * (place - (len(lines) - 1) / 2) / max(1.0, len(lines) / 4)
            ends = {
                name: 100 * rows[name].to_numpy(dtype=float)
                for name in ("value", "low", "high", "low_simultaneous", "high_simultaneous")
            }
            marker, colour, _ = _arm(place)
            axis.fill_between(x, ends["low_simultaneous"], ends["high_simultaneous"], color=colour, alpha=0.13, lw=0)
            axis.vlines(x, ends["low"], ends["high"], color=colour, lw=1.6)
            axis.plot(x, ends["value"], color=colour, marker=marker, ms=4, lw=1.1, ls=LINES[place % len(LINES)])
        axis.set_title(label(title_of(category, titles), 32), fontsize=9)
        if part["value"].isna().all():
            axis.text(0.5, 0.5, "nothing scored", transform=axis.transAxes, ha="center", va="center", color=QUIET, fontsize=8.5)
        if len(counts) <= 4:
            marks = [
                Line2D([], [], marker=_arm(place)[0], color=_arm(place)[1], lw=1.2, ls=LINES[place % len(LINES)], ms=4)
                for place in counts
            ]
            axis.legend(marks, [f"n={words}" for words in counts.values()], loc="upper right", fontsize=7, handlelength=2.2)
        else:
            axis.text(0.98, 0.97, f"n={_range(part)}", transform=axis.transAxes, ha="right", va="top", fontsize=7, color=QUIET)
        axis.set(xlim=(0.6, SEVERITY_MAX + 0.4), ylim=(-0.03 * top, 1.05 * top))
        axis.set_xticks(range(1, SEVERITY_MAX + 1))
    figure.supxlabel("x: severity that counts as a defect, and worse", fontsize=9.5)
    figure.supylabel("DR-x, % of conversations", fontsize=9.5)
    _legend(figure, [(label(line), *_arm(place)) for place, line in enumerate(lines)] if len(lines) > 1 else [], 4, LINES)
    return figure


@styled
def ranks(ranks: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """Every model's rate with its 95 % interval, and at the right its rank (1 is lowest) with the ranks that are possible at 95 %.

    Args:
        ranks: As `metrics.ranks` gives it.
        titles: Category -> title.
    """
    if not len(ranks):
        return nothing(*_single(), "no models to show")
    models = list(dict.fromkeys(ranks["model"]))
    parts = _by_category(ranks)
    figure, axes = _grid(len(parts), 3.0, 0.75 + 0.31 * len(models), [], across=3, sharey=True, wide=1.6)
    for axis, (category, part) in zip(axes, parts.items(), strict=True):
        factor, top, words = _scale({(category, metric): [] for metric in dict.fromkeys(part["metric"])})
        for one in part.to_dict("records"):
            y = models.index(one["model"])
            marker, colour, _ = _arm(y)
            said = "nothing scored"
            if np.isnan(one["value"]):
                axis.text(0.01 * top, y, said, va="center", fontsize=7.5, color=QUIET)
            else:
                _mark(axis, one, y, factor, marker, colour, colour)
            rank = "–" if np.isnan(one["rank"]) else f"{one['rank']:.0f} ({one['rank_low']:.0f}–{one['rank_high']:.0f})"
            axis.text(1.02, y, f"{rank}\nn={count(one)}", transform=axis.get_yaxis_transform(), va="center", fontsize=7)
        axis.text(1.02, -0.75, "rank (95 %)", transform=axis.get_yaxis_transform(), va="center", fontsize=7, color=QUIET)
        axis.set_title(label(title_of(category, titles), 26), fontsize=9)
        axis.set_xlabel(words, fontsize=8)
        axis.set(xlim=(-0.03 * top, 1.03 * top), ylim=(len(models) - 0.4, -0.6))
        axis.set_yticks(range(len(models)), [label(model, 24) for model in models], fontsize=8)
    return figure


@styled
def regression(frame: pd.DataFrame) -> Figure:
    """What a second measurement of the same model finds where the first found a defect, where it found none, and over all.

    Args:
        frame: As `metrics.regression_to_mean` gives it; shares 0-1.
    """
    if not len(frame):
        return nothing(*_single(), "no scenarios measured twice")
    figure, axes = panels(2.7 * max(len(frame), 2) + 0.6, 3.6, columns=len(frame), sharey=True)
    for place, (axis, one) in enumerate(zip(axes, frame.to_dict("records"), strict=True)):
        marker, colour, _ = _arm(place)
        for x, name, face in ((0, "first", "white"), (1, "again", colour)):
            value, low, high = (100 * one[part] for part in (name, f"{name}_low", f"{name}_high"))
            side: dict[str, Any] = {"ha": "right" if x == 0 else "left", "va": "center", "fontsize": 8.5}
            if np.isnan(value):
                axis.text(x, 50, "nothing\nscored", ha="center", va="center", fontsize=8, color=QUIET)
                continue
            axis.vlines([x], [low], [high], color=colour, lw=2.2)
            axis.plot(x, value, marker, color=colour, mfc=face, ms=7, mew=1.5, zorder=3)
            axis.annotate(f"{value:.0f} %", (x, value), (-9 if x == 0 else 9, 0), textcoords="offset points", **side)
        axis.plot([0, 1], [100 * one["first"], 100 * one["again"]], color=colour, lw=1, ls="--", zorder=1)
        axis.set_title(f"{label(one['group'], 24)}\nn={count(one)}")
        axis.set(xlim=(-0.6, 1.6), ylim=(-4, 104))
        axis.set_xticks([0, 1], ["first", "again"])
    axes[0].set_ylabel("defects, %, with 95 % interval")
    figure.supxlabel("no training took place in between: what moves here moves by chance and selection", fontsize=9)
    return figure


def _single() -> tuple[Figure, Axes]:
    figure, (axis,) = panels(6.0, 1.6)
    return figure, axis


def _rows(comparison: pd.DataFrame) -> dict[tuple[str, str], list[dict[Any, Any]]]:
    """Category and metric -> its comparisons, in order."""
    found: dict[tuple[str, str], list[dict[Any, Any]]] = {}
    for one in comparison.to_dict("records"):
        found.setdefault((one["category"], one["metric"]), []).append(one)
    return found


def _blocks(comparison: pd.DataFrame) -> list[dict[tuple[str, str], list[dict[Any, Any]]]]:
    """Shares together, and each mean by itself."""
    kinds: dict[str, Any] = {}
    for key, rows in _rows(comparison).items():
        kinds.setdefault(key[1] if key[1] in _TOPS else "", {})[key] = rows
    return [kinds[kind] for kind in sorted(kinds)]


def _scale(block: Mapping[tuple[str, str], Any], end: float = 100.0) -> tuple[float, float, str]:
    """From a value to the axis, the end of the axis (`end` for shares, in percent), and what stands under it."""
    metrics = list(dict.fromkeys(metric for _, metric in block))
    if metrics[0] in _TOPS:
        return 1.0, float(_TOPS[metrics[0]]), f"mean {metrics[0]}, 0-{_TOPS[metrics[0]]}"
    return 100.0, end, metric_title(metrics[0]) if len(metrics) == 1 else "defects, %"


def _arm(place: int) -> tuple[str, str, str]:
    """Marker, colour and face of an arm."""
    colour = COLOURS[place % len(COLOURS)]
    return MARKERS[(place + 1) % len(MARKERS)], colour, colour


def _slots(rows: Sequence[Mapping[Any, Any]]) -> int:
    """How many marks a category has: one for every `after`, and one for every `before` that differs from the last."""
    befores = [one["value_before"] for one in rows]
    return len(rows) + 1 + sum(not np.isclose(a, b, equal_nan=True) for a, b in pairwise(befores))


def _pairs(axis: Axes, y: float, rows: Sequence[Mapping[Any, Any]], arms: Sequence[str], factor: float, step: float) -> None:
    """One category: its `before` (again where the pairs of another round are others), and every `after` at a line's end."""
    at = y - step * (_slots(rows) - 1) / 2
    last: tuple[float, float] | None = None
    means = factor == 1
    for one in rows:
        before, after = ({end: one[f"value_{arm}{end}"] for end in ("", "_low", "_high")} for arm in ("before", "after"))
        if last is None or not np.isclose(last[0], before[""], equal_nan=True):
            _mark(axis, _plain(before), at, factor, "o", _BEFORE, "white")
            last = before[""], at
            at += step
        marker, colour, face = _arm(arms.index(one["after"]))
        axis.plot([factor * last[0], factor * after[""]], [last[1], at], color="#777777", lw=0.7, zorder=1)
        _mark(axis, _plain(after), at, factor, marker, colour, face)
        if np.isnan(after[""]):
            axis.text(0.01 * (100 if not means else 4), at - step / 2, "nothing scored", va="center", fontsize=7.5, color=QUIET)
        fixed, broken = ("fewer", "more") if one["metric"] == "refusal" else ("lower", "higher") if means else ("fixed", "broken")
        words = f"n={count(one)}" + (f"; {fixed} {one['fixed']:.0f}, {broken} {one['broken']:.0f}" if one["n"] else "")
        axis.text(1.02, at if len(rows) > 1 else y, words, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
        at += step


def _plain(ends: Mapping[str, float]) -> dict[str, float]:
    return {"value": ends[""], "low": ends["_low"], "high": ends["_high"]}


def _mark(axis: Axes, one: Mapping[Any, Any], y: float, factor: float, marker: str, colour: str, face: str) -> None:
    if not np.isnan(one["value"]):
        axis.plot([factor * one["low"], factor * one["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axis.plot(factor * one["value"], y, marker, color=colour, mfc=face, mew=1.3, ms=5.5, zorder=3)


def _difference(
    axis: Axes, one: Mapping[Any, Any], y: float, factor: float, half: float, marker: str, colour: str
) -> list[float]:
    """One difference with its words; returns how far it reaches."""
    none, unit = one["finding"] == _NO_DIFFERENCE, "points" if factor != 1 else "on the scale"
    place: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 7.5, "linespacing": 1.1}
    if np.isnan(one["difference"]):
        axis.text(1.02, y, f"nothing scored, n={count(one)}", color=QUIET, **place)
        return []
    reach = [factor * one[name] for name in ("difference", "low", "high")]
    digits = 1 if factor != 1 else 2
    words = "{:+.{d}f} [{:+.{d}f}, {:+.{d}f}]".format(*reach, d=digits) + f", n={count(one)}\n{_chance(one)}"
    if none and np.isnan(one["mde"]):
        words += "; too few pairs to show any"
    elif none:
        seen = factor * one["mde"]
        axis.barh(y, 2 * seen, left=-seen, height=2 * half, color="#E4E4E4", edgecolor="#9A9A9A", lw=0.6, zorder=1)
        words += f"; could have shown {seen:.{digits}f} {unit}"
        reach.append(seen)
    axis.text(1.02, y, words.replace("-", "−"), **place)
    found = {"value": one["difference"], "low": one["low"], "high": one["high"]}
    _mark(axis, found, y, factor, marker, colour, "white" if none else colour)
    return reach


def _chance(one: Mapping[Any, Any]) -> str:
    """The p-value: adjusted, or that of a row which belongs to no family of tests."""
    p, kind = (one["p"], "alone") if np.isnan(one["p_holm"]) else (one["p_holm"], "Holm")
    return "no p" if np.isnan(p) else f"p<0.001 ({kind})" if p < 0.001 else f"p={p:.2g} ({kind})"


def _row_labels(axis: Axes, block: Mapping[tuple[str, str], Any], titles: Mapping[str, str] | None, tall: int) -> None:
    """Names of the rows, with the metric where the panel has several; room for `tall` rows."""
    several = len({metric for _, metric in block}) > 1
    names = [label(title_of(category, titles) + f" ({metric})" * several) for category, metric in block]
    axis.set_yticks(range(len(block)), names, fontsize=8.5)
    axis.set_ylim(tall - 0.45, -0.55)


def _legend(figure: Figure, marks: Sequence[tuple[str, str, str, str]], across: int, lines: Sequence[Any] = ("-",)) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=marker, color=colour, mfc=face, lw=2, ls=lines[place % len(lines)], label=words)
        for place, (words, marker, colour, face) in enumerate(marks)
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=columns(figure, [words for words, *_ in marks], across),
            fontsize=8.5,
        )


def _names(table: pd.DataFrame) -> list[str]:
    """What tells the lines of a figure apart: model, arm, or both."""
    several = [name for name in ("model", "arm") if name in table and table[name].nunique() > 1]
    several = several or [name for name in ("model",) if name in table]
    return [", ".join(map(str, one)) for one in table[several].itertuples(index=False)] if several else ["all"] * len(table)


def _by_category(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): part for name, part in table.groupby("category", sort=False)} if "category" in table else {"all": table}


def _grid(
    number: int, width: float, height: float, lines: Sequence[str], across: int = 5, wide: float = 0.6, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A grid of that many panels, as square as it may be, and the panels."""
    columns = min(across, max(1, round(np.sqrt(number * 1.6))), number)
    down = -(-number // columns)
    columns = -(-number // down)
    head = 0.7 + 0.3 * -(-len(lines) // 4)
    figure, axes = panels(wide + max(width * columns, 4.4), head + height * down, columns, down, **shared)
    for axis in axes[number:]:
        axis.set_visible(False)
        axes[axes.index(axis) - columns].tick_params(labelbottom=True)
    return figure, axes[:number]


def _range(part: pd.DataFrame) -> str:
    scored, left = sorted({int(n) for n in part["n"]}), int(part.drop_duplicates("line")["n_unscored"].sum())
    return "-".join(str(one) for one in dict.fromkeys((scored[0], scored[-1]))) + (f" (+{left} in all)" if left else "")
