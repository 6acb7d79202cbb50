"""Figures of how a measurement or a training went: what came through, losses by step, an interval that narrows while one counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, LINES, MARKERS, QUIET, UNSCORED, beside, label, nothing, panels, styled, title_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HATCHES = ("////", "xxxx", "....", "\\\\\\\\", "++++", "oooo", "----")
_TINTS = ("#FFFFFF", "#F3D3B5", "#CFE6F3", "#F2E3A6", "#E7D4E4", "#D6EBDD", "#DDDDDD")
_STEPS = ("planned", "reached", "scored")
MANY = 50
"""Above so many points a training curve is drawn pale, with a running mean over it."""


@styled
def funnel(causes: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """What became of what was planned: reached, scored, and unscored by cause; every number is drawn, and none is left out.

    One group gets a bar for each step; several get a bar each, of the scored and the unscored, with a mark at what was reached.

    Args:
        causes: As `metrics.tables.causes` gives it.
        titles: Category -> title.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    groups = _groups(causes, titles)
    if not groups:
        return nothing(*_single(), "nothing was planned")
    unscored = causes[causes["stage"].str.startswith("unscored")]
    order = list(unscored.groupby("stage")["count"].sum().sort_values(ascending=False, kind="stable").index)
    kept = order if len(order) <= len(_HATCHES) else order[: len(_HATCHES) - 1]
    tall = 3 if len(groups) == 1 else len(groups)
    figure, (axis,) = panels(8.8, 1.5 + 0.36 * max(tall, 2) + 0.22 * -(-(len(kept) + 2) // 3))
    names, most = [], max(1, *(stages.get("planned", 0) for _, stages in groups))
    for y, (name, stages) in enumerate(groups):
        split = [("scored", stages.get("scored", 0)), *((cause, stages.get(cause, 0)) for cause in kept)]
        split.append(("other", sum(stages.get(cause, 0) for cause in order if cause not in kept)))
        planned, reached, scored = (stages.get(step, 0) for step in _STEPS)
        if len(groups) == 1:
            names = list(_STEPS)
            _stack(axis, 0, [("planned", planned)], kept, f"{planned:,}", most)
            _stack(axis, 1, [("reached", reached)], kept, f"{reached:,}", most)
            _stack(axis, 2, split, kept, f"{scored:,}" + f", {planned - scored:,} unscored" * (planned > scored), most)
            axis.set_title(label(name, 70))
        else:
            _stack(axis, y, split, kept, f"{planned:,} → {reached:,} → {scored:,}", most)
            axis.plot([reached, reached], [y - 0.42, y + 0.42], color="black", lw=1.6)
            names.append(label(name, 34))
    axis.set_yticks(range(tall), names, fontsize=8.5)
    axis.set(xlim=(0, 1.01 * most), ylim=(tall - 0.4, -0.6))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("number" if len(groups) == 1 else "number; at the right: planned → reached → scored")
    axis.grid(False, axis="y")
    marks: list[Any] = [Patch(facecolor=COLOURS[0], label="scored")]
    marks += [Patch(**_look(cause, kept), label=label(cause, 30, 1)) for cause in kept]
    marks += [Patch(**_look("other", kept), label=f"unscored: {len(order) - len(kept)} other causes")] * (len(kept) < len(order))
    marks += [Line2D([], [], color="black", lw=1.6, label="reached")] * (len(groups) > 1)
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=8)
    return figure


@styled
def training_curves(frame: pd.DataFrame) -> Figure:
    """Every metric of every stage by step, one line a run, with its last value; above 50 points pale, under a running mean.

    Args:
        frame: Columns `stage`, `run`, `step`, `metric`, `value`.
    """
    from matplotlib.ticker import MaxNLocator

    parts = list(frame.dropna(subset=["step"]).groupby(["stage", "metric"], sort=False)) if len(frame) else []
    if not parts:
        return nothing(*_single(), "no training steps to show")
    runs = [str(run) for run in dict.fromkeys(frame["run"])]
    columns = min(3, len(parts))
    down = -(-len(parts) // columns)
    figure, axes = panels(max(5.6, 3.9 * columns), 0.5 + 2.5 * down + 0.25 * -(-len(runs) // 4), columns, down)
    smoothed = 0
    for axis, ((stage, metric), part) in zip(axes, parts, strict=False):
        ends = []
        for run, rows in part.groupby("run", sort=False):
            place, rows = runs.index(str(run)), rows.sort_values("step")
            step, value = rows["step"].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float)
            colour, line = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]
            if len(step) > MANY:
                width = max(5, len(step) // 25) | 1
                smoothed = max(smoothed, width)
                axis.plot(step, value, color=colour, alpha=0.3, lw=0.8)
                axis.plot(step, _running(value, width), color=colour, lw=1.8, ls=line)
            else:
                axis.plot(step, value, color=colour, lw=1.5, ls=line, marker=MARKERS[place % len(MARKERS)], ms=3.5)
            if (known := value[~np.isnan(value)]).size:
                ends.append((float(known[-1]), f"{known[-1]:.3g}".replace("-", "−"), colour))
        axis.set_title(f"{label(stage, 14, 1)}: {label(title_of(metric, None), 24, 1)}")
        axis.set_xlabel("step", fontsize=8.5)
        axis.margins(y=0.08)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if part["step"].nunique() == 1:
            axis.set_xticks(sorted(set(part["step"])))
        axis.set_ylim(axis.get_ylim())
        if not ends:
            axis.text(0.5, 0.5, "no value was recorded", ha="center", va="center", transform=axis.transAxes, color=QUIET)
        elif len(ends) <= 6:
            beside(axis, ends, 0.1)
        else:
            last = sorted(ends)
            axis.text(0.98, 0.97, f"{len(ends)} runs end at {last[0][1]} to {last[-1][1]}", ha="right", va="top", fontsize=8,
                      transform=axis.transAxes)  # fmt: skip
    for axis in axes[len(parts) :]:
        axis.set_visible(False)
    _runs(figure, runs)
    if smoothed:
        figure.supxlabel(f"pale: every step; lines: running mean of up to {smoothed} points", fontsize=8.5)
    return figure


@styled
def sequence(frame: pd.DataFrame) -> Figure:
    """An estimate whose interval holds however often one looks, narrowing as conversations come in, and where counting stopped.

    Args:
        frame: Columns `count`, `value`, `low`, `high` (shares 0-1), and `bound` if there is a rate to be decided on.
    """
    from matplotlib.ticker import MaxNLocator

    rows = frame.sort_values("count") if len(frame) else frame
    rows = rows[rows["low"].notna() & rows["high"].notna()] if len(rows) else rows
    if not len(rows):
        return nothing(*_single(), "nothing scored" if len(frame) else "no conversations to show")
    x = rows["count"].to_numpy(dtype=float)
    value, low, high = (100 * rows[name].to_numpy(dtype=float) for name in ("value", "low", "high"))
    bound = 100 * float(rows["bound"].iloc[-1]) if "bound" in rows else np.nan
    figure, (axis,) = panels(7.2, 3.8)
    axis.fill_between(x, low, high, color=COLOURS[0], alpha=0.16, lw=0, label="95 % confidence sequence")
    for edge in (low, high):
        axis.plot(x, edge, color=COLOURS[0], lw=0.9, ls=":")
    axis.plot(x, value, color=COLOURS[0], lw=1.8, label="share so far")
    axis.vlines(x[-1:], low[-1:], high[-1:], color=COLOURS[0], lw=2.4)
    axis.plot(x[-1:], value[-1:], "o", color=COLOURS[0], ms=6)
    words = f"stopped at {x[-1]:,.0f}:\n{value[-1]:.3g} % [{low[-1]:.3g}, {high[-1]:.3g}]"
    if not np.isnan(bound):
        axis.axhline(bound, color=COLOURS[1], lw=1.4, ls="--", label=f"bound: {bound:.3g} %")
        side = "below the bound" if high[-1] < bound else "above the bound" if low[-1] > bound else "not decided"
        words += f"\n{side}"
    axis.axvline(x[-1], color=QUIET, lw=0.8, ls=(0, (1, 2)))
    shown = high[x >= x[0] + 0.05 * (x[-1] - x[0])]  # the first few intervals hold nearly everything
    top = float(min(101.0, 1.15 * np.nanmax([*shown, value.max(), bound, 1.0])))
    axis.set(ylim=(-0.03 * top, top), xlim=(min(0.0, x[0]), 1.02 * max(x[-1], 1.0)))
    axis.text(1.02, float(np.clip(value[-1], 0.12 * top, 0.88 * top)), words, va="center", fontsize=8.5,
              transform=axis.get_yaxis_transform())  # fmt: skip
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="conversations scored", ylabel="%")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8.5)
    return figure


def _single() -> tuple[Figure, Axes]:
    figure, (axis,) = panels(6.0, 1.6)
    return figure, axis


def _groups(causes: pd.DataFrame, titles: Mapping[str, str] | None) -> list[tuple[str, dict[str, int]]]:
    """Every category, arm and model, named by what differs, with the counts of its stages."""
    keys = [name for name in ("category", "arm", "model") if name in causes]
    several = [name for name in keys if causes[name].nunique() > 1] or keys
    found = []
    for key, part in causes.groupby(keys, sort=False) if len(causes) else ():
        names = dict(zip(keys, key, strict=True))
        words = [title_of(names[name], titles) if name == "category" else str(names[name]) for name in several]
        found.append((", ".join(words), dict(zip(part["stage"], part["count"], strict=True))))
    return found


def _look(stage: str, kept: list[str]) -> dict[str, Any]:
    if not stage.startswith("unscored") and stage != "other":
        return {"facecolor": COLOURS[0] if stage == "scored" else "#A9C7DC" if stage == "reached" else "#D8E4EC"}
    place = kept.index(stage) if stage in kept else len(_HATCHES) - 1
    return {"facecolor": _TINTS[place], "hatch": _HATCHES[place], "edgecolor": "#6A6A6A", "lw": 0.6}


def _stack(axis: Axes, y: float, split: list[tuple[str, int]], kept: list[str], words: str, most: int) -> None:
    """One bar of parts, the larger ones with their number."""
    left = 0
    for stage, number in split:
        if not number:
            continue
        axis.barh(y, number, left=left, height=0.66, **_look(stage, kept))
        if number > 0.06 * most and len(split) > 1:
            box = (
                {} if stage == "scored" else {"bbox": {"boxstyle": "round,pad=0.12", "facecolor": UNSCORED, "edgecolor": "none"}}
            )
            axis.text(left + number / 2, y, f"{number:,}", ha="center", va="center", fontsize=7.5,
                      color="white" if stage == "scored" else "black", **box)  # fmt: skip
        left += number
    axis.text(1.02, y, words, transform=axis.get_yaxis_transform(), va="center", fontsize=8)


def _running(value: Any, width: int) -> Any:
    """Mean of the points within half a width on either side; at the ends of those there are, and never of a missing one."""
    known = ~np.isnan(value)
    sums, counts = (np.convolve(one, np.ones(width), "same") for one in (np.where(known, value, 0.0), known.astype(float)))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _runs(figure: Figure, runs: list[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=COLOURS[place % len(COLOURS)], ls=LINES[place % len(LINES)], marker=MARKERS[place % len(MARKERS)], ms=4,
               label=label(run, 28, 1)) for place, run in enumerate(runs)
    ]  # fmt: skip
    if len(runs) > 1:
        figure.legend(handles=marks, loc="outside upper center", ncols=min(4, len(runs)), fontsize=8.5)
