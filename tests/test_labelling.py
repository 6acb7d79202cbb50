"""Labelling one's own run: the draw and its probabilities, the sheet through a spreadsheet and back, the cell's clicks."""

import csv
import io
from collections import Counter
from dataclasses import dataclass

import pytest

from rai_kit import labelling
from rai_kit.labelling import Item, Label, parse_csv, read_key, read_sheet, sample_for_labelling, write_sheet
from rai_kit.labelling.csv_files import neutral, restored
from rai_kit.labelling.sheets import as_text, from_text
from rai_kit.schema import Conversation, InputError, Message, Scenario, Verdict, write_jsonl

NASTY = (
    "=HYPERLINK(1)", "+1", "-1", "@x", "'=1", "''=1", "'quoted'", "a;b,c\td", 'say "no"', "line\nbreak", "cr\rlf\r\nend", " [User 1]",
    "[Answer 2]\n\n[User 1] \n\n", "", "\n", "ü 漢 🙂 \u2028 \u200f", "<script>alert(1)</script>", "\ttab", "#not a comment",
)  # fmt: skip


@dataclass
class Run:
    scenarios: list
    conversations: list
    verdicts: list


def made_run(count=200, positive=lambda place: place % 10 == 0, target="m", categories=("continuation", "jailbreak")):
    """A run with every tenth conversation of severity 5."""
    scenarios, talks, verdicts = [], [], []
    for place in range(count):
        category = categories[place % len(categories)] if place > 3 else "grounding"
        rubric = {"continuation": "violence", "jailbreak": "jailbreak", "grounding": "grounding"}[category]
        scenarios.append(
            Scenario(
                id=f"s{place}",
                suite="rai5",
                category=category,
                topic="t",
                goal=f"goal {place}",
                persona="p",
                template="x",
                opening="o",
                rubric=rubric,
                turns=1,
                seed=place,
                cluster=f"k{place // 2}",
                context="The passage." if rubric == "grounding" else None,
            )
        )
        said = (Message("user", f"question {place}"), Message("assistant", NASTY[place % len(NASTY)] + f" answer {place}"))
        talks.append(
            Conversation(
                id=f"c-{target}-{place}", scenario=f"s{place}", target=target, simulator="s", messages=said, category=category
            )
        )
        score = 5.0 if positive(place) else 0.0
        scale = {"ungroundedness": min(score, 4.0)} if rubric == "grounding" else {"severity": score}
        verdicts.append(Verdict(id=talks[-1].id, judge="j", scored=True, refusal=False, **scale))
    return Run(scenarios, talks, verdicts)


# --- the draw


def test_all_positives_up_to_the_number_and_known_probabilities_for_all_others():
    found = made_run()
    sample = sample_for_labelling(found, positives=60, negatives=40)
    score = {verdict.id: verdict.score for verdict in found.verdicts}
    drawn = [item.id for item in sample.items]
    assert sum(score[id] > 0 for id in drawn) == 20, "there are no more"
    assert sum(score[id] == 0 for id in drawn) == 40
    assert len(set(drawn)) == len(drawn)
    assert {sample.key.probability(id) for id in drawn if score[id] > 0} == {1.0}
    assert sum(1 / sample.key.probability(id) for id in drawn) == pytest.approx(200), "the weights add up to the run"
    assert set(sample.key.stratum) == set(score)
    assert {name.rpartition(" | ")[2] for name in sample.key.population} == {"positive", "negative"}


def test_rare_categories_come_whole_and_frequent_ones_share_the_rest():
    sample = sample_for_labelling(made_run(), positives=8, negatives=23)
    counts = Counter(name for item in sample.items for name in [sample.key.stratum[item.id]])
    assert counts == {
        "m | before | grounding | positive": 1,
        "m | before | continuation | positive": 7,
        "m | before | grounding | negative": 3,
        "m | before | continuation | negative": 10,
        "m | before | jailbreak | negative": 10,
    }


def test_the_seed_decides_draw_and_order_and_nothing_else_does(tmp_path):
    found = made_run()
    one, again, other = (sample_for_labelling(found, seed=seed, positives=5, negatives=10) for seed in (0, 0, 1))
    assert one == again
    assert [item.id for item in one.items] != [item.id for item in other.items]
    backwards = Run(found.scenarios[::-1], found.conversations[::-1], found.verdicts[::-1])
    assert sample_for_labelling(backwards, positives=5, negatives=10) == one
    for name in ("scenarios", "conversations", "verdicts"):
        write_jsonl(tmp_path / f"{name}.jsonl", getattr(found, name))
    assert sample_for_labelling(tmp_path, positives=5, negatives=10) == one
    signs = [one.key.stratum[item.id].endswith("positive") for item in one.items]
    assert signs != sorted(signs, reverse=True), "the order does not tell what the judge said"


def test_every_draw_estimates_the_run_without_bias():
    found = made_run(positive=lambda place: place % 4 == 0)
    harmful = {talk.id for place, talk in enumerate(found.conversations) if place % 7 == 0}  # what people would say
    shares = []
    for seed in range(200):
        sample = sample_for_labelling(found, positives=20, negatives=20, seed=seed)
        shares.append(sum(1 / sample.key.probability(item.id) for item in sample.items if item.id in harmful) / 200)
    assert sum(shares) / len(shares) == pytest.approx(len(harmful) / 200, abs=0.01)


def test_unscored_conversations_are_not_drawn_and_bad_requests_are_refused():
    found = made_run(12)
    found.verdicts[5] = Verdict.unscored(found.verdicts[5].id, "j", "judge:timeout")
    assert found.verdicts[5].id not in sample_for_labelling(found).key.stratum
    with pytest.raises(InputError, match="1 negatives are to be drawn from 3 strata"):
        sample_for_labelling(found, negatives=1)
    found.verdicts[6] = Verdict(id=found.verdicts[6].id, judge="other", scored=True, severity=1.0)
    with pytest.raises(InputError, match="judged by j, other"):
        sample_for_labelling(found)
    none = Run(found.scenarios, found.conversations, [Verdict.unscored(one.id, "j", "x") for one in found.verdicts])
    with pytest.raises(InputError, match="nothing to label"):
        sample_for_labelling(none)


def test_pairs_are_drawn_together_and_are_positive_where_either_is():
    before, after = made_run(), made_run(positive=lambda place: place % 15 == 0, target="n")
    sample = sample_for_labelling(before, after, positives=100, negatives=20)
    by_pair = Counter(item.id.rpartition("-")[2] for item in sample.items)
    assert set(by_pair.values()) == {2}
    positive = {place for place in range(200) if place % 10 == 0 or place % 15 == 0}
    assert {int(place) for place in by_pair} >= positive
    assert len(by_pair) == len(positive) + 20
    with pytest.raises(InputError, match="one and the same"):
        sample_for_labelling(before, before)


# --- the sheet


def test_what_a_rater_sees_tells_neither_arm_nor_target_nor_verdict(tmp_path):
    sample = sample_for_labelling(made_run(target="secret-model"))
    assert all(item.id.startswith("c-") for item in sample.items)
    path = write_sheet(
        [Item(id=f"i{place}", rubric=one.rubric, messages=one.messages) for place, one in enumerate(sample.items)],
        tmp_path / "s.csv",
    )
    text = path.read_text(encoding="utf-8-sig")
    assert "secret-model" not in text
    assert "before" not in text
    write_sheet(sample.items, tmp_path / "t.csv", sample.key)
    assert read_key(tmp_path / "t.csv") == sample.key
    assert "positive" not in (tmp_path / "t.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("text", NASTY)
def test_any_text_comes_back_from_the_sheet(tmp_path, text):
    messages = (
        Message("system", text),
        Message("user", text),
        Message("assistant", text + "\n\n"),
        Message("user", "x"),
        Message("assistant", text),
    )
    item = Item(id="c-1", rubric="grounding", messages=messages, goal=text or None, context=text or None, reference=text or None)
    label = Label(item, score=4, refusal=0.5, note=text)
    path = write_sheet([label, Label(Item(id="c-2", rubric="harm", messages=messages), cannot_judge=True)], tmp_path / "s.csv")
    first, second = read_sheet(path)
    assert first == label
    assert (second.cannot_judge, second.score, second.done) == (True, None, True)
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell[:1] in tuple("=+-@\t\r")]
    assert restored(neutral(text)) == text
    assert from_text(as_text(messages)) == messages


def test_a_sheet_that_a_spreadsheet_saved_with_semicolons_and_decimals_is_read(tmp_path):
    path = write_sheet(
        [Item(id="c-1", rubric="harm", messages=(Message("user", "a, b"), Message("assistant", "c; d\ne")))], tmp_path / "s.csv"
    )
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    rows[1][rows[0].index("severity")] = "5,0"
    rows[1][rows[0].index("refusal")] = "No"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    (label,) = read_sheet(path)
    assert (label.score, label.refusal, label.item.messages[1].content) == (5, 0.0, "c; d\ne")


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("severity", "8", "line 2: severity is '8'; write a whole number from 0 to 7"),
        ("severity", "2.5", "severity is '2.5'"),
        ("severity", "high", "severity is 'high'"),
        ("ungroundedness", "3", "ungroundedness is '3'; by rubric 'harm' severity is rated"),
        ("refusal", "maybe", "refusal is 'maybe'; write yes, partial, no"),
        ("cannot_judge", "perhaps", "cannot_judge is 'perhaps'; write yes"),
        ("conversation", "Hello", "conversation begins 'Hello'"),
    ],
)
def test_errors_in_a_sheet_name_line_field_and_value(tmp_path, column, cell, words):
    path = write_sheet(
        [Item(id="c-1", rubric="harm", messages=(Message("user", "a"), Message("assistant", "b")))], tmp_path / "s.csv"
    )
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    rows[1][rows[0].index(column)] = cell
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(InputError, match="s.csv, line 2") as caught:
        read_sheet(path)
    assert words in str(caught.value)


def test_files_that_are_no_csv_of_utf8_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("id;ärger\n".encode("cp1252"))
    with pytest.raises(InputError, match="is not UTF-8 \\(byte 3 is 0xe4\\); save it as 'CSV UTF-8'"):
        read_sheet(path)
    path.write_bytes("id,x\n".encode("utf-16"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_sheet(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_sheet(tmp_path / "none.csv")
    path.write_text("id,x\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column rubric"):
        read_sheet(path)
    with pytest.raises(InputError, match="line 3: 3 cells where the header has 2"):
        parse_csv("# comment\na,b\n1,2,3\n", "y")
    with pytest.raises(InputError, match="closed quotes"):
        parse_csv('a,b\n1,"2\n', "y")
    assert [line for line, _ in parse_csv('a,b\n"1\n1",2\n\n3,4\n', "y").rows] == [2, 5]


def test_a_missing_key_says_what_to_do_and_a_raters_copy_finds_that_of_the_sheet(tmp_path):
    sample = sample_for_labelling(made_run(20))
    write_sheet(sample.items, tmp_path / "s.csv", sample.key)
    assert read_key(tmp_path / "s-ann.csv") == sample.key
    with pytest.raises(InputError, match="no key file beside it"):
        read_key(tmp_path / "other.csv")
    (tmp_path / "s.key.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        read_key(tmp_path / "s.csv")


# --- the cell


def buttons(widget):
    """Every button below a widget, by its words."""
    found = {widget.description: widget} if type(widget).__name__ == "Button" else {}
    for child in getattr(widget, "children", ()):
        found |= buttons(child)
    return found


def text_of(widget):
    return "".join([getattr(widget, "value", "") or "", *(text_of(child) for child in getattr(widget, "children", ()))])


@pytest.fixture
def sheet(tmp_path):
    items = [
        Item(id="c-1", rubric="harm", messages=(Message("user", "<b>q</b>"), Message("assistant", "x" * 5000 + "END"))),
        Item(id="c-2", rubric="grounding", messages=(Message("user", "q2"), Message("assistant", "a2")), context="The passage."),
        Item(id="c-3", rubric="harm", messages=(Message("user", "q3"), Message("assistant", "a3"))),
    ]
    return write_sheet(items, tmp_path / "s.csv")


def test_every_click_is_in_the_file_at_once_and_a_score_leads_on(sheet):
    box = labelling.label_cells(sheet)
    assert "conversation 1 of 3, 0 done" in text_of(box)
    assert "&lt;b&gt;q&lt;/b&gt;" in text_of(box)
    assert "<b>q</b>" not in text_of(box)
    assert "END" in text_of(box), "nothing is cut off"
    buttons(box)["partial"].click()
    assert (read_sheet(sheet)[0].refusal, read_sheet(sheet)[0].done) == (0.5, False)
    assert buttons(box)["partial"].button_style == "info"
    buttons(box)["5"].click()
    assert (read_sheet(sheet)[0].score, read_sheet(sheet)[0].refusal) == (5, 0.5)
    assert "conversation 2 of 3, 1 done" in text_of(box)
    assert "The passage." in text_of(box)
    assert {"0", "4"} <= set(buttons(box))
    assert "5" not in buttons(box), "ungroundedness ends at 4"
    buttons(box)["cannot judge"].click()
    buttons(box)["back"].click()
    assert buttons(box)["cannot judge"].button_style == "warning"
    buttons(box)["2"].click()
    assert (read_sheet(sheet)[1].score, read_sheet(sheet)[1].cannot_judge) == (2, False)
    for _ in range(5):
        buttons(box)["back"].click()
    assert "conversation 1 of 3" in text_of(box)
    assert buttons(box)["5"].button_style == "info"
    for _ in range(5):
        buttons(box)["next"].click()
    assert "conversation 3 of 3, 2 done" in text_of(box)


def test_work_goes_on_where_it_stopped_and_raters_do_not_see_each_other(sheet):
    buttons(labelling.label_cells(sheet, rater="ann"))["7"].click()
    assert "conversation 2 of 3, 1 done" in text_of(labelling.label_cells(sheet, rater="ann"))
    assert "conversation 1 of 3, 0 done" in text_of(labelling.label_cells(sheet, rater="bo"))
    assert read_sheet(sheet)[0].score is None
    assert read_sheet(sheet.with_name("s-ann.csv"))[0].score == 7
    with pytest.raises(InputError, match="rater is '../x'"):
        labelling.label_cells(sheet, rater="../x")


def test_without_ipywidgets_the_sentence_names_the_file(sheet, monkeypatch):
    monkeypatch.setattr("rai_kit.labelling.cells.find_spec", lambda name: None)
    assert str(sheet) in labelling.label_cells(sheet)
