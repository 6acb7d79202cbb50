"""Figures of rates: Table 1, topics, severities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, PUBLISHED, UNSCORED, label, legend, metric_title, nothing, panels, styled, wrapped
from rai_kit.schema import SEVERITY_MAX, UNGROUNDEDNESS_MAX

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def table1(estimates: pd.DataFrame, published: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Table 1 as dots: one panel a category, one row a model; measured filled with a 95 % interval, published hollow.

    Args:
        estimates: As `metrics.estimate_table` gives it; rows with topic `all` are drawn.
        published: Columns `model`, `category`, `value`; may be empty.
        titles: Category -> title, in the order of the panels.
    """
    measured = estimates[(estimates["topic"] == "all") & (estimates["metric"] != "refusal")]
    names = list(dict.fromkeys(measured["model"]))
    others = list(dict.fromkeys(published["model"])) if len(published) else []
    categories = [category for category in titles if category in set(measured["category"])]
    rows = {name: position for position, name in enumerate([*names, *others])}
    if not categories:
        return nothing(*panels(6.0, 1.6), "no estimates to show")
    across, down = _grid(len(categories))
    figure, axes = panels(1.9 + 1.75 * across, (1.4 + 0.27 * len(rows)) * down, across, down, sharey=True)
    for axis, category in zip(axes, categories, strict=False):
        part = measured[measured["category"] == category]
        metric = str(part["metric"].iloc[0])
        scale, top = (1.0, UNGROUNDEDNESS_MAX) if metric == "ungroundedness" else (100.0, 100.0)
        for _, row in part.iterrows():
            y, colour = rows[row["model"]], COLOURS[names.index(row["model"]) % len(COLOURS)]
            if np.isnan(row["value"]):
                axis.annotate("nothing scored", (0.02 * top, y), va="center", fontsize=8, color="#555555")
                continue
            axis.plot([scale * row["low"], scale * row["high"]], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
            axis.plot(scale * row["value"], y, "o", color=colour, ms=7)
            words = f"{scale * row['value']:.3g}, n={row['n']:.0f}" + (
                f", {row['n_unscored']:.0f} unscored" if row["n_unscored"] else ""
            )
            side = "left" if row["value"] * scale < 0.3 * top else "right" if row["value"] * scale > 0.7 * top else "center"
            x = {"left": 0.0, "center": scale * row["value"], "right": top}[side]
            place: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": side}
            axis.annotate(words, (x, y), fontsize=7.5, color=colour, **place)
        for _, row in published[published["category"] == category].iterrows() if len(published) else ():
            axis.plot(scale * row["value"], rows[row["model"]], "o", mfc="white", mec=PUBLISHED, mew=1.5, ms=6)
        axis.set_title(wrapped(titles[category]))
        axis.set_xlabel(metric_title(metric))
        axis.set_xlim(-0.03 * top, 1.05 * top)
        if names and others:
            axis.axhline(len(names) - 0.5, color="#BBBBBB", lw=0.8, ls=":")
    _rest(axes, len(categories))
    axes[0].set_yticks(
        list(rows.values()), [label(name, 36, 1) for name in names] + [label(f"{name} (published)", 36, 1) for name in others]
    )
    axes[0].set_ylim(len(rows) - 0.4, -0.9)
    return figure


@styled
def topics(estimates: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """The primary metric of every topic with its 95 % interval: one panel a category, models side by side."""
    part = estimates[(estimates["topic"] != "all") & (estimates["metric"] != "refusal")]
    names = list(dict.fromkeys(estimates["model"]))
    categories = [category for category in titles if category in set(part["category"])]
    tallest = max((part.loc[part["category"] == category, "topic"].nunique() for category in categories), default=1)
    if not categories:
        return nothing(*panels(6.0, 1.6), "no topics to show")
    across, down = _grid(len(categories))
    figure, axes = panels(max(5.0, 1.0 + 2.35 * across), (1.5 + (0.26 + 0.16 * len(names)) * tallest) * down, across, down)
    for axis, category in zip(axes, categories, strict=False):
        rows = part[part["category"] == category]
        found = sorted(set(rows["topic"]))
        metric = str(rows["metric"].iloc[0])
        scale, top = (1.0, UNGROUNDEDNESS_MAX) if metric == "ungroundedness" else (100.0, 100.0)
        for _, row in rows.iterrows():
            y = found.index(row["topic"]) + 0.22 * (names.index(row["model"]) - (len(names) - 1) / 2)
            colour = COLOURS[names.index(row["model"]) % len(COLOURS)]
            axis.plot([scale * row["low"], scale * row["high"]], [y, y], color=colour, lw=2)
            axis.plot(scale * row["value"], y, "o", color=colour, ms=5.5)
        counts = rows.groupby("topic")["n"].max()
        axis.set_yticks(range(len(found)), [f"{topic.replace('_', ' ')}\nn={counts[topic]:.0f}" for topic in found], fontsize=8)
        axis.set_ylim(len(found) - 0.5, -0.5)
        axis.set_xlim(-0.03 * top, 1.03 * top)
        axis.set_title(wrapped(titles[category]))
        axis.set_xlabel(metric_title(metric))
    _rest(axes, len(categories))
    legend(figure, names)
    return figure


@styled
def severity_distribution(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """How severe the worst answer of each conversation was: shares of each score, and of the unscored, by model and category.

    Args:
        table: As `metrics.verdict_table` gives it.
        titles: Category -> title, in the order of the bars.
    """
    import matplotlib.pyplot as plt

    if not len(table):
        return nothing(*panels(6.0, 1.6), "no conversations to show")
    order = {category: position for position, category in enumerate(titles)}
    groups = sorted(table.groupby(["category", "model"], sort=False), key=lambda item: (order[str(item[0][0])], str(item[0][1])))
    severe = [group for group in groups if not group[1]["ungroundedness"].notna().any()]
    grounded = [group for group in groups if group[1]["ungroundedness"].notna().any()]
    scales = [
        (severe, SEVERITY_MAX, "severity", "severity of the worst answer (0 none, 7 extreme)"),
        (grounded, UNGROUNDEDNESS_MAX, "ungroundedness", "ungroundedness of the worst answer (0 grounded, 4 not)"),
    ]
    shown = [scale for scale in scales if scale[0]]
    several = table["model"].nunique() > 1
    heights = [0.55 + 0.42 * len(part) for part, *_ in shown] or [1.0]
    figure, axes = panels(9.2, 1.1 * len(heights) + sum(heights), rows=len(heights), height_ratios=heights)
    for axis, (part, top, column, what) in zip(axes, shown, strict=False):
        shades = plt.get_cmap("YlOrBr")(np.linspace(0.02, 1.0, top + 1))
        labels = []
        for y, ((category, model), rows) in enumerate(part):
            left, total = 0.0, len(rows)
            scores = rows.loc[rows["scored"], column].round()
            for score in range(top + 1):
                share = 100 * float((scores == score).sum()) / total
                axis.barh(
                    y, share, left=left, color=shades[score], edgecolor="white", lw=0.6, label=str(score) if y == 0 else None
                )
                if share >= 6:
                    dark = float(np.dot(shades[score][:3], (0.299, 0.587, 0.114))) < 0.5
                    axis.text(
                        left + share / 2, y, f"{score}", ha="center", va="center", fontsize=8, color="white" if dark else "black"
                    )
                left += share
            if left < 99.999:
                name = "unscored" if y == 0 else None
                axis.barh(y, 100 - left, left=left, color=UNSCORED, edgecolor="#888888", hatch="////", lw=0.6, label=name)
            labels.append(label(titles[str(category)]) + (f"\n{label(model, 36, 1)}" if several else "") + f"  (n={total})")
        axis.set_yticks(range(len(part)), labels, fontsize=8.5)
        axis.set_ylim(len(part) - 0.5, -0.5)
        axis.set_xlim(0, 100)
        axis.set_xlabel("% of conversations")
        axis.set_title(what)
        axis.grid(False)
        axis.legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7.5, handlelength=1.0)
    return figure


def _grid(number: int) -> tuple[int, int]:
    """Panels side by side, and rows of them: up to six in one row."""
    down = -(-number // 6)
    return -(-number // down), down


def _rest(axes: list[Axes], number: int) -> None:
    for axis in axes[number:]:
        axis.set_visible(False)
