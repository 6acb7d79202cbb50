"""Figures of comparisons and of how a run went: what is drawn where, from frames of known numbers."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from rai_kit.metrics.attempts import COLUMNS
from rai_kit.metrics.tables import causes
from rai_kit.plots import comparison as plots
from rai_kit.plots import process

NAN = math.nan
FIVE = ("grounding", "third_party_harm", "harmful_content", "jailbreak", "copyright")


def ends(name, value, half, top=1.0):
    return {name: value, f"{name}_low": float(np.maximum(value - half, 0)), f"{name}_high": float(np.minimum(value + half, top))}


def comparison(categories=FIVE, after=("after",), before=0.4, change=-0.2, n=40, n_unscored=2, metric="DR-3"):
    """As `compare_arms` gives it; n = 0: nothing scored. Later rounds change more."""
    rows = []
    for place, arm in enumerate(after):
        for category in categories:
            mean = category == "grounding"
            top = 4.0 if mean else 1.0
            old = top * before if n else NAN
            new = top * max(0.0, before + change * (place + 1) / len(after)) if n else NAN
            d, half = new - old, 0.1 * top
            shown = abs(d) > half
            rows.append(
                {"before": "before", "after": arm, "category": category, "metric": "ungroundedness" if mean else metric}
                | {"n": n, "n_unscored": n_unscored, "n_clusters": n // 2}
                | ends("value_before", old, half, top)
                | ends("value_after", new, half, top)
                | {"difference": d, "low": d - half, "high": d + half, "bound_low": d - 2 * half, "bound_high": d + 2 * half}
                | {"ratio": NAN, "ratio_low": NAN, "ratio_high": NAN, "fixed": 12 if n else 0, "broken": 3 if n else 0}
                | {"p": 0.01 if n else NAN, "p_holm": (0.03 if shown else 0.6) if n else NAN, "mde": 0.15 * top if n else NAN}
                | {"judge": "j", "method": "Newcombe", "finding": "lower" if shown else "no difference shown"}
                | ({} if n else {"finding": "nothing scored"})
            )
    return pd.DataFrame(rows)


def curves(categories=("jailbreak", "harmful_content"), models=("m", "o"), top=0.7, n=40):
    rows = []
    for category in categories:
        for place, model in enumerate(models):
            for x in range(1, 8):
                value = top * (8 - x) / 7 / (1 + place) if n else NAN
                wide = ends("simultaneous", value, 0.13)
                row = ends("value", value, 0.08)
                rows.append(
                    {"model": model, "arm": "before", "category": category, "threshold": x, "value": value}
                    | {"low": row["value_low"], "high": row["value_high"], "judge": "j", "method": "Wilson"}
                    | {"low_simultaneous": wide["simultaneous_low"], "high_simultaneous": wide["simultaneous_high"]}
                    | {"n": n, "n_unscored": 2 if n else 40}
                )
    return pd.DataFrame(rows)


def ranking(categories=("grounding", "jailbreak"), models=("m", "o", "p"), value=0.2, n=40):
    rows = []
    for category in categories:
        for place, model in enumerate(models):
            mean = category == "grounding"
            row = ends("value", value * (1 + place) * (4 if mean else 1) if n else NAN, 0.1, 4.0)
            rows.append(
                {"category": category, "metric": "ungroundedness" if mean else "DR-3", "model": model, "value": row["value"]}
                | {
                    "low": row["value_low"],
                    "high": row["value_high"],
                    "n": n,
                    "n_unscored": 1 if n else 40,
                    "method": "bootstrap",
                }
                | {"rank": place + 1 if n else NAN, "rank_low": max(1, place) if n else NAN}
                | {"rank_high": min(len(models), place + 2) if n else NAN}
            )
    return pd.DataFrame(rows)


def regressing(n=40, first=0.3):
    rows = []
    for group, old, again, count in [
        ("failed first", 1.0, 0.6, n * 3 // 10),
        ("passed first", 0.0, 0.12, n * 7 // 10),
        ("all", first, first, n),
    ]:
        half = 0.1 if group == "all" else 0.0
        row = ends("first", old if n else NAN, half) | ends("again", again * (first > 0) if n else NAN, 0.15)
        rows.append({"group": group, "n": count, "n_unscored": 2, "method": "Wilson"} | row)
    return pd.DataFrame(rows)


def coming_through(categories=FIVE, models=("m",), planned=40, kinds=(("judge:refused", 3), ("target:timeout", 1))):
    left = sum(number for _, number in kinds)
    stages = [("planned", planned), ("reached", planned - kinds[-1][1] if kinds else planned), ("scored", planned - left)]
    stages += [(f"unscored: {cause}", number) for cause, number in kinds]
    rows = [
        {"model": model, "arm": "before", "category": category, "stage": stage, "count": number}
        for model in models
        for category in categories
        for stage, number in stages
    ]
    return pd.DataFrame(rows, columns=["model", "arm", "category", "stage", "count"])


def training(stages=("sft", "dpo"), runs=("seed 0",), steps=40, level=2.0):
    rng = np.random.default_rng(0)
    rows = [
        {"stage": stage, "run": run, "step": step, "metric": metric, "value": sign * level * math.exp(-2 * step / steps) + noise}
        for stage in stages
        for metric, sign in ([("loss", 1)] if stage == "sft" else [("loss", 1), ("reward_margin", -1)])
        for run in runs
        for step in range(1, steps + 1)
        for noise in [0.05 * level * rng.normal()]
    ]
    return pd.DataFrame(rows, columns=["stage", "run", "step", "metric", "value"])


def narrowing(count=200, rate=0.1, bound=0.15):
    k = np.arange(1, count + 1)
    value = np.cumsum(np.random.default_rng(1).random(count) < rate) / k
    half = np.sqrt(np.log(40 * (k + 1)) / (2 * k))
    frame = pd.DataFrame({"count": k, "value": value, "low": np.maximum(0, value - half), "high": np.minimum(1, value + half)})
    return frame if bound is None else frame.assign(bound=bound)


def names(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def words(axis):
    return [text.get_text() for text in axis.texts]


def marks(axis, marker):
    """Places of single marks of a kind."""
    return [
        tuple(np.ravel(line.get_xydata()).round(6))
        for line in axis.lines
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    ]


def spans(axis):
    """Horizontal intervals, by their ends."""
    return [
        tuple(np.round(np.asarray(line.get_xdata(), dtype=float), 6))
        for line in axis.lines
        if line.get_marker() == "None" and len(line.get_xdata()) == 2 and len(set(line.get_ydata())) == 1
    ]


class TestBeforeAfter:
    def test_shares_and_means_have_panels_of_their_own(self):
        figure = plots.before_after(comparison(), {"jailbreak": "Jailbreak"})
        shares, means = figure.axes
        assert names(shares) == ["third party harm", "harmful content", "Jailbreak", "copyright"]
        assert names(means) == ["grounding"]
        assert (shares.get_xlim()[1], means.get_xlim()[1]) == pytest.approx((61.8, 4.12))
        small = comparison(("jailbreak",), before=0.05, change=-0.04)
        refused = comparison(("weapons",), before=0.1, change=0.2, metric="refusal")
        ends = [axis.get_xlim()[1] for axis in plots.before_after(small, refusals=refused).axes]
        assert ends[0] == ends[1] < 80, "small rates have a scale of their own, the same for both panels"
        assert "0-4" in means.get_xlabel()
        assert "%" in shares.get_xlabel().split("with")[0]
        assert "%" not in means.get_xlabel().split("with")[0]

    def test_before_is_hollow_after_filled_each_with_its_interval(self):
        axis = plots.before_after(comparison(("jailbreak",))).axes[0]
        before, after = (next(line for line in axis.lines if line.get_marker() == marker) for marker in "os")
        assert (before.get_xdata()[0], after.get_xdata()[0]) == pytest.approx((40, 20))
        assert before.get_markerfacecolor() == "white"
        assert to_rgba(after.get_markerfacecolor()) == to_rgba(after.get_color())
        assert before.get_ydata()[0] < after.get_ydata()[0], "before stands above"
        assert {(30, 50), (10, 30)} <= set(spans(axis))
        assert words(axis) == ["n=40 (+2); fixed 12, broken 3"]

    def test_means_went_up_or_down(self):
        axis = plots.before_after(comparison(("grounding",))).axes[0]
        assert words(axis) == ["n=40 (+2); lower 12, higher 3"]
        assert marks(axis, "o")[0][0] == pytest.approx(1.6)

    def test_refusals_of_the_harmless_stand_beside(self):
        refusals = comparison(("medical", "weapons"), before=0.1, change=0.6, metric="refusal")
        figure = plots.before_after(comparison(), refusals=refusals)
        left, right, _, off = figure.axes
        assert names(right) == ["medical", "weapons"]
        assert [x for x, _ in marks(right, "s")] == pytest.approx([70, 70])
        assert "refusal" in right.get_title("left")
        assert left.get_ylim() == right.get_ylim(), "rows of the same height"
        assert not off.axison
        assert left.get_xlim() == right.get_xlim()
        assert len(plots.before_after(comparison(), refusals=refusals.iloc[:0]).axes) == 2

    def test_rounds_follow_one_before(self):
        axis = plots.before_after(comparison(("jailbreak",), ("round 1", "round 2"))).axes[0]
        assert [len(marks(axis, marker)) for marker in "osD"] == [1, 1, 1]
        assert [marks(axis, marker)[0][0] for marker in "osD"] == pytest.approx([40, 30, 20])
        heights = [marks(axis, marker)[0][1] for marker in "osD"]
        assert heights == sorted(heights)

    def test_rounds_of_other_pairs_each_have_their_before(self):
        table = pd.concat([comparison(("jailbreak",), ("a",)), comparison(("jailbreak",), ("b",), before=0.6)])
        axis = plots.before_after(table).axes[0]
        assert [x for x, _ in marks(axis, "o")] == pytest.approx([40, 60])

    def test_metrics_that_differ_are_named_in_the_rows(self):
        table = pd.concat([comparison(("jailbreak",)), comparison(("copyright",), metric="DR-1")])
        assert names(plots.before_after(table).axes[0]) == ["jailbreak (DR-3)", "copyright (DR-1)"]

    def test_nothing_scored_is_no_mark(self):
        axis = plots.before_after(comparison(("jailbreak",), n=0, n_unscored=40)).axes[0]
        assert words(axis) == ["nothing scored", "n=0 (+40)"]
        assert marks(axis, "o") == marks(axis, "s") == []


class TestForest:
    def test_points_intervals_and_numbers(self):
        figure = plots.forest(comparison(), margin=0.05)
        shares, means = figure.axes
        assert marks(shares, "s") == [(pytest.approx(-20), y) for y in range(4)]
        assert spans(shares).count((-30, -10)) == 4
        assert words(shares)[0] == "−20.0 [−30.0, −10.0], n=40 (+2)\np=0.03 (Holm)"
        assert marks(means, "s") == [(pytest.approx(-0.8), 0)]
        assert "points" in shares.get_xlabel()
        assert "points" not in means.get_xlabel()
        low, high = shares.get_xlim()
        assert low == -high, "zero in the middle"

    def test_no_difference_says_what_could_have_been_shown(self):
        axis = plots.forest(comparison(("jailbreak",), change=-0.02)).axes[0]
        (band,) = axis.patches
        assert (band.get_x(), band.get_width()) == pytest.approx((-15, 30))
        assert words(axis) == ["−2.0 [−12.0, +8.0], n=40 (+2)\np=0.6 (Holm); could have shown 15.0 points"]
        (mark,) = (line for line in axis.lines if line.get_marker() == "s")
        assert mark.get_markerfacecolor() == "white"

    def test_a_shown_difference_has_no_band_and_is_filled(self):
        axis = plots.forest(comparison(("jailbreak",))).axes[0]
        assert len(axis.patches) == 0
        assert next(line for line in axis.lines if line.get_marker() == "s").get_markerfacecolor() != "white"

    def test_the_margin_is_shaded_among_shares_alone(self):
        shares, means = plots.forest(comparison(), margin=0.05).axes
        assert [(patch.get_x(), patch.get_width()) for patch in shares.patches] == [pytest.approx((-5, 10))]
        assert len(means.patches) == 0

    def test_rounds_are_grouped_in_the_order_given(self):
        figure = plots.forest(comparison(("copyright", "jailbreak"), ("round 1", "round 2")))
        axis = figure.axes[0]
        assert names(axis) == ["copyright", "jailbreak"]
        assert [round(y) for _, y in marks(axis, "s")] == [0, 1]
        assert [round(y - 0.01) for _, y in marks(axis, "D")] == [0, 1]
        assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["round 1", "round 2"]

    def test_nothing_scored_has_no_mark_and_no_p(self):
        axis = plots.forest(comparison(("jailbreak",), n=0, n_unscored=40)).axes[0]
        assert words(axis) == ["nothing scored, n=0 (+40)"]
        assert marks(axis, "s") == []


class TestSeverityCurves:
    def test_lines_intervals_and_bands(self):
        figure = plots.severity_curves(curves(), {"jailbreak": "Jailbreak"})
        assert [axis.get_title("left") for axis in figure.axes] == ["Jailbreak", "harmful content"]
        axis = figure.axes[0]
        first, second = axis.lines
        assert first.get_ydata().tolist() == pytest.approx([70, 60, 50, 40, 30, 20, 10])
        assert (first.get_marker(), first.get_linestyle()) != (second.get_marker(), second.get_linestyle())
        band, inner = axis.collections[:2]
        assert {round(float(y)) for y in band.get_paths()[0].vertices[:, 1]} >= {57, 83}, "simultaneous"
        assert np.round(inner.get_segments()[0][:, 1]).tolist() == [62, 78], "pointwise"
        assert band.get_alpha() < 0.2
        assert [text.get_text() for text in axis.get_legend().get_texts()] == ["n=40 (+2)"] * 2
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["m", "o"]

    def test_many_categories_wrap(self):
        figure = plots.severity_curves(curves([f"c{i}" for i in range(11)], ("m",)))
        assert sum(axis.get_visible() for axis in figure.axes) == 11
        assert len({round(axis.get_position().y0, 3) for axis in figure.axes}) > 1

    def test_nothing_scored_is_said(self):
        axis = plots.severity_curves(curves(("jailbreak",), n=0)).axes[0]
        assert "nothing scored" in words(axis)
        assert all(np.isnan(line.get_ydata()).all() for line in axis.lines)


class TestRanks:
    def test_rates_and_rank_intervals(self):
        figure = plots.ranks(ranking())
        means, shares = figure.axes
        assert [x for x, _ in marks(means, "s") + marks(means, "D")] == pytest.approx([0.8, 1.6])
        assert [x for x, _ in marks(shares, "s") + marks(shares, "D")] == pytest.approx([20, 40])
        assert words(shares)[:2] == ["1 (1–2)\nn=40 (+1)", "2 (1–3)\nn=40 (+1)"]
        assert names(means) == ["m", "o", "p"]
        assert (means.get_xlim()[1], shares.get_xlim()[1]) == pytest.approx((4.12, 103))

    def test_nothing_scored_has_no_rank(self):
        axis = plots.ranks(ranking(("jailbreak",), ("m",), n=0)).axes[0]
        assert words(axis)[:2] == ["nothing scored", "–\nn=0 (+40)"]


def test_regression_to_the_mean_says_that_nothing_was_trained():
    figure = plots.regression(regressing())
    assert [axis.get_title("left") for axis in figure.axes] == [
        "failed first\nn=12 (+2)",
        "passed first\nn=28 (+2)",
        "all\nn=40 (+2)",
    ]
    failed = figure.axes[0]
    assert words(failed) == ["100 %", "60 %"]
    assert [np.round(line.get_segments()[0][:, 1]).tolist() for line in failed.collections] == [[100, 100], [45, 75]]
    assert marks(failed, "s") == [(0, 100), (1, 60)]
    assert "no training took place in between" in figure.get_supxlabel()


class TestFunnel:
    def widths(self, axis, y):
        return [patch.get_width() for patch in axis.patches if abs(patch.get_y() + patch.get_height() / 2 - y) < 0.1]

    def test_one_group_has_a_bar_a_step_and_causes_hatched(self):
        axis = process.funnel(coming_through(("jailbreak",))).axes[0]
        assert names(axis) == ["planned", "reached", "scored"]
        assert [self.widths(axis, y) for y in range(3)] == [[40], [39], [36, 3, 1]]
        assert sum(patch.get_hatch() is not None for patch in axis.patches) == 2
        assert {"40", "39", "36, 4 unscored"} <= set(words(axis))

    def test_several_groups_add_up_to_what_was_planned(self):
        axis = process.funnel(coming_through(FIVE, ("m", "o")), {"jailbreak": "Jailbreak"}).axes[0]
        assert names(axis)[:4] == ["grounding, m", "third party harm, m", "harmful content, m", "Jailbreak, m"]
        assert [sum(self.widths(axis, y)) for y in range(10)] == [40] * 10
        assert words(axis).count("40 → 39 → 36") == 10
        assert [line.get_xdata()[0] for line in axis.lines] == [39] * 10, "a mark at what was reached"

    def test_many_causes_are_gathered_and_none_is_lost(self):
        kinds = [(f"cause:{i}", 12 - i) for i in range(10)]
        figure = process.funnel(coming_through(planned=100, kinds=kinds))
        assert [sum(self.widths(figure.axes[0], y)) for y in range(5)] == [100] * 5
        assert "unscored: 4 other causes" in [text.get_text() for text in figure.legends[0].get_texts()]


class TestTraining:
    def test_a_panel_for_each_metric_of_each_stage_with_the_last_value(self):
        frame = training(runs=("seed 0", "seed 1"))
        figure = process.training_curves(frame)
        assert [axis.get_title("left") for axis in figure.axes] == ["sft: loss", "dpo: loss", "dpo: reward margin"]
        axis = figure.axes[0]
        part = frame[(frame["stage"] == "sft") & (frame["run"] == "seed 0")]
        assert axis.lines[0].get_ydata().tolist() == part["value"].tolist(), "as recorded"
        assert f"{part['value'].iloc[-1]:.3g}" in words(axis)
        assert axis.lines[0].get_marker() != axis.lines[1].get_marker()

    def test_long_runs_are_pale_under_their_running_mean(self):
        frame = training(("sft",), steps=200)
        figure = process.training_curves(frame)
        raw, mean = figure.axes[0].lines
        assert raw.get_alpha() < 0.5
        value = frame["value"].to_numpy()
        assert mean.get_ydata()[100] == pytest.approx(value[96:105].mean())
        assert mean.get_ydata()[0] == pytest.approx(value[:5].mean())
        assert "running mean of up to 9 points" in figure.get_supxlabel()

    def test_one_point_is_a_mark(self):
        (line,) = process.training_curves(training(("sft",), steps=1)).axes[0].lines
        assert line.get_marker() == "o"


class TestSequence:
    def test_it_says_where_it_stopped_and_what_that_decides(self):
        frame = narrowing(4000)
        axis = process.sequence(frame).axes[0]
        last = frame.iloc[-1]
        (said,) = words(axis)
        assert said.startswith(f"stopped at 4,000:\n{100 * last['value']:.3g} %")
        assert said.endswith("below the bound")
        assert any(line.get_linestyle() == "--" and line.get_ydata()[0] == 15 for line in axis.lines)
        assert marks(axis, "o") == [(4000, pytest.approx(100 * last["value"]))]

    def test_it_does_not_decide_too_early(self):
        assert words(process.sequence(narrowing(30)).axes[0])[0].endswith("not decided")
        assert "bound" not in words(process.sequence(narrowing(30, bound=None)).axes[0])[0]


class TestCauses:
    def test_conversations(self):
        table = pd.DataFrame(
            {
                "model": "m",
                "arm": "before",
                "category": ["a", "a", "a", "b"],
                "scored": [True, False, False, False],
                "cause": [None, "judge:x", None, "y"],
                "answers": [1, 2, 0, 0],
            }
        )
        found = causes(table)
        assert found.drop(columns=["model", "arm"]).values.tolist() == [
            ["a", "planned", 3], ["a", "reached", 2], ["a", "scored", 1], ["a", "unscored: judge:x", 1], ["a", "unscored: unknown", 1],
            ["b", "planned", 1], ["b", "reached", 0], ["b", "scored", 0], ["b", "unscored: y", 1],
        ]  # fmt: skip

    def test_attempts_are_scored_unless_they_say_not(self):
        row = {"model": "m", "arm": "before", "category": "a", "answers": 1}
        ways = [("success", None), ("failure", "attack:gave_up"), ("unscored", "judge:x")]
        found = causes(pd.DataFrame([row | {"outcome": outcome, "cause": cause} for outcome, cause in ways]))
        assert dict(zip(found["stage"], found["count"], strict=True)) == {
            "planned": 3, "reached": 3, "scored": 2, "unscored: judge:x": 1,
        }  # fmt: skip

    @pytest.mark.parametrize("columns", [[], list(COLUMNS)])
    def test_nothing_planned_is_an_empty_frame(self, columns):
        found = causes(pd.DataFrame(columns=columns))
        assert (len(found), list(found.columns)) == (0, ["model", "arm", "category", "stage", "count"])
