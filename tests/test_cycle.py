"""Round after round against an endpoint whose models get safer; the training itself is left out, everything around it runs."""

import json
from types import SimpleNamespace

import pytest
from conftest import completion
from test_measure import REFUSAL, WILLING

from rai_kit.measure import Mix, cycle
from rai_kit.measure.cycle import Sizes, break_fix
from rai_kit.schema import InputError

SIZES = Sizes(
    find=8, tries=6, test=1, foreign=3, goals=2, queries=1, refusal=4, turns=1, max_tokens=24, category=("fraud", "stalking")
)


@pytest.fixture
def run(endpoint, tmp_path, monkeypatch):
    """`run(rounds, failing)` runs the cycle, and tells what each arm came of and was taught; the models of `failing` go along."""
    taught = {}

    def run(rounds, failing):
        def answer(body):
            return 200, completion(f"{WILLING} This is {body['model']}." if body["model"] in failing else REFUSAL)

        def train(examples, *, base, out, fresh, earlier, **_):
            names = [address.partition("@")[0] for address in (base, *earlier)]
            taught[out.parent.name] = (names, [*examples, *fresh])
            return SimpleNamespace(address=f"{out.parent.name}@{endpoint.url}")

        endpoint.answer = answer
        monkeypatch.setattr(cycle, "post_train", train)
        settings = {
            "mix": Mix(total=32, found=0.75, harmful=0.1, lookalike=0.1, ordinary=0.05),
            "placebo": False,
            "concurrency": 4,
        }
        found = break_fix(f"base@{endpoint.url}", out=tmp_path / "cycle", sizes=SIZES, rounds=rounds, **settings)
        return found, taught

    monkeypatch.setattr(cycle, "HERE", endpoint.url)
    monkeypatch.setattr(cycle, "served_like", lambda model: tmp_path)
    monkeypatch.setattr(cycle, "_read_weights", lambda arm, place: None)
    return run


def test_each_round_starts_from_the_model_before_and_teaches_what_any_round_found(run):
    found, taught = run(2, {"base", "round-1"})
    assert [arm.name for arm in found.arms] == ["base", "round-1", "round-2"]
    assert [before for before, _ in taught.values()] == [["base"], ["round-1", "base"]]
    models = {
        name: [one.rejected.rpartition("This is ")[2] for one in examples if one.id.startswith("in-house/finding")]
        for name, (_, examples) in taught.items()
    }
    assert set(models["round-1"]) == {"base."}
    assert set(models["round-2"]) == {"base.", "round-1."}
    assert models["round-2"].count("round-1.") > models["round-2"].count("base."), "what breaks now comes first"
    assert found.record["ended"] is None


def test_a_cycle_ends_where_nothing_breaks_any_more(run, tmp_path):
    found, taught = run(3, {"base"})
    assert list(taught) == ["round-1"]
    assert found.last.name == "round-1"
    record = json.loads((tmp_path / "cycle" / "cycle.json").read_text(encoding="utf-8"))
    assert record["rounds"] == 1
    assert record["ended"] == "round-1 failed at nothing that could be taught, so round 2 was not begun"
    assert record["ended"] in repr(found)


def test_a_base_that_fails_at_nothing_is_an_error(run):
    with pytest.raises(InputError, match="0 failures of 'base@.*curation needs 3: measure more"):
        run(1, set())
