"""Figures of post-training: what the rounds did to harm and to refusals, what it cost, and the same for several models.

Every mark has its interval. Shares, points and ratios never share an axis, and a shape goes with every colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import (
    COLOURS,
    LINES,
    MARKERS,
    QUIET,
    beside,
    count,
    end_of_shares,
    label,
    nothing,
    panels,
    short,
    styled,
    title_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL, TRAINED, PLACEBO, HARM = "all", "trained", "placebo", "harmful"
NAMED = 7
"""Families that have a line of their own colour and a name; of more, those that end highest are named."""
_BEFORE = "#5E5E5E"
_METRICS = {"lookalike": "harmless look-alikes", "ordinary": "ordinary prompts"}
_EFFECTS = {
    "harmful": "after safety training",
    "placebo": "after harmless training (placebo)",
    "ordinary": "ordinary prompts",
    "lookalike": "harmless look-alikes",
    "degenerate": "answers that go in loops",
    "empty": "empty answers",
    "perplexity": "ordinary text",
}
_WITHIN = {"yes": ("o", COLOURS[0], "within its limit"), "no": ("X", COLOURS[1], "over its limit")}


@styled
def rounds(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """Harmful answers round by round, and beside them how often harmless prompts were refused.

    The mean of all is bold, with its 95 % interval as a band; families are thin; an arm trained on harmless data alone (placebo) is hollow.

    Args:
        table: Columns `round` (0 is the base model), `arm` (`trained`, `placebo`), `category` (a family, or `all`), `metric` (`harmful`, or
            the kind of harmless prompt whose refusals are counted), `value`, `low`, `high`, `n`, `n_unscored`. Shares 0-1.
        titles: Family or metric -> title.
    """
    if not len(table):
        return nothing(*_single(), "no rounds to show")
    harm, refused = table[table["metric"] == HARM], table[(table["metric"] != HARM) & (table["category"] == ALL)]
    figure, axes = panels(11, 4.8, columns=2)
    xs = sorted(table["round"].unique())
    kinds = list(dict.fromkeys(refused["metric"]))
    _families(axes[0], harm[(harm["category"] != ALL) & (harm["arm"] == TRAINED)], titles)
    ends = _line(axes[0], harm[harm["category"] == ALL], 0, "all")
    _finish(axes[0], harm, xs, ends)
    axes[0].set(title="harmful answers", ylabel="% of conversations")
    axes[1].set(title="refusals of what is harmless", ylabel="% of answers")
    ends = []
    for place, metric in enumerate(kinds):
        rows = refused[refused["metric"] == metric]
        name = title_of(metric, {**_METRICS, **(titles or {})})
        ends += _line(axes[1], rows, place, f"{label(name, 24, 3)}\nn={_counts(rows)}", 0.09 * place)
    _finish(axes[1], refused, xs, ends)
    _round_ticks(axes[0], xs, harm[(harm["category"] == ALL) & (harm["arm"] == TRAINED)])
    _round_ticks(axes[1], xs)
    _round_legend(figure, table)
    return figure


@styled
def side_effects(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """Every change with its 95 % interval, and the limit that it was to keep as an upright stroke; a panel for each quantity.

    Args:
        table: As `metrics.side_effects` gives it.
        titles: Check -> title.
    """
    from matplotlib.lines import Line2D

    parts = list(table.groupby(["quantity", "unit"], sort=False)) if len(table) else []
    if not parts:
        return nothing(*_single(), "no checks to show")
    heights = [0.5 + 0.42 * len(part) for _, part in parts]
    figure, axes = panels(8.8, 0.7 + 0.55 * len(parts) + sum(heights), rows=len(parts), height_ratios=heights)
    for axis, ((quantity, unit), part) in zip(axes, parts, strict=True):
        factor, none = (100.0, 0.0) if unit == "points" else (1.0, 1.0)
        axis.axvline(none, color="black", lw=0.9)
        reach = [none]
        for y, one in enumerate(part.to_dict("records")):
            axis.plot([factor * one["limit"]] * 2, [y - 0.36, y + 0.36], color="black", lw=2.6, solid_capstyle="butt", zorder=2)
            reach.append(factor * one["limit"])
            reach += _effect(axis, one, y, factor)
        span = max(np.nanmax(reach) - np.nanmin(reach), 2.0 if factor != 1 else 0.02)
        axis.set(xlim=(np.nanmin(reach) - 0.06 * span, np.nanmax(reach) + 0.06 * span), ylim=(len(part) - 0.45, -0.55))
        axis.set_yticks(
            range(len(part)), [label(title_of(one, {**_EFFECTS, **(titles or {})}), 34) for one in part["check"]], fontsize=8.5
        )
        axis.set_title(label(quantity, 60, 1))
        axis.set_xlabel("after − before, percentage points" if factor != 1 else "after / before, ratio", fontsize=8.5)
    marks = [Line2D([], [], marker=marker, color=colour, lw=2, label=words) for marker, colour, words in _WITHIN.values()]
    marks.append(Line2D([], [], marker="|", color="black", ls="", ms=11, mew=2.6, label="limit"))
    figure.legend(handles=marks, loc="outside upper center", ncols=3, fontsize=8.5)
    return figure


@styled
def models(table: pd.DataFrame) -> Figure:
    """Harmful answers of several models before (hollow) and after (filled), with 95 % intervals: the same red team for all.

    Args:
        table: Columns `model`, `before`, `before_low`, `before_high`, `after`, `after_low`, `after_high` (shares 0-1), `n`.
    """
    from matplotlib.lines import Line2D

    if not len(table):
        return nothing(*_single(), "no models to show")
    figure, (axis,) = panels(8.4, 1.3 + 0.46 * max(len(table), 2))
    for y, one in enumerate(table.to_dict("records")):
        middle = [(100 * one[side], y + shift) for side, shift in (("before", -0.13), ("after", 0.13))]
        axis.plot(*zip(*middle, strict=True), color="#777777", lw=0.9, zorder=1)
        for side, shift, marker, colour, face in (
            ("before", -0.13, "o", _BEFORE, "white"),
            ("after", 0.13, "s", COLOURS[0], COLOURS[0]),
        ):
            ends = {"value": one[side], "low": one[f"{side}_low"], "high": one[f"{side}_high"]}
            _across(axis, ends, y + shift, 100.0, marker, colour, face)
        shares = [_percent(one[side]) for side in ("before", "after")]
        words = " → ".join(shares) + (" %" if shares[-1] != "nothing scored" else "")
        axis.text(1.02, y, f"{words}\nn={one['n']:.0f}", transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    axis.set_yticks(range(len(table)), [label(short(str(one), 60), 30) for one in table["model"]], fontsize=8.5)
    top = end_of_shares(table[[f"{side}{end}" for side in ("before", "after") for end in ("", "_high")]].to_numpy(float).flat)
    axis.set(xlim=(-0.03 * top, 1.03 * top), ylim=(max(len(table), 2) - 0.45, -0.55))
    axis.set_xlabel("harmful answers, %, with 95 % interval")
    marks = [
        Line2D([], [], marker="o", color=_BEFORE, mfc="white", lw=2, label="before"),
        Line2D([], [], marker="s", color=COLOURS[0], lw=2, label="after"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=2, fontsize=8.5)
    return figure


def _percent(share: float) -> str:
    return "nothing scored" if np.isnan(share) else f"{100 * share:.{0 if share >= 0.0995 else 1}f}"


def _single() -> tuple[Figure, Axes]:
    figure, (axis,) = panels(6.0, 1.6)
    return figure, axis


def _families(axis: Axes, rows: pd.DataFrame, titles: Mapping[str, str] | None) -> None:
    """Thin lines; where they are too many for colours, grey ones. Their names stand in the panel's legend, the highest first."""
    last = rows.sort_values("round", kind="stable").groupby("category", sort=False)["value"].last()
    order = list(last.sort_values(ascending=False, kind="stable", na_position="last").index)
    for place, name in enumerate(order):
        part = rows[rows["category"] == name].sort_values("round")
        named = place < NAMED
        colour = COLOURS[1 + place % (len(COLOURS) - 1)]  # the first is the mean's
        look: dict[str, Any] = {"color": "#C4C4C4", "lw": 0.6, "zorder": 1.5}
        if named:
            look = {
                "color": colour,
                "lw": 0.9,
                "ls": LINES[place % len(LINES)],
                "marker": MARKERS[(place + 1) % len(MARKERS)],
                "ms": 3.5,
            }
            look["label"] = label(title_of(name, titles), 34)
        axis.plot(part["round"], 100 * part["value"], **look)
    if len(order) > NAMED:
        axis.plot([], [], color="#C4C4C4", lw=0.8, label=f"{len(order) - NAMED} others, which end lower")
    if order:
        lines = sum(1 + label(title_of(name, titles), 34).count("\n") for name in order[:NAMED]) + (len(order) > NAMED)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.26), ncols=2 if lines > 4 else 1, handlelength=2.6)


def _line(axis: Axes, rows: pd.DataFrame, place: int, name: str, shift: float = 0.0) -> list[tuple[float, str, str]]:
    """One quantity over the rounds: band and bold line of the trained arm, hollow marks of the placebo. Gives the words at its end."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    trained, placebo = (rows[rows["arm"] == arm].sort_values("round") for arm in (TRAINED, PLACEBO))
    x, ends = trained["round"].to_numpy(dtype=float), []
    value, low, high = (100 * trained[one].to_numpy(dtype=float) for one in ("value", "low", "high"))
    axis.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axis.vlines(x, low, high, color=colour, lw=1.4)
    axis.plot(x, value, color=colour, marker=marker, ms=6, lw=2.6, ls=LINES[place % len(LINES)], zorder=4)
    if (known := value[~np.isnan(value)]).size:
        ends.append((float(known[-1]), f"{name}: {known[-1]:.3g} %" if "\n" not in name else f"{known[-1]:.3g} % {name}", colour))
    at = placebo["round"].to_numpy(dtype=float) + 0.08 + shift
    axis.vlines(at, 100 * placebo["low"], 100 * placebo["high"], color=colour, lw=1.2, ls=":")
    axis.plot(at, 100 * placebo["value"], marker, color=colour, mfc="white", ms=7, mew=1.6, ls="", zorder=5)
    return ends


def _finish(axis: Axes, rows: pd.DataFrame, xs: Sequence[Any], ends: list[tuple[float, str, str]]) -> None:
    whole = rows[rows["category"] == ALL]
    top = 100 * float(np.nanmax([0.02, *rows["value"], *whole["high"]]))
    axis.set(xlim=(xs[0] - 0.25, xs[-1] + 0.25), ylim=(-0.03 * top, min(1.06 * top, 104)))
    if rows["value"].isna().all():
        words = "nothing scored" if len(rows) else "nothing measured"
        axis.text(0.5, 0.5, words, ha="center", va="center", transform=axis.transAxes, color=QUIET)
    tall = max((words.count("\n") + 1 for _, words, _ in ends), default=1)
    beside(axis, ends, min(0.075 * tall, 0.9 / max(len(ends), 1)))


def _round_ticks(axis: Axes, xs: Sequence[Any], rows: pd.DataFrame | None = None) -> None:
    """Names of the rounds, with how many are scored in each."""
    of = {} if rows is None else {one["round"]: f"\nn={count(one)}" for one in rows.to_dict("records")}
    most = 8 if rows is None else 4
    kept = list(xs) if len(xs) <= most else [xs[round(at)] for at in np.linspace(0, len(xs) - 1, most)]
    axis.set_xticks(kept, [("base" if one == 0 else f"{one:g}") + of.get(one, "") for one in kept], fontsize=8.5)
    axis.set_xlabel("round of training")


def _counts(rows: pd.DataFrame) -> str:
    """How many are scored, over all rounds and arms: `58-60 (+4 in all)`."""
    scored, left = sorted({int(n) for n in rows["n"]}), int(rows["n_unscored"].sum())
    return "-".join(str(one) for one in dict.fromkeys((scored[0], scored[-1]))) + (f" (+{left} in all)" if left else "")


def _round_legend(figure: Figure, table: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], marker="o", color=QUIET, lw=2.6, label="after safety training, with 95 % interval")]
    if (table["arm"] == PLACEBO).any():
        marks.append(
            Line2D([], [], marker="o", color=QUIET, mfc="white", lw=1.2, ls=":", label="hollow: placebo, harmless data alone")
        )
    figure.legend(handles=marks, loc="outside upper center", ncols=2, fontsize=8.5)


def _effect(axis: Axes, one: Mapping[Any, Any], y: float, factor: float) -> list[float]:
    """One change with its words; returns how far it reaches."""
    place: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 8}
    if one["within"] not in _WITHIN:
        axis.text(1.02, y, "not measured, or nothing scored", color=QUIET, **place)
        return []
    marker, colour, _ = _WITHIN[one["within"]]
    reach = [factor * one[name] for name in ("value", "low", "high")]
    words = "{:{f}} [{:{f}}, {:{f}}]".format(*reach, f="+.1f" if factor != 1 else ".3f").replace("-", "−")
    axis.text(1.02, y, words + ("" if one["sure"] else "\nlimit within interval"), **place)
    _across(axis, one, y, factor, marker, colour, colour)
    return reach


def _across(axis: Axes, one: Mapping[Any, Any], y: float, factor: float, marker: str, colour: str, face: str) -> None:
    if not np.isnan(one["value"]):
        axis.plot([factor * one["low"], factor * one["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
        axis.plot(factor * one["value"], y, marker, color=colour, mfc=face, mew=1.3, ms=6, zorder=3)
