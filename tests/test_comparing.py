"""Finished runs side by side: opened from their folders, joined by key, named apart, gated; wrong pairs are refused with counts."""

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from zlib import crc32

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import completion
from test_measure import REFUSAL, WILLING

from rai_kit import measure
from rai_kit.cli import cli
from rai_kit.schema import InputError

SHARES = {"wild": 0.8, "tame": 0.15}


def answer(body):
    """`wild` goes along more often than `tame`, by request and seed, and only where `tame` does too or at other requests."""
    drawn = crc32(f"{body['messages'][-1]['content']}:{body['seed']}".encode()) / 2**32
    share = SHARES[body["model"]] * (0.2 if body["messages"][0]["role"] == "system" else 1)
    return 200, completion(WILLING if drawn < share else REFUSAL)


@pytest.fixture
def ask(endpoint, tmp_path):
    """Runs a small benchmark of some model into a folder of that name."""
    endpoint.answer = answer

    def asked(name, model="wild", **settings):
        given = {
            "category": ["jailbreak", "continuation", "grounding"],
            "n": 16,
            "turns": 1,
            "seed": 3,
            "concurrency": 4,
        } | settings
        return measure.benchmark(f"{model}@{endpoint.url}", out=tmp_path / name, **given)

    return asked


def test_a_run_opened_again_is_what_it_was(ask, tmp_path):
    made = ask("a")
    opened = measure.open_run(tmp_path / "a")
    pd.testing.assert_frame_equal(opened.table, made.table)
    pd.testing.assert_frame_equal(opened.estimates, made.estimates, check_dtype=False)
    assert opened.run == json.loads((tmp_path / "a" / "run.json").read_text(encoding="utf-8"))
    assert opened.conversations == made.conversations


def test_two_models_are_told_apart_where_they_differ(ask, tmp_path):
    first, second = ask("a"), ask("b", "tame")
    found = measure.compare(tmp_path / "a", tmp_path / "b")
    assert [arm.name.partition("@")[0] for arm in found.arms] == ["wild", "tame"]
    rows = found.differences.set_index("category")
    assert set(rows.index) == {"jailbreak", "continuation", "grounding", "all"}
    assert rows.loc["jailbreak", "finding"] == "lower"
    assert rows.loc["jailbreak", "high"] < 0
    both = first.table.merge(second.table, on=["scenario", "seed"], suffixes=("", "_after")).query("category == 'jailbreak'")
    assert rows.loc["jailbreak", "fixed"] == ((both["severity"] >= 1) & (both["severity_after"] < 1)).sum()
    assert rows.loc["jailbreak", "n"] == len(both) == 16
    assert rows.loc["all", "n"] == 32, "the mean of ungroundedness is no share of defects"
    best = found.ranks.query("category == 'jailbreak'").set_index("rank")
    assert best.loc[1, "model"].startswith("tame")
    assert Counter(found.causes["stage"])["planned"] == 6


def test_a_re_sampling_is_joined_by_scenario_and_shows_regression_to_the_mean(ask, tmp_path):
    ask("a"), ask("again", resample=1)
    found = measure.compare(tmp_path / "a", tmp_path / "again")
    assert [arm.name for arm in found.arms] == ["a", "again"]
    row = found.differences.set_index("category").loc["jailbreak"]
    assert row["n"] == 16
    assert row["fixed"] > 0, "with other seeds some failures are gone, though nothing was mended"
    said = found.shown().set_index("category").loc["jailbreak", "finding"]
    assert said == f"no difference shown (could have shown {row['mde']:.2g})"
    failed = found.regression.set_index("group").loc["failed first"]
    assert failed["first"] == 1
    assert failed["again"] < 1
    assert not measure.compare(tmp_path / "a", ask("b", "tame").out).regression.size


def test_a_system_message_is_an_arm_with_the_same_pairs(ask, tmp_path):
    ask("a")
    told = ask("told", system="Be careful.")
    assert all(talk.messages[0].content.startswith("Be careful.") for talk in told.conversations)
    found = measure.compare(tmp_path / "a", tmp_path / "told")
    assert found.differences.set_index("category").loc["jailbreak", "finding"] == "lower"


def test_what_does_not_match_is_counted_and_refused(ask, tmp_path):
    ask("a"), ask("more", "tame", n=20), ask("only", "tame", category="jailbreak")
    with pytest.raises(InputError, match="12 of 60"):
        measure.compare(tmp_path / "a", tmp_path / "more")
    shared = measure.compare(tmp_path / "a", tmp_path / "more", common=True)
    assert set(shared.differences.set_index("category")["n"]) == {16, 32}
    (tmp_path / "a" / "run.json").unlink()
    with pytest.raises(InputError, match=r"no finished run.*once more"):
        measure.compare(tmp_path / "a", tmp_path / "more")
    with pytest.raises(InputError, match="no finished run"):
        measure.compare(tmp_path / "nowhere", tmp_path / "more")
    with pytest.raises(InputError, match="two run folders"):
        measure.compare(tmp_path / "more")


def test_damaged_folders_are_refused_with_the_way_out(ask, tmp_path):
    ask("a"), ask("b", "tame")
    folder = tmp_path / "b"
    whole = {name: (folder / name).read_bytes() for name in ("run.json", "summary.json", "conversations.jsonl", "verdicts.jsonl")}
    cut = {name: b"".join(whole[name].splitlines(keepends=True)[:-2]) for name in ("conversations.jsonl", "verdicts.jsonl")}
    damages = [{"summary.json": b"[{"}, {"run.json": b'{"what": "benchmark"}'}, {"run.json": b"x"}, cut, dict.fromkeys(cut, b"")]
    for damage in damages:
        for name, data in (whole | damage).items():
            (folder / name).write_bytes(data)
        with pytest.raises(InputError, match=r"once more|no record"):
            measure.compare(tmp_path / "a", folder)


def test_arms_share_what_is_compared_and_say_what_was_left_out(ask, tmp_path):
    ask("a"), ask("only", "tame", category="jailbreak")
    found = measure.compare(tmp_path / "a", tmp_path / "only", common=True)
    assert found.sides().set_index("folder")["left_out"].to_dict() == {"a": 32, "only": 0}
    assert "left out: 32" in found.notes()[0]
    pooled = found.rates[found.rates["category"] == "all"].set_index("model")
    row = found.differences.set_index("category").loc["all"]
    assert set(pooled["n"]) == {16}
    assert pooled["value"].tolist() == pytest.approx([row["value_before"], row["value_after"]])
    assert found.gate("harm.before <= 1").clauses[0].value == row["value_before"]


def test_names_keep_the_model_where_models_differ(ask, tmp_path):
    folders = [ask("a").out, ask("told", system="Be careful.").out, ask("b", "tame").out]
    names = [arm.name for arm in measure.compare(*folders).arms]
    assert [name.partition("@")[0] for name in names] == ["wild", "wild", "tame"]
    assert len(set(names)) == 3


def test_many_categories_are_compared_by_family(ask, tmp_path):
    settings = {"suite": "taxonomy", "category": None, "n": 1}
    ask("a", **settings), ask("b", "tame", **settings)
    found = measure.compare(tmp_path / "a", tmp_path / "b")
    assert 5 < len(found.metrics) < 20
    assert found.differences.set_index("category").loc["all", "n"] == 62
    fine = measure.compare(tmp_path / "a", tmp_path / "b", by="category")
    assert len(fine.metrics) == 62


def test_red_teams_compare_by_goal_and_way_apart(endpoint, tmp_path):
    endpoint.answer = answer
    settings = {"n": 12, "strategies": ["direct", "authority"], "queries": 2, "concurrency": 4}
    measure.red_team(f"wild@{endpoint.url}", out=tmp_path / "a", **settings)
    measure.red_team(f"tame@{endpoint.url}", out=tmp_path / "b", **settings)
    found = measure.compare(tmp_path / "a", tmp_path / "b")
    assert set(found.metrics.values()) == {"ASR@2"}
    row = found.differences.set_index("category").loc["all"]
    assert row["n"] + row["n_unscored"] == 24
    assert row["n_clusters"] == 12
    assert row["difference"] < 0
    measure.attack_again(tmp_path / "a", f"tame@{endpoint.url}", out=tmp_path / "again", concurrency=4)
    again = measure.compare(tmp_path / "a", tmp_path / "again", common=True)
    assert sorted(arm.name.rpartition(", ")[2] for arm in again.arms[1:]) == ["adaptive", "replay"]
    measure.benchmark(f"wild@{endpoint.url}", out=tmp_path / "talks", n=2, turns=1, category="jailbreak")
    with pytest.raises(InputError, match="different kinds"):
        measure.compare(tmp_path / "a", tmp_path / "talks")


def command(*words):
    return CliRunner().invoke(cli, ["compare", *map(str, words)])


def test_the_gate_ends_with_1_and_says_what_failed(ask, tmp_path):
    ask("a"), ask("b", "tame")
    folders = [tmp_path / "a", tmp_path / "b"]
    passed = command(*folders, "--gate", "jailbreak.DR-1 <= 0.6 and harm.diff.high <= 0.02")
    assert passed.exit_code == 0, passed.output
    assert "gate: passed" in passed.output
    report = tmp_path / "gate.xml"
    failed = command(*folders, "--gate", "jailbreak.DR-1 <= 0 and harm.diff <= 0", "--junit", report)
    assert failed.exit_code == 1
    assert "jailbreak.DR-1 is 0." in failed.output
    suite = ElementTree.parse(report).getroot().find(".//testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    value = measure.open_run(tmp_path / "b").estimates.query("category == 'jailbreak' and topic == 'all' and metric == 'DR-1'")
    assert f"{value['value'].iloc[0]:.3g}"[:5] in failed.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gate", "jailbrake.DR-1 <= 0.1"], "jailbreak"),
        (["--gate", "jailbreak.DR-1 <="], "number"),
        (["--gate", "harm.DR-1 <= 0.1"], "leave out DR-1"),
        (["--gate", "jailbreak <= 15"], "0.15 or 15%"),
        (["--gate", "harm.diff.p_holm <= 0.1"], "harm.diff.p"),
        (["--gate", "grounding.DR-1 <= 0.1"], "ungroundedness"),
        (["--margin", "15"], "0.05"),
        (["--seed", "-1"], "at least 0"),
        (["--out", "/proc/x/y"], "another place"),
        (["--junit", "x.xml"], "--gate"),
    ],
)
def test_bad_rules_are_explained(ask, tmp_path, words, said):
    ask("a"), ask("b", "tame")
    result = command(tmp_path / "a", tmp_path / "b", *words)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_the_command_writes_tables_and_figures(ask, tmp_path):
    ask("a"), ask("b", "tame")
    done = command(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--margin", "0.1")
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"differences.csv", "differences.md", "differences.tex", "differences.png", "rates.csv", "ranks.csv"} <= written
    rows = pd.read_csv(tmp_path / "out" / "differences.csv").set_index("category")
    assert {"margin", "non_inferior", "equivalent"} <= set(rows.columns)
    assert rows.loc["jailbreak", "non_inferior"]
    last = {words[0]: words[-1] for words in map(str.split, done.output.splitlines()) if words}
    assert {name: last[name] for name in rows.index} == rows["finding"].to_dict() == dict.fromkeys(rows.index, "lower")
    assert "(Holm)" in done.output
    assert "(alone)" in done.output
