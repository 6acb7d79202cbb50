"""Every notebook runs on the real embedded model in the smoke profile, and what it produced is looked at. "It ran" is no assertion."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import gguf
import matplotlib.image
import nbformat
import numpy as np
import pandas as pd
import pytest

from rai_kit import attacks, corpus, data, embedded, measure, report, training
from rai_kit.data import suite, taxonomy
from rai_kit.data.goal_files import taxonomy_goals
from rai_kit.schema import Conversation, Scenario, Verdict, read_jsonl

pytestmark = pytest.mark.timeout(1800)  # two runs of all notebooks, on slow cores, too
PROFILE = report.load_profile("smoke")
TABLES = ["conversations.jsonl", "verdicts.jsonl", "scenarios.jsonl", "summary.json"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The smoke profile twice, from nothing each time; the second time nothing is read from the first one's journal.

    The second time only the data, the benchmark and the red team, on which the others are built; that training repeats itself is tested
    on a small model.
    """
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    notebooks = report.find_notebooks()
    for folder, chosen in zip(
        folders,
        (notebooks, report.find_notebooks(["01", "03", "04"])),
        strict=True,
    ):
        report.run_notebooks(chosen, "smoke", [], folder, progress=lambda words: None)
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
    assert summary.loc[summary["value"].isna(), "n"].eq(0).all()
    summary = summary[summary["n"] > 0]
    top = np.where(summary["metric"] == "ungroundedness", 4, 1)
    assert ((summary["value"] >= 0) & (summary["value"] <= top)).all()
    assert ((summary["low"] <= summary["value"]) & (summary["value"] <= summary["high"])).all()
    table1 = pd.read_csv(runs[0] / "tables" / "table1.csv")
    assert table1.shape[0] == 5
    assert sum("(published)" in column for column in table1.columns) == 7
    assert {"kappa", "auc", "method"} <= set(pd.read_csv(runs[0] / "tables" / "judge_quality.csv").columns)


def test_every_harm_category_was_asked_for(runs):
    settings = PROFILE["03_rai_benchmark"]
    talks = list(read_jsonl(runs[0] / "03_taxonomy" / "conversations.jsonl", Conversation))
    assert Counter(talk.category for talk in talks) == {one.id: settings["n_harm"] for one in taxonomy().categories}
    assert all(1 <= len(talk.answers) <= settings["turns"] for talk in talks if talk.cause is None)
    rates = pd.read_csv(runs[0] / "tables" / "harm_categories.csv").query("metric == 'DR-3'")
    assert set(rates.query("topic == 'all'")["category"]) == {family.title for family in taxonomy().families}
    assert rates.query("topic == 'all'")[["n", "n_unscored"]].sum().sum() == len(talks)
    assert ((rates["low"] <= rates["value"]) & (rates["value"] <= rates["high"]) | (rates["n"] == 0)).all()


def test_the_red_team_tried_everything_that_the_model_can_read(runs):
    settings, tables = PROFILE["04_red_team"], runs[0] / "tables"
    tried = pd.read_csv(tables / "attempts.csv")
    assert (tried.groupby("strategy").size() == settings["n"]).all()
    assert set(tried["strategy"]) == set(attacks.strategy_names())
    sent = tried[tried["queries"] > 0]
    assert set(tried["strategy"]) - set(sent["strategy"]) <= set(attacks.SCHEMES), "only what it cannot decode is left out"
    assert (sent["queries"] <= settings["queries"]).all()
    assert (sent.loc[sent["outcome"] == "failure", "queries"] == settings["queries"]).all()
    assert sent["on_objective"].mean() > 0.5
    curves = pd.read_csv(tables / "asr_at_k.csv")
    assert set(curves["k"]) == set(range(1, settings["queries"] + 1))
    assert (curves.dropna().eval("low <= value <= high")).all()
    ways = pd.read_csv(tables / "attack_ways.csv").set_index("strategy").loc["all"]
    assert ways["replay"] == ways["adaptive"], "on the target itself both find the same again"
    assert ways["replay_n"] == len(sent)
    said = json.loads((runs[0] / "04_red_team" / "bandit" / "run.json").read_text(encoding="utf-8"))
    assert said["calls"]["targets"]["made"] == 0, "the bandit's attempts are among those that were made"


def test_runs_are_compared_pair_by_pair(runs):
    settings, folder = PROFILE["07_compare_models"], runs[0] / "07_compare_models"
    tables = runs[0] / "tables" / "comparison"
    rows = pd.read_csv(tables / "differences.csv").set_index(["after", "category"])
    assert set(rows.index.get_level_values("after")) == {"sampled_again", "system_message"}
    single = rows[rows.index.get_level_values("category") != "all"]
    assert (single["n"] + single["n_unscored"] == settings["n"]).all()
    assert len(single) == 2 * 5
    assert (rows["low"] <= rows["difference"]).all()
    assert (rows["difference"] <= rows["high"]).all()
    said = {name: json.loads((folder / name / "run.json").read_text(encoding="utf-8")) for name in ("as_it_is", "sampled_again")}
    assert said["as_it_is"]["calls"]["targets"]["made"] == 0, "notebook 03 has held these"
    assert said["sampled_again"]["calls"]["targets"]["made"] == 5 * settings["n"] * settings["turns"]
    told = list(read_jsonl(folder / "system_message" / "conversations.jsonl", Conversation))
    assert all(talk.messages[0].role == "system" for talk in told)
    assert {path.suffix for path in tables.iterdir()} == {".csv", ".md", ".tex"}


def test_a_model_is_really_trained_and_measured_on_what_it_did_not_see(runs):
    settings, folder, tables = PROFILE["06_break_fix"], runs[0] / "break_fix", runs[0] / "tables"
    record = json.loads((folder / "round-1" / "trained" / "training.json").read_text(encoding="utf-8"))
    made = [path for name in ("curated", "fresh") for path in (folder / "round-1" / "curated").glob(f"{name}-*.jsonl")]
    examples = [one for path in made for one in corpus.read_set(path)]
    assert len(examples) == pytest.approx(settings["mix"]["total"], abs=4)
    assert 0 < record["stages"]["sft"]["examples"] < len(examples)
    assert record["stages"]["sft"]["computed_tokens"] < 0.85 * record["stages"]["sft"]["tokens"], "prompts begin alike"
    curve = pd.read_csv(tables / "training_curve.csv").query("stage == 'sft' and metric == 'loss'")
    assert len(curve) == record["stages"]["sft"]["steps"]
    parts = data.part_of(taxonomy_goals().goals)
    assert {parts[one.goal] for one in examples if one.goal} == {"finding"}
    asked = {
        arm: list(read_jsonl(folder / arm / "test" / "harm" / "scenarios.jsonl", Scenario))
        for arm in ("base", "round-1", "placebo")
    }
    assert asked["base"] == asked["round-1"] == asked["placebo"]
    assert {parts[one.cluster] for one in asked["base"] if one.cluster in parts} == {"held_out"}
    said = [
        [talk.answers for talk in read_jsonl(folder / arm / "test" / "harm" / "conversations.jsonl", Conversation)]
        for arm in asked
    ]
    assert said[0] != said[1] != said[2], "training changes what a model says"
    found = pd.read_csv(tables / "break_fix.csv").set_index("category")
    own = sum(one.cluster in parts for one in asked["base"])
    assert found.loc["all", "n"] + found.loc["all", "n_unscored"] == own
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()
    effects = pd.read_csv(tables / "break_fix_effects.csv").set_index("check")
    assert effects.loc["perplexity", "value"] != 1
    assert not effects.loc[["harmful", "placebo", "ordinary", "lookalike"], "value"].isna().any()
    exported = pd.read_csv(folder / "round-1" / "test" / "export.csv")
    assert exported["tokens_equal"].sum() >= 0.8 * exported["tokens"].sum(), "what is served is what was trained"
    page = (runs[0] / "report.html").read_text(encoding="utf-8")
    assert "Harmful answers " in page[: page.index("Contents")]


def test_another_training_seed_gives_another_model_from_the_same_data(runs):
    folder = runs[0]
    first, second = (measure.open_cycle(folder / name) for name in ("break_fix", "break_fix_seed_1"))
    taught = [[one.id for one in cycle.last.curated.examples] for cycle in (first, second)]
    assert taught[0] == taught[1]
    assert [cycle.last.trained.record["recipe"]["seed"] for cycle in (first, second)] == [0, 1]
    assert len({embedded.fingerprint(Path(cycle.last.model.removesuffix("@embedded"))) for cycle in (first, second)}) == 2
    columns = list(pd.read_csv(folder / "tables" / "break_fix_models.csv"))
    assert columns == ["check", "unit", "smollm2-135m@embedded", "seed 1"]


def test_served_weights_that_are_not_the_trained_ones_are_noticed(runs, tmp_path):
    trained = measure.open_trained(runs[0] / "break_fix" / "round-1" / "trained")
    other = Path(shutil.copy(embedded.weights(trained.address.removesuffix("@embedded")), tmp_path / "other.gguf"))
    for tensor in gguf.GGUFReader(other, "r+").tensors:
        if tensor.name in {f"blk.{layer}.ffn_down.weight" for layer in (9, 10, 11, 12)}:
            tensor.data[:] = 0
    found = training.token_agreement(trained.folder, other, [one.prompt for one in corpus.compose_ordinary(8)], 16)
    assert found["tokens_equal"].sum() < 0.7 * found["tokens"].sum()


def test_training_files_hold_what_their_cards_say(runs):
    folder = runs[0] / "01_generate_data"
    files = {path.name.rpartition("-")[0]: path for path in folder.glob("*.jsonl")}
    assert set(files) == {"imitation", "preference", "held-out"}
    sets = {name: corpus.read_set(path) for name, path in files.items()}
    for name, path in files.items():
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert f"rows: {len(sets[name])}\n" in card
        assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert all(one.imitate and one.chosen for one in sets["imitation"])
    assert {one.kind for one in sets["imitation"]} == {"harmful", "lookalike", "ordinary"}
    own = [one for one in sets["preference"] if one.kind == "harmful"]
    assert len(own) > 10
    assert {one.rejected_by for one in own} == {"smollm2-135m@embedded"}
    assert len({one.rejected for one in own}) == len(own), "a real model does not repeat itself"
    assert not corpus.leaks([*sets["imitation"], *sets["preference"]], sets["held-out"])["leak"].any()
    covered = pd.read_csv(runs[0] / "tables" / "coverage.csv")
    assert list(covered["category"]) == [one.title for one in taxonomy().categories]
    assert covered["preference pairs"].sum() == sum(bool(one.harm_categories) for one in sets["preference"])


def test_no_figure_is_blank(runs):
    figures = sorted((runs[0] / "figures").glob("*.png"))
    of_judges = ["judge_agreement", "judge_confusion", "judge_errors", "judge_reliability", "judge_thresholds"]
    others = ["corrected_rates", "coverage", "harm_categories", "quickstart_topics", "severity", "table1", "topics"]
    of_attacks = ["asr_at_k", "attack_map", "personas", "weaknesses"]
    of_arms = [
        "before_after",
        "comparison_funnel",
        "differences",
        "early_looking",
        "ranks",
        "regression_to_the_mean",
        "severity_curves",
    ]
    of_cycle = ["break_fix", "break_fix_costs", "break_fix_models", "origins", "rounds", "side_effects", "training_curves"]
    assert [path.stem for path in figures] == sorted([*of_judges, *of_attacks, *of_arms, *of_cycle, *others])
    for path in figures:
        pixels = matplotlib.image.imread(path)
        colours = (pixels * 255).astype(np.uint32) @ np.array([1 << 24, 1 << 16, 1 << 8, 1][: pixels.shape[-1]], dtype=np.uint32)
        assert len(np.unique(colours)) > 50, path.name


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
    for step in ("03_rai_benchmark", "03_taxonomy", "04_red_team"):
        for name in (*TABLES, "attempts.jsonl") if step == "04_red_team" else TABLES:
            first, second = ((folder / step / name).read_bytes() for folder in runs)
            assert first == second, f"{step}/{name}"
    first, second = ({path.name: path.read_bytes() for path in (folder / "01_generate_data").iterdir()} for folder in runs)
    assert first == second


def test_running_again_on_finished_work_makes_no_call(runs):
    folder = runs[0]
    before = [(folder / "03_rai_benchmark" / name).read_bytes() for name in TABLES]
    (folder / "notebooks" / "03_rai_benchmark.ipynb").unlink()  # otherwise it would be left as it is
    report.run_notebooks(report.find_notebooks(["03"]), "smoke", [], folder, progress=lambda words: None)
    said = json.loads((folder / "03_rai_benchmark" / "run.json").read_text(encoding="utf-8"))
    assert said["calls"]["targets"]["made"] == sum(cause == "target:empty" for cause in said["counts"]["unscored"])
    assert [(folder / "03_rai_benchmark" / name).read_bytes() for name in TABLES] == before
