"""Figures of post-training: what is drawn where, and that it is legible with any input."""

import math

import numpy as np
import pandas as pd
import pytest
from test_plots_comparison import marks, names, spans, words
from test_plots_robust import CASES, LONG, legible

from rai_kit.metrics import side_effects
from rai_kit.plots.rounds import NAMED
from rai_kit.plots.rounds import models as draw_models
from rai_kit.plots.rounds import rounds as draw_rounds
from rai_kit.plots.rounds import side_effects as draw_effects

pytestmark = pytest.mark.filterwarnings("error")
NAN = math.nan
COLUMNS = ["round", "arm", "category", "metric", "value", "low", "high", "n", "n_unscored"]


def row(number, arm, category, metric, value, n=120, half=0.06):
    known = {"value": value, "low": np.maximum(value - half, 0), "high": np.minimum(value + half, 1)}
    scored = {"n": 0, "n_unscored": n} if math.isnan(value) else {"n": n, "n_unscored": 2}
    return {"round": number, "arm": arm, "category": category, "metric": metric, **known, **scored}


def sequel(families=("fraud", "hate"), value=0.5, numbers=(0, 1, 2), metrics=("lookalike", "ordinary")):
    rows = []
    for number in numbers:
        rows.append(row(number, "trained", "all", "harmful", value / (1 + number)))
        rows += [
            row(number, "trained", one, "harmful", value / (1 + number) * (0.6 + 0.4 * place / len(families)), 30)
            for place, one in enumerate(families)
        ]
        rows += [
            row(number, "trained", "all", one, min(1.0, value * number * (0.3 - 0.2 * min(place, 1))), 60)
            for place, one in enumerate(metrics)
        ]
    rows.append(row(numbers[-1], "placebo", "all", "harmful", 0.9 * value))
    rows += [row(numbers[-1], "placebo", "all", one, 0.1 * value, 60) for one in metrics]
    return pd.DataFrame(rows, columns=COLUMNS)


def change(before, after, half=0.04, **more):
    return {"before": before, "after": after, "difference": after - before, "low": after - before - half,
            "high": after - before + half, **more}  # fmt: skip


def effects(**changes):
    usual = {
        "harmful": change(0.41, 0.09),
        "placebo": change(0.41, 0.4),
        "ordinary": change(0.01, 0.02, 0.02),
        "lookalike": change(0.04, 0.31),
        "degenerate": change(0.02, 0.02, 0.01),
        "empty": change(0.0, 0.0, 0.01),
        "perplexity": {"before": 20.0, "after": 21.0, "ratio": 1.05, "low": 1.02, "high": 1.08},
    }
    return side_effects(**(usual | changes))


def several(names, value=0.4, n=200):
    rows = [
        {"model": name, "before": value, "before_low": 0.8 * value, "before_high": 1.2 * value, "after": value / 4}
        | {"after_low": value / 5, "after_high": value / 3, "n": 0 if math.isnan(value) else n}
        for name in names
    ]
    columns = ["model", *(f"{side}{end}" for side in ("before", "after") for end in ("", "_low", "_high")), "n"]
    return pd.DataFrame(rows, columns=columns)


def line(axis, width):
    return [one for one in axis.lines if one.get_linewidth() == width]


class TestRounds:
    def test_the_mean_is_bold_with_a_band_and_families_are_thin(self):
        axis = draw_rounds(sequel(), {"hate": "Hate"}).axes[0]
        (mean,) = line(axis, 2.6)
        assert (mean.get_xdata().tolist(), mean.get_ydata().tolist()) == ([0, 1, 2], pytest.approx([50, 25, 50 / 3]))
        assert len(line(axis, 0.9)) == 2
        band = axis.collections[0].get_paths()[0].vertices[:, 1]
        assert {44.0, 56.0} <= {round(float(y), 6) for y in band}
        assert "all: 16.7 %" in words(axis)
        assert [one.get_text() for one in axis.get_legend().get_texts()] == ["Hate", "fraud"], "the highest at the end first"

    def test_the_placebo_is_hollow_in_both_panels_with_its_interval(self):
        for axis, value in zip(draw_rounds(sequel()).axes, (45, 5), strict=True):
            hollow = [one for one in axis.lines if one.get_markerfacecolor() == "white" and len(one.get_ydata())]
            assert hollow[0].get_ydata().tolist() == pytest.approx([value])
            ends = [
                segment[:, 1].tolist()
                for one in axis.collections
                if hasattr(one, "get_segments")
                for segment in one.get_segments()
            ]
            assert any(end == pytest.approx([max(value - 6, 0), value + 6]) for end in ends)

    def test_refusals_stand_beside_with_n(self):
        axis = draw_rounds(sequel()).axes[1]
        assert [one.get_ydata()[-1] for one in line(axis, 2.6)] == pytest.approx([30, 10])
        assert any(said.startswith("30 % harmless look-alikes") and said.endswith("n=60 (+8 in all)") for said in words(axis))

    def test_every_round_says_how_many_were_scored(self):
        axis = draw_rounds(sequel()).axes[0]
        assert [one.get_text() for one in axis.get_xticklabels()] == ["base\nn=120 (+2)", "1\nn=120 (+2)", "2\nn=120 (+2)"]

    def test_of_many_families_the_highest_are_named_and_the_rest_counted(self):
        axis = draw_rounds(sequel(tuple(f"f{i}" for i in range(12)))).axes[0]
        said = [one.get_text() for one in axis.get_legend().get_texts()]
        assert said == [*(f"f{11 - i}" for i in range(NAMED)), "5 others, which end lower"]
        assert len(line(axis, 0.6)) == 5

    def test_an_unscored_round_is_a_gap(self):
        table = sequel()
        table.loc[
            (table["round"] == 1) & (table["category"] == "all") & (table["metric"] == "harmful"), ["value", "low", "high"]
        ] = NAN
        (mean,) = line(draw_rounds(table).axes[0], 2.6)
        assert np.isnan(mean.get_ydata()[1])


class TestSideEffects:
    def test_no_axis_mixes_quantities(self):
        figure = draw_effects(effects())
        assert [axis.get_title("left") for axis in figure.axes] == ["harmful answers", "refusals", "coherence", "perplexity"]
        assert ["points" in axis.get_xlabel() for axis in figure.axes] == [True, True, True, False]
        assert "ratio" in figure.axes[3].get_xlabel()

    def test_dots_intervals_limits_and_marks(self):
        axis = draw_effects(effects()).axes[1]
        assert names(axis) == ["ordinary prompts", "harmless look-alikes"]
        assert [x for x, _ in marks(axis, "o")] == pytest.approx([1]), "within"
        assert [x for x, _ in marks(axis, "X")] == pytest.approx([27]), "over"
        assert {(-1, 3), (23, 31)} <= set(spans(axis))
        strokes = [one.get_xdata()[0] for one in axis.lines if one.get_linewidth() == 2.6]
        assert strokes == pytest.approx([3, 15])
        assert words(axis) == ["+1.0 [−1.0, +3.0]", "+27.0 [+23.0, +31.0]"]
        ratio = draw_effects(effects()).axes[3]
        assert [x for x, _ in marks(ratio, "o")] == pytest.approx([1.05])
        assert words(ratio) == ["1.050 [1.020, 1.080]"]

    def test_what_was_not_measured_is_said(self):
        axis = draw_effects(effects(lookalike=None)).axes[1]
        assert words(axis)[1] == "not measured, or nothing scored"
        assert marks(axis, "X") == []

    def test_a_point_whose_interval_crosses_the_limit_says_so(self):
        assert words(draw_effects(effects(ordinary=change(0.01, 0.03))).axes[1])[0].endswith("limit within interval")


class TestModels:
    def test_before_hollow_and_after_filled(self):
        axis = draw_models(several(("mini", "small"))).axes[0]
        assert names(axis) == ["mini", "small"]
        assert [x for x, _ in marks(axis, "o")] == pytest.approx([40, 40])
        assert [x for x, _ in marks(axis, "s")] == pytest.approx([10, 10])
        assert {(32, 48), (8, 13.333333)} <= set(spans(axis))
        assert words(axis) == ["40 → 10 %\nn=200"] * 2
        assert next(one for one in axis.lines if one.get_marker() == "o").get_markerfacecolor() == "white"

    def test_small_rates_have_a_scale_of_their_own(self):
        table = several(("mini",)).assign(
            before=0.081, before_low=0.05, before_high=0.132, after=0.005, after_low=0, after_high=0.03
        )
        axis = draw_models(table).axes[0]
        assert 13.2 < axis.get_xlim()[1] < 25
        assert words(axis) == ["8.1 → 0.5 %\nn=200"]
        assert draw_models(several(("mini",), 0.97)).axes[0].get_xlim()[1] == pytest.approx(103)

    def test_nothing_scored_has_no_mark(self):
        axis = draw_models(several(("mini",), NAN)).axes[0]
        assert marks(axis, "o") == marks(axis, "s") == []
        assert words(axis) == ["nothing scored → nothing scored\nn=0"]


def every_round(case):
    single = len(case.categories) == 1
    metrics = (LONG, "ordinary") if case.titles and max(map(len, case.categories)) > 30 else ("lookalike", "ordinary")
    found = sequel(case.categories, case.value, (0,) if single else (0, 1, 2), metrics)
    return draw_rounds(found.iloc[:1] if single else found if case.categories else found.iloc[:0], case.titles)


def every_effect(case):
    found = effects(lookalike=change(0.0, case.value), harmful=change(case.value, 0.0), ordinary=change(0.0, 0.5 * case.value))
    found = (
        found.iloc[0:0]
        if not case.categories
        else pd.concat([found] * (1 + len(case.categories) // 7)).head(len(case.categories))
    )
    return draw_effects(
        found.assign(check=list(case.categories), quantity=found["quantity"] if len(case.categories) > 1 else LONG)
    )


def every_model(case):
    return draw_models(several(case.categories, case.value))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", [every_round, every_effect, every_model], ids=lambda draw: draw.__name__)
def test_every_figure_with_every_kind_of_input(draw, case):
    said = legible(draw(CASES[case]))
    if case == "unscored":
        assert "nothing scored" in said
    if case == "empty":
        assert "no" in said.split()
    if case in ("usual", "forty", "zero", "unscored") and draw is not every_round:
        assert not [name for name in CASES[case].categories if name not in said]


def test_many_rounds_and_one_are_legible():
    legible(draw_rounds(sequel(numbers=tuple(range(15)))))
    legible(draw_rounds(sequel(numbers=(0,), metrics=())))
    legible(draw_rounds(sequel(metrics=("lookalike", "ordinary", "xstest", "other_kind"))))
