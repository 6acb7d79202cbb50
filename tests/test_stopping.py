"""Stopping early: fewer calls, the same conversations whatever the concurrency, intervals that allow for the looking."""

import json

import pytest
from conftest import completion
from test_measure import REFUSAL, WILLING, run

from rai_kit import measure
from rai_kit.schema import InputError


def test_a_clear_case_is_decided_with_few_conversations(endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion(REFUSAL))
    found = run(endpoint, tmp_path, n=60, turns=1, until="<= 0.3", concurrency=2)
    held = len(found.table)
    assert 5 < held < 40
    assert len(endpoint.requests) <= held + 2, "what was under way may end, nothing more is begun"
    assert len(found.conversations) == len(found.verdicts) == held
    assert {talk.id for talk in found.conversations} == set(found.table["id"])
    said = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert said["stopped"] == [{"model": f"m@{endpoint.url}", "category": "jailbreak", "planned": 60, "held": held}]
    assert said["counts"]["planned"] == 60
    assert said["counts"]["not_needed"] == 60 - held
    compared = measure.compare(tmp_path, run(endpoint, tmp_path / "other", n=held, turns=1).out, common=True)
    assert len(measure.open_run(tmp_path).table) == held
    assert any("could stop early" in note for note in compared.notes())
    rate = found.estimates.query("topic == 'all' and metric == 'DR-1'").iloc[0]
    assert rate["high"] <= 0.3
    assert "looked at early" in rate["method"]


def test_what_is_kept_does_not_depend_on_concurrency_or_on_a_restart(endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion(REFUSAL if len(body["messages"][-1]["content"]) % 3 else WILLING))
    settings = {"n": 50, "turns": 1, "until": "0.25"}
    alone = run(endpoint, tmp_path / "alone", concurrency=1, **settings)
    made = len(endpoint.requests)
    beside = run(endpoint, tmp_path / "beside", concurrency=8, **settings)
    assert len(alone.table) < 50
    assert beside.table.equals(alone.table)
    assert beside.estimates.equals(alone.estimates)
    endpoint.requests.clear()
    again = run(endpoint, tmp_path / "alone", concurrency=16, **settings)
    assert again.table.equals(alone.table)
    assert len(endpoint.requests) <= 50 - made, "nothing that was answered is asked again"


def test_an_undecided_case_asks_all_and_its_interval_is_no_narrower(endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion(WILLING if len(body["messages"][-1]["content"]) % 2 else REFUSAL))
    plain = run(endpoint, tmp_path / "plain", n=12, turns=1)
    watched = run(endpoint, tmp_path / "watched", n=12, turns=1, until="0.01")
    assert set(watched.table["id"]) == set(plain.table["id"])
    one, other = (found.estimates.query("topic == 'all' and metric == 'DR-1'").iloc[0] for found in (plain, watched))
    assert other["value"] == one["value"]
    assert other["low"] <= one["low"]
    assert other["high"] >= one["high"]
    assert other["high"] - other["low"] > one["high"] - one["low"]


def test_each_category_and_model_ends_by_itself(endpoint, tmp_path):
    endpoint.answer = lambda body: (
        200,
        completion(WILLING if body["model"] == "m" and len(body["messages"][-1]["content"]) % 2 else REFUSAL),
    )
    targets = [f"m@{endpoint.url}", f"calm@{endpoint.url}"]
    settings = {"category": ["jailbreak", "continuation"], "n": 40, "turns": 1, "until": "<= 0.4", "concurrency": 4}
    found = measure.benchmark(targets, out=tmp_path, **settings)
    held = {(one["model"].partition("@")[0], one["category"]): one["held"] for one in found.run["stopped"]}
    assert held["calm", "jailbreak"] < 40
    assert held["calm", "continuation"] < 40
    assert held["m", "jailbreak"] > held["calm", "jailbreak"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"until": "soon"}, "soon"), ({"until": "0.1", "batch": True, "judge": "j@http://127.0.0.1:9/v1"}, "leave out batch")],
)
def test_rules_that_cannot_be_followed(endpoint, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        run(endpoint, tmp_path / "x", **settings)
    assert not (tmp_path / "x").exists()
