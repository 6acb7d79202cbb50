"""Figures of judges: what is drawn where, from tables of known numbers."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from rai_kit import plots
from rai_kit.data import published_judges


def painted(figure, tmp_path):
    pixels = matplotlib.image.imread(plots.save(figure, tmp_path / "figure.png"))
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20


def points(axis, marker):
    return [tuple(np.ravel(line.get_xydata()).round(6)) for line in axis.lines if line.get_marker() == marker]


def row(task, category, statistic, value, method="held out", threshold=None, judge="j"):
    values = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40, "method": method, "judge": judge}
    return {"task": task, "category": category, "statistic": statistic, "threshold": threshold, **values}


def test_agreement_puts_people_beside_the_judge_in_the_row_of_the_same_name(tmp_path):
    rows = [
        row("refusal", "all", "kappa", 0.8),
        row("severity", "hate_speech", "kappa", 0.6, threshold=3),
        row("severity", "hate_speech", "kappa", 0.5, threshold=1),
        row("severity", "hate_speech", "weighted_kappa", 0.7),
        row("severity", "hate_speech", "weighted_kappa", 0.9, method="human ceiling"),
        row("severity", "hate_speech", "auc", 0.9, threshold=3),
    ]
    figure = plots.agreement(pd.DataFrame(rows))
    first, second = figure.axes
    assert points(first, "o") == [(0.8, 0), (0.6, 1)], "of severity the threshold 3 alone"
    assert points(first, "D") == []
    assert points(second, "o") == [(0.7, 1)]
    assert points(second, "D") == [(0.9, 1.3)]
    assert [label.get_text() for label in first.get_yticklabels()] == ["refusal  (n=40)", "severity, hate speech  (n=40)"]
    painted(figure, tmp_path)


def test_agreement_below_chance_stays_inside_the_axis_and_judges_stand_side_by_side():
    rows = [row("refusal", "all", "kappa", -0.3), row("refusal", "all", "kappa", 0.4, judge="k")]
    axis = plots.agreement(pd.concat([pd.DataFrame([one]) for one in rows])).axes[0]  # as cards are joined: the index repeats
    assert axis.get_xlim()[0] < -0.4
    assert points(axis, "o") == [(-0.3, -0.11), (0.4, 0.11)]


def test_thresholds_draw_both_shares_in_order(tmp_path):
    rows = pd.DataFrame(
        [
            {"statistic": statistic, "threshold": x, "value": x / 10, "low": 0.0, "high": 1.0}
            for statistic in ("sensitivity", "specificity")
            for x in (7, 1, 3)
        ]
    )
    figure = plots.thresholds(rows)
    assert points(figure.axes[0], "o") == [(1, 0.1, 3, 0.3, 7, 0.7)]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["DR-1", "DR-3", "DR-7"]
    painted(figure, tmp_path)


def test_confusion_has_people_in_columns_and_the_judge_in_rows(tmp_path):
    counts = np.zeros((8, 8), dtype=int)
    counts[5, 2], counts[2, 2] = 3, 1
    figure = plots.confusion(counts)
    axis = figure.axes[0]
    assert {(text.get_position(), text.get_text()) for text in axis.texts} == {((2, 5), "3"), ((2, 2), "1")}
    assert axis.images[0].get_array()[5, 2] == pytest.approx(0.75), "shares of the column"
    assert axis.get_xticklabels()[2].get_text() == "2\nn=4"
    painted(figure, tmp_path)


def test_reliability_draws_bins_and_leaves_empty_ones_out(tmp_path):
    table = pd.DataFrame(
        [
            {"finding": "refusal", "predicted": 0.9, "observed": 0.7, "low": 0.5, "high": 0.8, "n": 30},
            {"finding": "refusal", "predicted": 0.2, "observed": 0.1, "low": 0.0, "high": 0.2, "n": 50},
            {"finding": "refusal", "predicted": np.nan, "observed": np.nan, "low": np.nan, "high": np.nan, "n": 0},
        ]
    )
    figure = plots.reliability(table)
    assert points(figure.axes[0], "o") == [(0.2, 0.1, 0.9, 0.7)]
    assert figure.axes[0].get_title("left") == "refusal, n=80"
    painted(figure, tmp_path)


def test_reported_rates_follow_from_sensitivity_and_specificity(tmp_path):
    judges = published_judges()[["judge", "sensitivity", "specificity"]].assign(published=True)
    own = {"judge": "mine", "sensitivity": 0.8, "specificity": 0.9, "published": False}
    own |= {"sensitivity_low": 0.7, "sensitivity_high": 0.9, "specificity_low": 0.85, "specificity_high": 0.95}
    figure = plots.reported_rates(pd.concat([pd.DataFrame([own]), judges]), most=0.3)
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    assert set(lines) == {"a judge without error", "mine", *(f"{name} (published)" for name in judges["judge"])}
    assert lines["mine"][0] == pytest.approx([0, 10]), "what is reported where nothing is harmful: the false alarms"
    assert lines["mine"][-1] == pytest.approx([30, 31])
    assert len(figure.axes[0].collections) == 1, "a band for measured judges only"
    painted(figure, tmp_path)


def test_published_judges_report_what_the_literature_computed():
    """At these error rates a true rate of 0.7 % would be reported as 10.6 % (GPT-4) or 27 % (HarmBench classifier)."""
    found = published_judges().set_index("judge")
    reported = 0.007 * found["sensitivity"] + 0.993 * (1 - found["specificity"])
    assert reported["GPT-4, prompted"] == pytest.approx(0.106, abs=0.0005)
    assert reported["HarmBench classifier (13B)"] == pytest.approx(0.27, abs=0.005)


@pytest.mark.parametrize("none", [None, float("nan")])
def test_corrected_rates_stand_beside_raw_ones_and_refusals_say_why(none, tmp_path):
    raw = {"value": 0.5, "low": 0.3, "high": 0.7}
    table = pd.DataFrame(
        [
            {"name": "jailbreak", **raw, "corrected": 0.4, "corrected_low": 0.2, "corrected_high": 0.6, "refused": none},
            {
                "name": "copies",
                **raw,
                "corrected": np.nan,
                "corrected_low": np.nan,
                "corrected_high": np.nan,
                "refused": "no card",
            },
        ]
    )
    figure = plots.corrected_rates(table)
    axis = figure.axes[0]
    assert points(axis, "o") == [(50, -0.12), (50, 0.88)]
    assert points(axis, "D") == [(40, 0.16)]
    assert [text.get_text() for text in axis.texts] == ["no card"]
    painted(figure, tmp_path)
