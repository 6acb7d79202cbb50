"""One style for all figures: colours that colour-blind readers can tell apart, room for labels, the same bytes for the same figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from rai_kit.cache import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart with every common kind of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A7A7A")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
LINES: Any = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 2.5)))
PUBLISHED = "#8C8C8C"
QUIET = "#555555"
UNSCORED = "#FFFFFF"
STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 130,
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


Arguments = ParamSpec("Arguments")


def end_of_shares(shares: Iterable[float]) -> int:
    """Percent at which an axis of shares (0-1) ends: small rates are seen best on a scale of their own."""
    most = max((share for share in shares if not math.isnan(share)), default=1.0)
    return min(100, 10 * math.ceil(10 * most + 0.5))


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draws in the kit's style, and takes the figure out of pyplot's hands, so that a notebook shows it once."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **settings: Arguments.kwargs) -> Figure:
        import matplotlib.pyplot as plt

        with plt.rc_context(STYLE):
            figure = draw(*args, **settings)
            plt.close(figure)
        return figure

    return drawn


def panels(width: float, height: float, columns: int = 1, rows: int = 1, **settings: Any) -> tuple[Figure, list[Axes]]:
    """A figure of that size in inches, and its axes row by row."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **settings)
    return figure, list(axes.flat)


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as PNG or SVG, the same bytes for the same figure, and returns the path."""
    path = Path(path)
    kind = path.suffix.lstrip(".") or "png"
    hidden: dict[str, Any] = {"Software": None} if kind == "png" else {"Date": None}
    write_whole(path, lambda partial: figure.savefig(partial, format=kind, metadata=hidden))
    return path


def wrapped(title: str) -> str:
    """A title in lines of about 16 characters."""
    return label(title, 16, 4)


def short(name: str, most: int = 36) -> str:
    """A model's name that leaves room for the figure; both ends say which it is."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"


def label(text: Any, width: int = 30, lines: int = 2) -> str:
    """A name in a few lines of at most that width; one that does not fit loses its middle. No `$` in it starts a formula."""
    whole, room = str(text), width * lines
    shown = whole
    while len(parts := textwrap.wrap(shown, width) or [""]) > lines:
        room -= 2
        shown = short(whole, room)
    return "\n".join(parts).replace("$", r"\$")


def title_of(value: Any, titles: Mapping[Any, str] | None) -> str:
    """A value's title, or the value with its underscores as spaces."""
    return (titles or {}).get(value, str(value).replace("_", " "))


def count(one: Mapping[Any, Any]) -> str:
    """How many are scored, and how many are not: `40 (+2)`."""
    return f"{one['n']:.0f}" + (f" (+{one['n_unscored']:.0f})" if one["n_unscored"] else "")


def nothing(figure: Figure, axes: Axes | Sequence[Axes], words: str) -> Figure:
    """A figure of one panel that says why there is nothing in it."""
    axis = axes[0] if isinstance(axes, Sequence) else axes
    axis.text(0.5, 0.5, words, ha="center", va="center", transform=axis.transAxes, color=QUIET)
    axis.set_axis_off()
    return figure


def beside(axis: Axes, ends: Sequence[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Words at the right of lines' ends (height, words, colour), pushed apart by that share of the axis so that they can be read."""
    bottom, top = axis.get_ylim()
    gap *= top - bottom
    places: list[float] = []
    for height, _, _ in sorted(ends):
        places.append(max(height, bottom, places[-1] + gap if places else bottom))
    if places and places[-1] > top:  # what was pushed over the top goes back down, and takes those below with it
        places = [min(place, top - gap * (len(places) - 1 - at)) for at, place in enumerate(places)]
    for (height, words, colour), place in zip(sorted(ends), places, strict=True):
        arrow = {"arrowstyle": "-", "color": colour, "lw": 1.4, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
        axis.annotate(words, (1.0, height), xytext=(1.04, place), xycoords=axis.get_yaxis_transform(), annotation_clip=False,
                      textcoords=axis.get_yaxis_transform(), va="center", fontsize=8.5, color="#333333", arrowprops=arrow)  # fmt: skip


def metric_title(metric: str) -> str:
    """What stands under the axis of a metric."""
    return "mean score, 0-4" if metric == "ungroundedness" else f"{metric}, %"


def across(figure: Figure, names: Sequence[str], most: int = 4) -> int:
    """How many names of a legend have room side by side."""
    longest = max((len(line) for name in names for line in name.split("\n")), default=1)
    return max(1, min(most, len(names), int(figure.get_figwidth() / (0.6 + 0.085 * longest))))


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Names the models above the panels, where there is more than one."""
    if len(names) < 2:
        return
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], marker="o", color=COLOURS[index % len(COLOURS)], lw=2) for index in range(len(names))]
    words = [label(name, 36, 1) for name in names]
    figure.legend(marks, words, loc="outside upper center", ncols=across(figure, words))
