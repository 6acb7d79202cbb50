"""Figures of the red team: where a model breaks, with how many queries, what to look at first, who gets there."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.plots.style import COLOURS, QUIET, beside, count, label, nothing, panels, styled, title_of
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW, PALE = 5, 0.4
"""Below so many scored attempts a cell's words are grey, and it has only this share of its tint: little evidence looks like little."""
NONE = "no attempts to show"
_OTHERS = "#CFCFCF"
_RATE = {"rank", "k", "value", "low", "high", "n", "n_unscored", "bound_low", "bound_high", "n_goals", "method", "successes"}
_CELL = (0.58, 0.5)  # inches


@styled
def heat_map(
    rates: pd.DataFrame, rows: str = "category", columns: str = "strategy", titles: Mapping[str, str] | None = None
) -> Figure:
    """Success rate of every cell: per cent and tint, below it the 95 % interval and n (+k unscored); pale where n is below 5.

    Cells in which nothing is scored are hatched. Rows and columns stand in the order of their rate over all if it is given, else of the
    mean of their cells; the largest first, `all` last.

    Args:
        rates: As `metrics.attacks.attack_success` gives it for both columns; rows whose category or strategy is `all` are the margins.
        rows: Column whose values are the rows.
        columns: Column whose values are the columns.
        titles: Value -> its title.

    Raises:
        InputError: Two rates for one cell.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    _once(rates, [rows, columns])
    down, across = _by_rate(rates, rows, columns), _by_rate(rates, columns, rows)
    cells = {(one[rows], one[columns]): one for one in rates.to_dict("records")}
    figure, (axis,) = panels(2.4 + _CELL[0] * max(len(across), 6), 1.9 + _CELL[1] * max(len(down), 2))
    if not cells:
        return nothing(figure, axis, NONE)
    shade = plt.get_cmap("Blues")
    for y, x in np.ndindex(len(down), len(across)):
        one = cells.get((down[y], across[x]), {"n": 0, "n_unscored": 0})
        left = f"+{one['n_unscored']:.0f}" if one["n_unscored"] else ""
        words: dict[str, Any] = {"ha": "center", "va": "center"}
        box: dict[str, Any] = {"edgecolor": "#999999", "facecolor": "white", "hatch": "////", "lw": 0.8}
        if one["n"]:
            few = one["n"] < FEW
            colour = np.array(shade(0.92 * one["value"])[:3])
            colour = 1 - PALE * (1 - colour) if few else colour
            dark = float(np.dot(colour, (0.299, 0.587, 0.114))) < 0.47
            words["color"] = ("#D5DCE4" if few else "white") if dark else ("#5C5C5C" if few else "black")
            axis.text(x, y - 0.2, f"{100 * one['value']:.0f}", fontsize=9.5, weight="normal" if few else "bold", **words)
            small = f"{100 * one['low']:.0f}–{100 * one['high']:.0f}\nn={one['n']:.0f}{left}"
            axis.text(x, y + 0.2, small, fontsize=6.3, linespacing=1.05, **words)
            box = {"edgecolor": "white", "facecolor": colour, "lw": 0.8}
        else:
            plain = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
            axis.text(x, y, f"n=0{left}", fontsize=6.3, color=QUIET, bbox=plain, **words)
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **box))
    if down[-1] == "all" and len(down) > 1:
        axis.axhline(len(down) - 1.5, color="black", lw=1.4)
    if across[-1] == "all" and len(across) > 1:
        axis.axvline(len(across) - 1.5, color="black", lw=1.4)
    axis.set_xticks(
        range(len(across)), [label(title_of(one, titles), 26) for one in across], rotation=55, ha="left", rotation_mode="anchor"
    )
    axis.set_yticks(range(len(down)), [label(title_of(one, titles), 30) for one in down])
    axis.xaxis.tick_top()
    axis.tick_params(length=0, labelsize=8.5)
    axis.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5))
    axis.grid(False)
    axis.spines[:].set_visible(False)
    shades = [Patch(facecolor=shade(0.92 * share / 100), edgecolor="#999999", label=f"{share} %") for share in range(0, 101, 25)]
    shades.append(Patch(facecolor="white", edgecolor="#999999", hatch="////", label="nothing scored"))
    words_below = f"success rate{_at(rates)}, % of attempts; 95 % interval; n scored (+unscored); pale where n is below {FEW}"
    axis.set_xlabel(textwrap.fill(words_below, max(44, 11 * len(across))), fontsize=8)
    figure.legend(handles=shades, loc="outside lower center", ncols=3 if len(across) < 8 else 6, fontsize=8)
    return figure


@styled
def asr_at_k(curves: pd.DataFrame, by: str = "strategy", titles: Mapping[str, str] | None = None) -> Figure:
    """Success within k queries, with its 95 % interval as a band; n (+k unscored) is that at the last k.

    Up to six groups share a panel, each with its name at the end of its line; more get a panel each, over the others in grey.

    Args:
        curves: As `metrics.attacks.asr_curve` gives it.
        by: Column whose values are the lines.
        titles: Value -> its title.

    Raises:
        InputError: Two rates for one line and k.
    """
    _once(curves, [by, "k"])
    parts = {str(name): part.sort_values("k") for name, part in curves.groupby(by, sort=False)}
    names = sorted(parts, key=lambda name: (-np.nan_to_num(parts[name]["value"].iloc[-1], nan=-1.0), name))
    together = len(names) <= 6
    across = 1 if together else min(5, len(names))
    down = 1 if together else -(-len(names) // across)
    size = (7.6, 4.2) if together else (0.5 + 2.1 * across, 0.7 + 1.75 * down)
    figure, axes = panels(*size, across, down, sharex=True, sharey=True)
    if not names:
        return nothing(figure, axes[0], NONE)
    top = 100 * np.nanmax([0.1, *curves["high"].to_numpy(dtype=float)])
    last = int(curves["k"].max())
    for axis in axes:
        axis.set(xlim=(0.9 - 0.02 * last, last + 0.1 + 0.02 * last), ylim=(-0.03 * top, 1.03 * top))
        axis.set_xticks(range(1, last + 1, -(-last // 10)))
    broken = [np.append(part[["k", "value"]].to_numpy(dtype=float), [[np.nan, np.nan]], axis=0) for part in parts.values()]
    others = np.concatenate(broken).T * [[1], [100]]  # one line with gaps: hundreds of lines would take half a minute
    ends: list[tuple[float, str, str]] = []
    for place, name in enumerate(names):
        axis, colour = (axes[0], COLOURS[place]) if together else (axes[place], COLOURS[0])
        if not together:
            axis.plot(*others, color=_OTHERS, lw=0.8, zorder=1)
        _curve(axis, parts[name], colour)
        words = _end(parts[name])
        if together:
            end = 100 * parts[name]["value"].dropna()
            ends.append(
                (
                    float(end.iloc[-1]) if len(end) else 0.0,
                    f"{label(title_of(name, titles), 36, 1)}: {words}",
                    colour if len(end) else "none",
                )
            )
        else:
            axis.set_title(label(title_of(name, titles), 24, 1), pad=14, fontsize=8.8)
            axis.text(0, 1.03, words, transform=axis.transAxes, fontsize=7.5, color=QUIET)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
        above = axes[axes.index(axis) - across]
        above.tick_params(labelbottom=True)
    beside(axes[0], ends)
    budgets = sorted(set(curves["budget"])) if "budget" in curves else [last]
    budget = "-".join(str(int(one)) for one in dict.fromkeys((budgets[0], budgets[-1])))
    figure.supxlabel(f"k: queries allowed (budget {budget})", fontsize=9.5)
    figure.supylabel("success within k queries, % of attempts", fontsize=9.5)
    return figure


@styled
def weakness_ranking(table: pd.DataFrame, titles: Mapping[str, str] | None = None, most: int = 20) -> Figure:
    """The ranked cells: rate, 95 % interval, n (+k unscored), and how low the rate may be when all cells are looked at together.

    Args:
        table: As `metrics.attacks.weaknesses` gives it.
        titles: Value -> its title.
        most: Cells that are drawn; the number of those left out stands under the figure.
    """
    by = [name for name in table.columns if name not in _RATE | {"judge", "low_simultaneous"}]
    shown = table.head(most).to_dict("records")
    figure, (axis,) = panels(8.4, 1.5 + 0.27 * max(len(shown), 2))
    if not shown:
        return nothing(figure, axis, "no cell with enough scored attempts")
    blue, red = COLOURS[:2]
    for y, one in enumerate(shown):
        low = 100 * one["low_simultaneous"]
        axis.plot([low, 100 * one["low"]], [y, y], color=red, lw=0.9, ls=":")
        axis.plot(low, y, "|", color=red, ms=9, mew=2, label="lower bound for all ranked cells at once" if y == 0 else None)
        _interval(axis, one, y, blue, "success rate, 95 % interval" if y == 0 else None)
    labels = [
        f"{one['rank']}. {label(', '.join(title_of(one[name], titles) for name in by), 56, 1)}  n={count(one)}" for one in shown
    ]
    axis.set_yticks(range(len(shown)), labels, fontsize=8.5)
    axis.set(xlim=(-3, 103), ylim=(len(shown) - 0.4, -0.6))
    rest = len(table) - len(shown)
    axis.set_xlabel(f"success rate{_at(table)}, % of attempts" + (f"\n{rest} more ranked cells are not shown" if rest else ""))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


@styled
def persona_rates(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> Figure:
    """Every persona's share-weighted success (dot), and the goals that it broke at least once (diamond), with 95 % intervals and n.

    Args:
        table: As `metrics.attacks.persona_success` gives it.
        titles: Persona -> its title.
    """
    figure, (axis,) = panels(7.6, 1.5 + 0.75 * max(len(table), 1))
    if not len(table):
        return nothing(figure, axis, NONE)
    for y, one in enumerate(table.to_dict("records")):
        broken = {"value": one["any"], "low": one["any_low"], "high": one["any_high"], "n": one["any_n"]}
        _interval(axis, one, y - 0.16, COLOURS[0], "one attempt, strategies by their share" if y == 0 else None)
        _interval(axis, broken, y + 0.2, COLOURS[1], "goals broken by at least one strategy" if y == 0 else None, "D")
        for at, part, left in ((y - 0.16, one, one["n_unscored"]), (y + 0.2, broken, one["any_unscored"])):
            words = "" if np.isnan(part["value"]) else f"{100 * part['value']:.0f} %, "
            axis.text(1.02, at, f"{words}n={count({'n': part['n'], 'n_unscored': left})} goals", fontsize=8, va="center",
                      transform=axis.get_yaxis_transform())  # fmt: skip
    axis.set_yticks(range(len(table)), [label(title_of(one, titles)) for one in table["persona"]])
    axis.set(xlim=(-3, 103), ylim=(len(table) - 0.4, -0.6))
    axis.set_xlabel(f"success{_at(table)}, %")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _at(table: pd.DataFrame) -> str:
    """How many queries these rates are of."""
    several = sorted(set(table["k"])) if "k" in table else []
    return f" within {several[0]:.0f} quer{'y' if several[0] == 1 else 'ies'}" if len(several) == 1 else ""


def _once(table: pd.DataFrame, keys: Sequence[str]) -> None:
    if len(twice := table[table.duplicated(list(keys))]):
        where = ", ".join(f"{key} {twice[key].iloc[0]}" for key in keys)
        raise InputError(f"several rates for {where}; give the figure the rates of one model, arm, way and judge.")


def _by_rate(rates: pd.DataFrame, name: str, other: str) -> list[str]:
    """The values of a column, those with the largest rate first and `all` last."""
    margin = rates[(rates[other] == "all") & (rates[name] != "all")].set_index(name)["value"]
    means = rates[(rates[name] != "all") & (rates[other] != "all")].groupby(name)["value"].mean()
    values = set(rates[name]) - {"all"}
    rate = {value: np.nan_to_num(margin.get(value, means.get(value, np.nan)), nan=-1.0) for value in values}
    return [*sorted(values, key=lambda one: (-rate[one], one)), *(["all"] if "all" in set(rates[name]) else [])]


def _curve(axis: Axes, part: pd.DataFrame, colour: str) -> None:
    k, scored = part["k"].to_numpy(dtype=float), part["value"].notna().to_numpy()
    low, value, high = (100 * part[name].to_numpy(dtype=float) for name in ("low", "value", "high"))
    if scored.sum() == 1:  # a band without width shows nothing
        axis.plot(np.repeat(k[scored], 2), [low[scored], high[scored]], color=colour, lw=1.6)
    axis.fill_between(k, low, high, color=colour, alpha=0.12, lw=0)
    for edge in (low, high):
        axis.plot(k, edge, color=colour, lw=0.6, ls=":")
    axis.plot(k, value, color=colour, lw=1.8, marker="o", ms=3.2)


def _end(part: pd.DataFrame) -> str:
    """What a curve comes to."""
    one = part.iloc[-1].to_dict()
    return f"n={count(one)}, nothing scored" if np.isnan(one["value"]) else f"{100 * one['value']:.0f} %, n={count(one)}"


def _interval(axis: Axes, one: Mapping[Any, Any], y: float, colour: str, words: str | None, marker: str = "o") -> None:
    """A rate and its interval; words where there is none."""
    if np.isnan(one["value"]):
        axis.annotate("nothing scored", (1, y), va="center", fontsize=7.5, color=QUIET)
    axis.plot([100 * one["low"], 100 * one["high"]], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
    axis.plot(100 * one["value"], y, marker, color=colour, ms=5.5)
    if words is not None:
        axis.plot([], [], marker, color=colour, ls="-", lw=2.2, ms=5.5, label=words)
