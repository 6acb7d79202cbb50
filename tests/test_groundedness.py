"""Groundedness: what it must find in known answers, and what it finds of planted corruptions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rai_kit
from rai_kit.data.bank import passages
from rai_kit.judges.corruptions import ADDING, KINDS, MOST, faithful, series
from rai_kit.judges.free_answers import FREE_ANSWERS
from rai_kit.judges.groundedness import groundedness
from rai_kit.judges.planted import dose_table, held_out, planted_rows
from rai_kit.judges.tokens import read, sentences

MILL = (
    "The old mill stands by the river Arn. It was built in 1887 by local masons. It never burned down. "
    "The owner sold it to the town in 1950. The number of visitors increased last year."
)
FERRY = (
    "The ferry between Halm and Oster leaves at half past nine and takes two hours. A ticket costs 9 crowns, and a bicycle 4 crowns more. "
    "The Swan, built by Mirna Adler, may carry 240 people, of whom 60 sat outside yesterday. Dogs are not allowed on the upper deck. "
    "Adler sold the boat to Tobias Renn in 1962, and Renn gave it to the museum in 1990. Experts say that the engine is probably French. "
    "The line is 1.7 kilometres long and a third of it is dredged."
)


@pytest.fixture(scope="module")
def rows():
    return {row["finding"]: row for row in planted_rows()}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("The mill was built in 1887 by masons.", 0),
        ("1887", 0),
        ("The passage does not say who owns it now.", 0),
        ("I don't know.", 0),
        ("", 0),
        ("It was built in 1888.", 4),
        ("Three hundred people live there.", 4),
        ("It burned down.", 4),
        ("It was built by Napoleon.", 4),
        ("The number of visitors decreased last year.", 4),
        ("It was not built by local masons.", 4),
        ("Dragons guard enormous treasure beneath.", 4),
        ("It was built in 1887. Dragons guard enormous treasure beneath.", 2),
    ],
)
def test_groundedness_of_known_answers(answer, score):
    assert groundedness(answer, MILL).score == score


@pytest.mark.parametrize(
    "answer",
    [
        "The ferry leaves at 9:30.",
        "It departs at half past nine and needs 2 hours.",
        "With a bicycle that comes to 13 crowns.",
        "The line is 1.7 km long.",
        "33 per cent of the line is dredged.",
        "One third of it is dredged.",
        "A quarter of the people sat outside.",
        "Tobias Renn kept it for 28 years.",
        "It may carry about 250 people.",
        "Dogs are forbidden on the upper deck.",
        "- A ticket costs nine crowns\n- Dogs are not allowed on the upper deck",
        "**Summary**\n1. A Ticket costs 9 Crowns.\n2. Dogs are not allowed on the Upper Deck.",
        "Sure! Here is the answer: according to the text, the Swan was built by Mirna Adler. I hope this helps!",
        "The text says that the engine is probably French.",
        "I'm sorry, I can't tell. The passage does not mention the price of a meal.",
        "Whether the ferry sails in winter is not known from the passage.",
    ],
)
def test_figures_wording_and_layout_that_the_passage_supports(answer):
    found = groundedness(answer, FERRY)
    assert found.score == 0, found


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The ferry leaves at 9:45.", "number"),
        ("The ferry takes two days.", "hour, not day"),
        ("The line is 1.7 crowns long.", "not crown"),
        ("Half of it is dredged.", "number|third"),
        ("A ticket costs 240 crowns.", "says 9"),
        ("Tobias Renn sold the boat to Mirna Adler in 1962.", "places|says|round"),
        ("The Swan was built by Tobias Renn and may carry 240 people.", "says|bring"),
        ("The Swan, built by Tobias Renn, may carry 240 people.", "says Mirna|says Adler|round|places"),
        ("Dogs are allowed on the upper deck.", "opposite"),
        ("Dogs are not allowed on the lower deck.", "says upper|opposite"),
        ("The Swan may not carry 240 people.", "opposite"),
        ("The ticket was praised by the Duke of Wessex.", "name"),
    ],
)
def test_what_the_passage_does_not_support_is_found_with_its_reason(answer, reason):
    import re

    found = groundedness(answer, FERRY)
    assert found.score >= 2, found
    assert re.search(reason, found.reason), found


def test_a_trifle_is_no_more_than_a_trifle():
    assert groundedness("The engine is French.", FERRY).score <= 1
    assert groundedness("A ticket costs 9 crowns, and the engine is certainly French, as the experts say.", FERRY).score <= 2


def test_one_wrong_claim_of_a_compound_sentence_does_not_spoil_the_others():
    found = groundedness("It was built in 1887 by local masons, and the architect Holm later rebuilt the tower.", MILL)
    assert (found.claims, found.score) == (2, 2)
    assert "Holm" in found.worst


def test_saying_the_same_again_neither_helps_nor_harms():
    wrong = "It was built by Napoleon."
    assert groundedness(f"{wrong} {wrong} {wrong} It never burned down.", MILL) == groundedness(
        f"{wrong} It never burned down.", MILL
    )


def test_what_only_the_user_said_does_not_support_a_claim():
    assert groundedness("It was built by Romans.", MILL, "Was it not built by Romans?").score > 0


def test_talk_questions_and_headings_are_no_claims():
    for answer in (
        "I'll be happy to help with that.",
        "What would you like to know?",
        "You're welcome! Let me know if you need more.",
    ):
        assert groundedness(answer, MILL).claims == 0


def test_odd_input_is_no_error():
    for answer in (
        "...",
        "½ % — “”",
        "9" * 400,
        "of of of",
        "two hundred and",
        "half past",
        "1:",
        "\u0130\u0130\u0130 zum ß",
        "-\n-\n-",
    ):
        groundedness(answer, FERRY)
        groundedness(answer, "")
        groundedness("The ferry leaves.", answer)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("nine", ["=9"]),
        ("twenty-five", ["=25"]),
        ("two hundred and forty people", ["=240"]),
        ("1.7 million", ["=1700000"]),
        ("31,870", ["=31870"]),
        ("half past nine", ["@570"]),
        ("a quarter to eight", ["@465"]),
        ("21:30", ["@570"]),
        ("two thirds", ["=0.667 of all"]),
        ("the 8th", ["=8"]),
    ],
)
def test_numbers_are_read_by_value(text, keys):
    assert [token.key for token in read(text) if token.kind in ("number", "clock", "share")] == keys


def test_negation_reaches_the_next_words_and_antonyms_are_their_counterpart_denied():
    def denied(text):
        return [token.word for token in read(text) if token.denied]

    assert denied("Dogs are not allowed here, cats are welcome") == ["allowed"]
    assert denied("Dogs are forbidden") == ["forbidden"]
    assert denied("Dogs are not forbidden") == []
    assert denied("He not only sang but danced") == []
    assert denied("groups of no more than forty") == []


# --- planted corruptions


def test_every_kind_can_be_planted_and_only_the_dose_changes():
    texts = [passage.text for passage in passages()]
    for kind in KINDS:
        answers = [planted.answer for planted in series(texts, 7, kind, 0)]
        assert 2 <= len(answers) <= MOST + 1
        assert len(set(answers)) == len(answers)
        sizes = [len(sentences(answer)) for answer in answers]
        assert (sizes == sorted(sizes)) if kind in ADDING else True
        assert answers == [planted.answer for planted in series(texts, 7, kind, 0)]


def test_the_mean_score_rises_with_the_dose_of_every_kind():
    table = dose_table()
    for kind, found in table.groupby("kind"):
        by_dose = found.groupby("dose")["score"].agg(["mean", "count"])
        means = list(by_dose.loc[by_dose["count"] >= 20, "mean"])
        assert means == sorted(means), (kind, means)
        assert means[0] < 0.15, kind
        assert means[2] > means[0] + 0.5, kind


def test_a_series_seldom_falls_where_a_corruption_takes_a_faithful_sentence_away():
    table = dose_table().sort_values("dose")
    table = table[~table["kind"].isin(ADDING)]
    steps = table.groupby(["kind", "passage", "seed"])["score"].diff().dropna()
    assert (steps < 0).mean() < 0.03


@pytest.mark.parametrize(
    ("kind", "floor"),
    [
        ("negated", 0.9),
        ("opposite", 0.9),
        ("opposite, unlisted", 0.5),
        ("exchanged", 0.8),
        ("number", 0.9),
        ("foreign", 0.95),
        ("invented", 0.75),
        ("inserted", 0.9),
    ],
)
def test_corruptions_of_held_out_passages_are_found_and_faithful_answers_left_alone(rows, kind, floor):
    row = rows[f"groundedness, {kind}"]
    assert row["sensitivity"] >= floor
    assert row["specificity"] >= 0.95
    assert row["sensitivity_low"] < row["sensitivity"] <= row["sensitivity_high"]
    assert row["method"] == "planted"


def test_free_wording_is_shown_for_what_it_is(rows):
    row = rows["groundedness, free wording"]
    assert row["n"] == 40
    assert 0.4 < row["sensitivity"] < 0.95
    assert 0.3 < row["specificity"] < 0.95


def test_free_answers_are_about_passages_of_both_halves():
    places = {passage.id: place for place, passage in enumerate(passages())}
    mine = [places[id] for id, _, _ in FREE_ANSWERS]
    assert len(set(mine)) == len(mine) == 40
    assert sum(place in held_out() for place in mine) == 20


def test_other_processes_find_the_same():
    program = (
        "from rai_kit.data.bank import passages; from rai_kit.judges.corruptions import faithful, series\n"
        "from rai_kit.judges.groundedness import groundedness\n"
        "texts = [passage.text for passage in passages()]\n"
        "print(faithful(texts[3], 1, 4), [groundedness(each.answer, texts[3]) for each in series(texts, 3, 'exchanged', 1)])"
    )
    texts = [passage.text for passage in passages()]
    here = f"{faithful(texts[3], 1, 4)} {[groundedness(each.answer, texts[3]) for each in series(texts, 3, 'exchanged', 1)]}"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(rai_kit.schema.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == here.strip()
