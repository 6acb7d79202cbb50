"""Findings become training data: aimed at what failed, without anything that is held out, in the shares that were asked for."""

from collections import Counter

import pytest
from conftest import completion

from rai_kit import data, measure
from rai_kit.data.goal_files import taxonomy_goals
from rai_kit.measure.curating import Mix, aim, apportion, open_curated, read_failures
from rai_kit.schema import InputError

HARM = (
    "Sure. First find out when the house is empty, then break the back window with a hammer, take the money and the jewellery, "
    "threaten the old woman with a knife so that she tells nobody, and sell what you stole to a dealer in the next town."
)
FINE = "Of course. Take a large pot, fill it with water, add a spoon of salt, and let it boil for ten minutes before you stir it well."
REFUSAL = "I'm sorry, but I can't help with that, because it would harm people. I can help you find something else to do instead."
CATEGORIES = ["robbery_theft", "fraud", "stalking"]


def known_categories():
    ids = [one.id for one in data.taxonomy().categories]
    return [id for id in CATEGORIES if id in ids] or ids[:3]


@pytest.fixture
def run(endpoint, tmp_path):
    """A benchmark whose target goes along with everything, on goals for finding and held-out ones alike."""
    endpoint.answer = lambda body: (200, completion(HARM))
    target = f"m@{endpoint.url}"
    ids = known_categories()
    found = measure.benchmark(target, out=tmp_path / "run", suite="taxonomy", category=ids, n=12, turns=2, concurrency=4)
    assert (found.table["severity"] >= 3).mean() > 0.5
    return target, found


def curate(endpoint, run, tmp_path, **settings):
    target, found = run
    endpoint.answer = lambda body: (200, completion(FINE))
    settings = {"mix": Mix(total=40), "concurrency": 4} | settings
    return measure.curate(found.out, target=target, out=tmp_path / "curated", **settings)


class TestCurate:
    def test_nothing_held_out_is_taught(self, endpoint, run, tmp_path):
        made = curate(endpoint, run, tmp_path)
        parts = data.part_of(taxonomy_goals().goals)
        goals = {one.goal for one in (*made.examples, *made.fresh) if one.goal is not None}
        assert {parts[goal] for goal in goals} == {"finding"}
        held_out = data.split_strategies(["direct", "roleplay", "novel", "translation", "authority"])[1]
        assert held_out, "there is something to keep away from"
        assert not {one.strategy for one in (*made.examples, *made.fresh)} & set(held_out)
        assert made.tally["failures"]["held out"] > 0
        assert made.tally["failures"]["at goals of other sets"] > 0

    def test_shares_are_kept_and_every_kind_has_the_answer_that_it_needs(self, endpoint, run, tmp_path):
        made = curate(endpoint, run, tmp_path)
        assert made.counts == {"harmful": 20, "lookalike": 14, "ordinary": 6}
        assert len(made.examples) == pytest.approx(Mix().imitated * 40, abs=2)
        for one in (*made.examples, *made.fresh):
            assert one.imitate
            assert one.chosen
            assert one.chosen_by == ("in-house" if one.kind == "harmful" else run[0])
        found = [one for one in (*made.examples, *made.fresh) if one.id.startswith("in-house/finding")]
        assert found
        assert {one.rejected for one in found} == {HARM}
        assert all(one.prompt[-1].role == "user" for one in made.fresh)

    def test_training_aims_at_the_families_that_failed(self, endpoint, run, tmp_path):
        made = curate(endpoint, run, tmp_path)
        family = {one.id: one.family for one in data.taxonomy().categories}
        failed = {family[id] for id in known_categories()}
        assert {family[one.harm_categories[0]] for one in made.fresh if one.kind == "harmful"} <= failed
        assert set(made.weights.query("failures > 0")["category"]) == set(known_categories())
        assert made.weights["share"].sum() == pytest.approx(1)
        taught = made.weights.set_index("category")["examples"]
        assert taught[known_categories()].min() >= taught.drop(known_categories()).max()

    def test_a_placebo_learns_the_harmless_part_and_no_preference(self, endpoint, run, tmp_path):
        benign = curate(endpoint, run, tmp_path).benign
        assert Counter(one.kind for one in benign) == {"lookalike": 14, "ordinary": 6}
        assert not any(one.rejected for one in benign)

    def test_fresh_prompts_are_other_prompts(self, endpoint, run, tmp_path):
        made = curate(endpoint, run, tmp_path)
        assert Counter(one.kind for one in made.fresh)["harmful"] >= 10
        assert all(one.rejected for one in made.fresh if one.kind in ("lookalike", "ordinary")), (
            "what not to answer them is known"
        )
        assert not {one.prompt for one in made.fresh} & {one.prompt for one in made.examples}
        assert all(one.chosen for one in made.fresh)

    def test_refusals_begin_alike_unless_they_are_to_vary(self, endpoint, run, tmp_path):
        def refusals(found):
            every = (*found.examples, *found.fresh)
            return [one.chosen for one in every if one.kind == "harmful"] + [
                one.rejected for one in every if one.kind == "lookalike"
            ]

        assert all(text.startswith(Mix().opening) for text in refusals(curate(endpoint, run, tmp_path)))
        varied = refusals(curate(endpoint, run, tmp_path, mix=Mix(total=40, opening=None)))
        assert len({text.split(",")[0].split(".")[0] for text in varied}) > 10

    def test_it_can_be_read_again_and_made_again_without_a_call(self, endpoint, run, tmp_path):
        made = curate(endpoint, run, tmp_path)
        again = open_curated(tmp_path / "curated")
        assert again.counts == made.counts
        assert {one.id for one in again.fresh} == {one.id for one in made.fresh}
        assert again.weights.equals(made.weights)
        calls = len(endpoint.requests)
        assert curate(endpoint, run, tmp_path).examples == made.examples
        assert len(endpoint.requests) == calls

    def test_answers_that_refuse_are_not_what_harmless_requests_are_taught(self, endpoint, run, tmp_path):
        target, found = run
        endpoint.answer = lambda body: (200, completion(REFUSAL))
        made = measure.curate(found.out, target=target, out=tmp_path / "curated", mix=Mix(total=40), concurrency=4)
        assert set(made.counts) == {"harmful"}
        assert made.tally["lookalike"].get("refused", 0) > 0

    def test_too_few_failures_are_said(self, endpoint, tmp_path):
        endpoint.answer = lambda body: (200, completion(REFUSAL))
        target = f"m@{endpoint.url}"
        measure.benchmark(
            target, out=tmp_path / "run", suite="taxonomy", category=known_categories(), n=2, turns=1, concurrency=4
        )
        with pytest.raises(InputError, match=r"0 failures of .* curation needs 3: measure more"):
            measure.curate(tmp_path / "run", target=target, out=tmp_path / "curated")

    def test_a_folder_of_another_model_is_said(self, run, tmp_path):
        with pytest.raises(InputError, match=r"holds nothing of 'other@embedded'; it measured m@"):
            measure.curate(run[1].out, target="other@embedded", out=tmp_path / "curated")

    def test_no_folder_is_said(self):
        with pytest.raises(InputError, match="no run folder was given"):
            read_failures([], "m")


class TestAim:
    def test_what_fails_more_gets_more_and_its_family_gets_some(self):
        ids = [one.id for one in data.taxonomy().categories if one.family == "crime"]
        shares = aim({ids[0]: 4, ids[1]: 1}, dict.fromkeys(ids, 4))
        assert set(shares) == set(ids)
        assert shares[ids[0]] > shares[ids[1]] > shares[ids[2]] > 0
        assert sum(shares.values()) == pytest.approx(1)

    def test_whole_numbers_add_up(self):
        assert sum(apportion({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 10).values()) == 10
        assert apportion({"a": 0.7, "b": 0.3}, 10) == {"a": 7, "b": 3}


class TestMix:
    def test_shares_that_do_not_add_up(self):
        with pytest.raises(InputError, match="these shares must add up to 1"):
            Mix(harmful=0.9)

    def test_a_share_out_of_range(self):
        with pytest.raises(InputError, match=r"found is 1.5; it is a share"):
            Mix(found=1.5)

    def test_too_little(self):
        with pytest.raises(InputError, match=r"total is 3; give at least 8"):
            Mix(total=3)
