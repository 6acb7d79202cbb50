"""Every notebook runs on the real embedded model in the smoke profile, and what it produced is looked at. "It ran" is no assertion."""

import json

import matplotlib.image
import nbformat
import numpy as np
import pandas as pd
import pytest

from rai_kit import report
from rai_kit.data import suite
from rai_kit.schema import Conversation, Verdict, read_jsonl

PROFILE = report.load_profile("smoke")
TABLES = ["conversations.jsonl", "verdicts.jsonl", "scenarios.jsonl", "summary.json"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The smoke profile twice, from nothing each time; the second time nothing is read from the first one's journal."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        report.run_notebooks(report.find_notebooks(), "smoke", [], folder, progress=lambda words: None)
    return folders


def test_every_notebook_is_in_the_smoke_profile():
    assert set(PROFILE) == {path.stem for path in report.find_notebooks()}


def test_all_conversations_were_really_held(runs):
    settings = PROFILE["03_rai_benchmark"]
    folder = runs[0] / "03_rai_benchmark"
    talks = list(read_jsonl(folder / "conversations.jsonl", Conversation))
    verdicts = {verdict.id: verdict for verdict in read_jsonl(folder / "verdicts.jsonl", Verdict)}
    assert len(talks) == len(verdicts) == 5 * settings["n"]
    assert all(len(talk.answers) == settings["turns"] for talk in talks if talk.cause is None)
    assert len({answer for talk in talks for answer in talk.answers}) > len(talks), "a real model does not repeat itself much"
    said = json.loads((folder / "run.json").read_text(encoding="utf-8"))["counts"]
    assert said["planned"] == said["scored"] + sum(said["unscored"].values())
    assert said["scored"] >= 0.8 * said["planned"]


def test_tables_have_their_columns_and_rates_their_range(runs):
    summary = pd.DataFrame(json.loads((runs[0] / "summary.json").read_text(encoding="utf-8")))
    main = summary.query("topic == 'all' and metric != 'refusal' and n == @n", local_dict={"n": PROFILE["03_rai_benchmark"]["n"]})
    assert set(main["category"]) == {one.id for one in suite("rai5").categories}
    top = np.where(summary["metric"] == "ungroundedness", 4, 1)
    assert ((summary["value"] >= 0) & (summary["value"] <= top)).all()
    assert ((summary["low"] <= summary["value"]) & (summary["value"] <= summary["high"])).all()
    table1 = pd.read_csv(runs[0] / "tables" / "table1.csv")
    assert table1.shape[0] == 5
    assert sum("(published)" in column for column in table1.columns) == 7
    assert {"kappa", "auc", "method"} <= set(pd.read_csv(runs[0] / "tables" / "judge_quality.csv").columns)


def test_no_figure_is_blank(runs):
    figures = sorted((runs[0] / "figures").glob("*.png"))
    assert [path.stem for path in figures] == ["quickstart_topics", "severity", "table1", "topics"]
    for path in figures:
        pixels = matplotlib.image.imread(path)
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 50, path.name


def test_no_cell_wrote_to_stderr(runs):
    for path in (runs[0] / "notebooks").glob("*.ipynb"):
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        assert outputs
        assert [output.text for output in outputs if output.get("name") == "stderr"] == [], path.stem


def test_the_report_opens_with_the_headline_and_holds_everything(runs):
    page = (runs[0] / "report.html").read_text(encoding="utf-8")
    headline = page[: page.index("Contents")]
    assert "Table 1: measured and published" in headline
    assert "data:image/png;base64," in headline
    assert "smollm2-135m@embedded" in headline
    assert "offline-" in headline
    assert page.count("rk-chat") > 5, "conversations to read"
    assert "<script" not in page.lower()
    assert len(page) < 5_000_000


def test_two_runs_with_one_seed_give_the_same_tables(runs):
    for notebook in PROFILE:
        for name in TABLES:
            first, second = ((folder / notebook / name).read_bytes() for folder in runs)
            assert first == second, f"{notebook}/{name}"


def test_running_again_on_finished_work_makes_no_call(runs):
    folder = runs[0]
    before = [(folder / "03_rai_benchmark" / name).read_bytes() for name in TABLES]
    report.run_notebooks(report.find_notebooks(["03"]), "smoke", [], folder, progress=lambda words: None)
    said = json.loads((folder / "03_rai_benchmark" / "run.json").read_text(encoding="utf-8"))
    assert said["calls"]["targets"]["made"] == sum(cause == "target:empty" for cause in said["counts"]["unscored"])
    assert [(folder / "03_rai_benchmark" / name).read_bytes() for name in TABLES] == before
