"""Figures of the red team: what is drawn where, from tables of known numbers."""

import math
from itertools import pairwise

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from rai_kit.metrics import attacks as measures
from rai_kit.metrics import attempt_table
from rai_kit.plots import attacks as plots
from rai_kit.plots.style import save
from rai_kit.schema import InputError


def painted(figure, tmp_path):
    """Draws the figure; it is not blank, and nothing of it is cut off."""
    pixels = matplotlib.image.imread(save(figure, tmp_path / "figure.png"))
    assert len(np.unique(pixels[..., 0])) > 20
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def rate(value=0.25, n=20, n_unscored=0, **labels):
    """A row as `attack_success` makes it; None as value: nothing scored."""
    ends = {"value": math.nan, "low": math.nan, "high": math.nan} if value is None else {
        "value": value, "low": value / 2, "high": (1 + value) / 2
    }  # fmt: skip
    rest = {"bound_low": 0.0, "bound_high": 1.0, "n_goals": n, "method": "Wilson", "judge": "j"}
    return labels | {"k": 4} | ends | {"n": 0 if value is None else n, "n_unscored": n_unscored} | rest


def cells(*rows):
    return pd.DataFrame([rate(category=category, strategy=strategy, **more) for category, strategy, more in rows])


def labels(axis, which="y"):
    found = axis.get_yticklabels() if which == "y" else axis.get_xticklabels()
    return [label.get_text() for label in found]


def words_at(axis, x, y):
    return [text.get_text() for text in axis.texts if text.get_position()[0] == x and abs(text.get_position()[1] - y) < 0.5]


def points(axis, marker):
    return [
        tuple(np.ravel(line.get_xydata()).round(6))
        for line in axis.lines
        if line.get_marker() == marker and len(line.get_xdata())
    ]


class TestHeatMap:
    TABLE = cells(
        ("fraud", "direct", {"value": 0.2}),
        ("fraud", "base64", {"value": 0.6, "n": 3, "n_unscored": 2}),
        ("hate", "direct", {"value": 0.0}),
        ("hate", "base64", {"value": None, "n_unscored": 4}),
        ("theft", "direct", {"value": 1.0}),
    )

    def test_every_cell_says_rate_interval_and_n(self, tmp_path):
        figure = plots.heat_map(self.TABLE, titles={"fraud": "Fraud and scams"})
        axis = figure.axes[0]
        assert labels(axis) == ["theft", "Fraud and scams", "hate"], "by the mean of their cells"
        assert labels(axis, "x") == ["base64", "direct"]
        assert words_at(axis, 0, 1) == ["60", "30–80\nn=3+2"]
        assert words_at(axis, 1, 1) == ["20", "10–60\nn=20"]
        assert words_at(axis, 1, 2) == ["0", "0–50\nn=20"]
        assert words_at(axis, 0, 2) == ["n=0+4"]
        assert words_at(axis, 0, 0) == ["n=0"], "never tried"
        assert "within 4 queries" in axis.get_xlabel().replace("\n", " ")
        painted(figure, tmp_path)

    def test_nothing_scored_is_hatched_and_harmless_is_not(self):
        axis = plots.heat_map(self.TABLE).axes[0]
        hatched = {(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in axis.patches if patch.get_hatch()}
        assert hatched == {(0, 0), (0, 2)}

    def test_higher_is_darker_and_few_are_grey(self):
        axis = plots.heat_map(self.TABLE).axes[0]
        tint = {(p.get_x() + 0.5, p.get_y() + 0.5): sum(p.get_facecolor()[:3]) for p in axis.patches if not p.get_hatch()}
        assert tint[(1, 2)] > tint[(1, 1)] > tint[(0, 1)] > tint[(1, 0)]
        words = {text.get_text(): text for text in axis.texts}
        assert words["60"].get_fontweight() == "normal"
        assert words["60"].get_color() not in ("black", "white")
        assert (words["20"].get_color(), words["100"].get_color()) == ("black", "white")

    def test_margins_go_last_and_decide_the_order(self):
        margins = cells(
            ("fraud", "all", {"value": 0.9}), ("hate", "all", {"value": 0.1}), ("theft", "all", {"value": 0.5}),
            ("all", "direct", {"value": 0.8}), ("all", "base64", {"value": 0.2}), ("all", "all", {"value": 0.5, "n": 80}),
        )  # fmt: skip
        axis = plots.heat_map(pd.concat([margins, self.TABLE])).axes[0]
        assert labels(axis) == ["fraud", "theft", "hate", "all"]
        assert labels(axis, "x") == ["direct", "base64", "all"]
        assert words_at(axis, 2, 3) == ["50", "25–75\nn=80"]

    def test_two_rates_for_a_cell_are_an_error(self):
        with pytest.raises(InputError, match=r"several rates for category fraud, strategy direct"):
            plots.heat_map(pd.concat([self.TABLE, self.TABLE]))

    def test_a_large_map_is_drawn(self):
        rng = np.random.default_rng(0)
        table = cells(*((f"category_{i:02d}", f"strategy_{j}", {"value": rng.random()}) for i in range(30) for j in range(20)))
        axis = plots.heat_map(table).axes[0]
        assert (len(labels(axis)), len(labels(axis, "x")), len(axis.patches)) == (30, 20, 600)


def curve(names, values=(0.1, 0.3, 0.4), budget=3, **more):
    rows = [
        rate(value, strategy=name, **more) | {"k": k, "budget": budget} for name in names for k, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows)


class TestCurves:
    def test_few_lines_share_a_panel_and_carry_their_names(self, tmp_path):
        table = pd.concat([curve(["direct"], n_unscored=1), curve(["novel"], values=(0.2, 0.2, 0.9))])
        figure = plots.asr_at_k(table, titles={"novel": "Fictional frame"})
        (axis,) = figure.axes
        lines = [line for line in axis.lines if line.get_marker() == "o"]
        assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([20, 20, 90]), pytest.approx([10, 30, 40])]
        assert sorted(text.get_text() for text in axis.texts) == ["Fictional frame: 90 %, n=20", "direct: 40 %, n=20 (+1)"]
        assert len(axis.collections) == 2, "a band each"
        assert axis.get_xticks().tolist() == [1, 2, 3]
        assert "budget 3" in figure.get_supxlabel()
        painted(figure, tmp_path)

    def test_bands_are_the_intervals(self):
        axis = plots.asr_at_k(curve(["direct"])).axes[0]
        corners = {tuple(corner) for corner in axis.collections[0].get_paths()[0].vertices.round(6)}
        assert {(1, 5), (1, 55), (3, 20), (3, 70)} <= corners

    def test_many_lines_get_a_panel_each_over_the_others(self, tmp_path):
        names = [f"strategy_{i}" for i in range(8)]
        table = pd.concat([curve([name], values=(0.1, 0.1 * i)) for i, name in enumerate(names)])
        figure = plots.asr_at_k(table)
        shown = [axis for axis in figure.axes if axis.get_visible()]
        assert [axis.get_title("left") for axis in shown] == [f"strategy {i}" for i in reversed(range(8))]
        assert [axis.texts[0].get_text() for axis in shown] == [f"{10 * i} %, n=20" for i in reversed(range(8))]
        for axis in shown:
            assert sum(line.get_marker() == "o" for line in axis.lines) == 1
            assert [np.isnan(line.get_ydata()).sum() for line in axis.lines if line.get_color() == "#CFCFCF"] == [8], (
                "all lines, in grey"
            )
            assert len(axis.collections) == 1
        assert len({axis.get_ylim() for axis in shown}) == 1, "on the same scale"
        painted(figure, tmp_path)

    def test_names_of_like_lines_stand_apart(self, tmp_path):
        for value in (0.0, 1.0):
            figure = plots.asr_at_k(curve([f"s{i}" for i in range(6)], values=(value,)))
            axis = figure.axes[0]
            painted(figure, tmp_path)
            boxes = sorted((Text.get_window_extent(text) for text in axis.texts), key=lambda box: box.y0)
            assert all(lower.y1 <= upper.y0 + 1 for lower, upper in pairwise(boxes))

    def test_nothing_scored_is_said_and_not_drawn_at_zero(self):
        axis = plots.asr_at_k(curve(["direct"], values=(None, None), n_unscored=3)).axes[0]
        assert [text.get_text() for text in axis.texts] == ["direct: n=0 (+3), nothing scored"]
        assert axis.texts[0].arrow_patch.get_edgecolor()[3] == 0, "no line leads to 0 %"
        assert np.isnan(np.concatenate([line.get_ydata() for line in axis.lines])).all()

    def test_budgets_that_differ_are_both_stated(self):
        figure = plots.asr_at_k(pd.concat([curve(["a"], budget=3), curve(["b"], values=(0.1, 0.2), budget=2)]))
        assert "budget 2-3" in figure.get_supxlabel()

    def test_two_curves_of_a_name_are_an_error(self):
        with pytest.raises(InputError, match=r"several rates for strategy direct, k 1"):
            plots.asr_at_k(curve(["direct", "direct"]))


def ranking(count, **more):
    rows = [
        {"rank": i + 1} | rate(0.9 - 0.01 * i, category="fraud", strategy=f"strategy_{i}", **more) | {"low_simultaneous": 0.05}
        for i in range(count)
    ]
    return pd.DataFrame(rows)


class TestRanking:
    def test_points_intervals_and_the_simultaneous_bound(self, tmp_path):
        figure = plots.weakness_ranking(ranking(2, n_unscored=1), titles={"fraud": "Fraud"})
        (axis,) = figure.axes
        assert labels(axis) == ["1. Fraud, strategy 0  n=20 (+1)", "2. Fraud, strategy 1  n=20 (+1)"]
        assert points(axis, "o") == [(90, 0), (89, 1)]
        assert points(axis, "|") == [(5, 0), (5, 1)]
        assert (45, 0, 95, 0) in points(axis, "None")
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [
            "lower bound for all ranked cells at once", "success rate, 95 % interval",
        ]  # fmt: skip
        assert "not shown" not in axis.get_xlabel()
        painted(figure, tmp_path)

    def test_what_is_left_out_is_counted(self):
        axis = plots.weakness_ranking(ranking(30), most=12).axes[0]
        assert len(labels(axis)) == 12
        assert "18 more ranked cells are not shown" in axis.get_xlabel()


class TestPersonas:
    def test_weighted_and_any_with_their_intervals_and_n(self, tmp_path):
        more = {"covered": 1.0, "any": 0.8, "any_low": 0.6, "any_high": 0.95, "any_n": 18, "any_unscored": 2}
        table = pd.DataFrame([rate(0.4, persona="low_skilled") | more, rate(None, n_unscored=20, persona="intermediate") | more])
        figure = plots.persona_rates(table)
        (axis,) = figure.axes
        assert labels(axis) == ["low skilled", "intermediate"]
        assert points(axis, "o")[0] == (40, -0.16)
        assert points(axis, "D") == [(80, 0.2), (80, 1.2)]
        assert (20, -0.16, 70, -0.16) in points(axis, "None")
        assert (60, 0.2, 95, 0.2) in points(axis, "None")
        words = [text.get_text() for text in axis.texts]
        assert {"40 %, n=20 goals", "80 %, n=18 (+2) goals", "n=0 (+20) goals", "nothing scored"} == set(words)
        assert len(axis.patches) == 0, "no bars"
        painted(figure, tmp_path)


EMPTY = attempt_table([])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.heat_map(measures.attack_success(EMPTY, ("category", "strategy"))),
        lambda: plots.heat_map(cells(("fraud", "direct", {}))),
        lambda: plots.heat_map(cells(("all", "all", {"value": 0.0}))),
        lambda: plots.heat_map(cells(("fraud", "direct", {"value": None}), ("hate", "direct", {"value": None}))),
        lambda: plots.asr_at_k(measures.asr_curve(EMPTY)),
        lambda: plots.asr_at_k(curve(["direct"], values=(0.0,))),
        lambda: plots.asr_at_k(curve(["direct", "novel"], values=(None, None), n_unscored=3)),
        lambda: plots.asr_at_k(curve([f"s{i}" for i in range(9)], values=(None, None), n_unscored=3)),
        lambda: plots.asr_at_k(curve([f"s{i}" for i in range(11)], values=(0.0,) * 9, budget=9)),
        lambda: plots.weakness_ranking(measures.weaknesses(EMPTY)),
        lambda: plots.weakness_ranking(ranking(1)),
        lambda: plots.persona_rates(measures.persona_success(EMPTY, {})),
    ],
)
def test_odd_inputs_still_draw_something(draw, tmp_path):
    figure = draw()
    painted(figure, tmp_path)


def test_the_same_figure_is_the_same_file(tmp_path):
    first, second = (save(plots.heat_map(TestHeatMap.TABLE), tmp_path / f"{name}.png") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
