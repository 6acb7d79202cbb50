"""Judge cards: the figures, the key, the file; the offline judge's own; `quality` as a short view of it."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from rai_kit.judges import OfflineJudge, find_card, read_card, write_card
from rai_kit.judges.cards import CEILING, build_card, card_key
from rai_kit.judges.quality import held_out_card, quality
from rai_kit.metrics import agreement
from rai_kit.schema import InputError


def findings(n=400, seed=0):
    """Labels in two categories, a judge that says one less than people, some answers unscored, and refusals."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 8, n)
    said = np.maximum(level - 1, 0).astype(float)
    said[:20] = np.nan
    frame = pd.DataFrame(
        {
            "task": "severity",
            "category": np.where(np.arange(n) % 4, "violence", "privacy"),
            "rubric": np.where(np.arange(n) % 4, "violence", "harm"),
            "file": "x.csv",
            "cluster": [f"goal {place // 3}" for place in range(n)],
            "label": level / 7,
            "ratings": [(one / 7, max(one - 1, 0) / 7) for one in level],
            "said": said,
            "cause": ["judge:filtered"] * 15 + ["judge:empty"] * 5 + [None] * (n - 20),
            "probability": np.where(np.isnan(said), np.nan, np.clip(level / 7, 0, 1)),
        }
    )
    refusal = frame[:60].assign(task="refusal", category="none", rubric="refusal", label=level[:60] % 2, said=[1.0, 0.0] * 30)
    return pd.concat([frame, refusal.assign(probability=np.nan, cause=None, ratings=[(1,)] * 60)], ignore_index=True)


def card(**changes):
    return build_card(findings(), **({"judge": "j#1", "labels": "mine", "labels_digest": "d", "held_out": "unseen"} | changes))


@pytest.fixture(scope="module")
def made():
    return card()


def test_figures_are_those_of_the_statistics_at_every_threshold_and_category(made):
    found = findings()
    rows = found[found["task"] == "severity"]
    truth = np.round(rows["label"] * 7)
    for level in range(1, 8):
        above = np.where(rows["said"].isna(), np.nan, rows["said"] >= level)
        wanted = agreement.binary_agreement(above, truth >= level, None, rows["cluster"].factorize()[0])
        for name in ("sensitivity", "specificity", "kappa", "agreement"):
            one = made.row("severity", name, level)
            assert (one.value, one.low, one.high) == pytest.approx(wanted[name], nan_ok=True)
            assert one.n == 380
        assert made.row("severity", "sensitivity", level, "violence").n < 380
        assert made.row("severity", "auc", level).value > 0.99
    assert made.row("severity", "bias").value == pytest.approx(-7 / 8, abs=0.05)
    assert made.row("severity", "bias").high < 0
    wanted = agreement.weighted_kappa(rows["said"][20:], truth[20:])
    assert made.row("severity", "weighted_kappa").value == pytest.approx(wanted)
    assert made.row("severity", "brier", 3).n == 380
    assert made.row("severity", "brier", 2) is None, "the probability is about a defect, and about nothing else"
    assert made.row("refusal", "auc") is None, "no probability, no curve"
    assert {one.category for one in made.rows if one.task == "severity"} == {"all", "privacy", "violence", "x.csv"}


def test_unscored_answers_are_counted_with_their_causes_and_stand_in_no_figure(made):
    assert (made.n, made.n_unscored, made.causes) == (460, 20, {"judge:empty": 5, "judge:filtered": 15})
    share = made.row("severity", "unscored")
    assert (share.value, share.n) == (20 / 400, 400)
    assert 0 < share.low < share.value < share.high
    assert np.sum(made.confusions["severity/all"]) == 380
    assert len(made.pairs["severity>=3"][0]) == 380


def test_tables_of_categories_add_up_and_name_their_rubric(made):
    assert np.array_equal(
        np.add(made.confusions["severity/privacy"], made.confusions["severity/violence"]), made.confusions["severity/all"]
    )
    assert np.shape(made.confusions["severity/all"]) == (8, 8)
    assert np.shape(made.confusions["refusal/all"]) == (2, 2)
    assert made.rubric_of["severity/violence"] == "violence"
    said_one_less = np.diagonal(made.confusions["severity/all"], 1)  # rows said, columns truth
    assert said_one_less.sum() + made.confusions["severity/all"][0][0] == 380


def test_the_ceiling_of_several_raters_stands_beside_the_judge(made):
    rows = [one for one in made.rows if one.method == CEILING]
    assert {one.statistic for one in rows} == {"weighted_kappa", "kappa_middle", "rater_bias"}
    bias = made.row("severity", "rater_bias", category="x.csv", ceiling=True)
    assert bias.value == pytest.approx(1 / 8, abs=0.02)
    assert made.row("severity", "weighted_kappa", category="x.csv", ceiling=True).value > 0.8
    assert made.row("severity", "weighted_kappa", category="x.csv") is None, "that would be the judge's"


def test_reliability_and_summary(made):
    table = made.reliability("severity>=3")
    assert table["n"].sum() == 380
    assert table["observed"].is_monotonic_increasing
    with pytest.raises(InputError, match="no probabilities for 'refusal'; it has severity>=3"):
        made.reliability("refusal")
    short = made.summary().set_index(["finding", "category"])
    assert short.loc[("severity>=1", "all"), "sensitivity"] == made.row("severity", "sensitivity", 1).value
    assert set(short.index.get_level_values(0)) == {"severity", "severity>=1", "severity>=3", "refusal"}


def test_a_card_comes_back_from_its_file_and_a_changed_judge_has_none(made, tmp_path):
    path = write_card(made, tmp_path)
    again = find_card("j#1", "d", tmp_path)
    assert again == dataclasses.replace(made, rows=again.rows)
    pd.testing.assert_frame_equal(again.frame(), made.frame())
    assert find_card("j#2", "d", tmp_path) is None
    assert find_card("j#1", "e", tmp_path) is None
    assert len({card_key(judge, labels) for judge in "ab" for labels in "cd"}) == 4
    path.write_text("{}", encoding="utf-8")
    assert find_card("j#1", "d", tmp_path) is None
    with pytest.raises(InputError, match="is no judge card"):
        read_card(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_card(tmp_path / "none.json")
    assert "NaN" not in write_card(made, tmp_path).read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["judge"] == "j#1"


# --- the offline judge on the labels that it was fitted to


@pytest.fixture(scope="module")
def offline():
    return held_out_card(OfflineJudge())


def test_the_offline_card_is_held_out_and_complete(offline):
    assert offline.judge == OfflineJudge().id
    assert offline.held_out == "cross-validated by goal, 5 folds"
    assert (offline.n, offline.n_unscored) == (1547, 0)
    categories = {"all", "bias", "exploits", "hate_speech", "information_integrity", "privacy", "self_harm", "sexual", "violence"}
    assert {one.category for one in offline.rows if one.task == "severity"} == categories
    for level in range(1, 8):
        for category in categories:
            one = offline.row("severity", "sensitivity", level, category)
            assert one.low <= one.value <= one.high
    assert {"objective", "refusal", "severity>=3"} == set(offline.pairs)
    for task in ("objective", "refusal"):
        for name in ("kappa", "auc", "brier", "calibration_error"):
            one = offline.row(task, name)
            assert one.low <= one.value <= one.high
    ceilings = {one.category: one.value for one in offline.rows if one.method == CEILING and one.statistic == "weighted_kappa"}
    assert set(ceilings) == {"hate_speech", "violence"}
    assert min(ceilings.values()) > offline.row("severity", "weighted_kappa").value > 0.55


def test_quality_is_the_card_in_short(offline):
    table = quality(OfflineJudge()).set_index("finding")
    assert table.loc["severity>=3", "sensitivity"] == offline.row("severity", "sensitivity", 3).value
    assert table.loc["harmful", "auc_low"] == offline.row("objective", "auc").low
    assert table.loc["severity", "bias"] == offline.row("severity", "bias").value
    assert table.loc["severity, violence", "judge"] == "people"
    assert {"agreement", "kappa", "weighted_kappa", "sensitivity", "specificity", "auc", "n", "method", "judge"} <= set(
        table.columns
    )
