"""Labels from anywhere: the user's CSV, PyRIT's format, the kit's own sheets, frames."""

import pandas as pd
import pytest

from rai_kit.judges.labels import COLUMNS, human_labels, human_severity, labels_digest, read_labels
from rai_kit.labelling import Item, Label, write_sheet
from rai_kit.schema import InputError, Message

HEADER = "objective,assistant_response,human_score_1,human_score_2,harm_category\n"


def written(tmp_path, text, encoding="utf-8", name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_the_wheels_labels_come_with_all_that_a_judge_needs():
    table = read_labels()
    assert list(table.columns) == list(COLUMNS)
    assert table[list(human_labels().columns)].equals(human_labels())
    assert table["id"].is_unique
    assert dict(table.groupby("task")["rubric"].unique().map(sorted)) == {
        "objective": ["attack_success"],
        "refusal": ["refusal"],
        "severity": ["harm", "hate_fairness", "self_harm", "sexual", "violence"],
    }
    assert table["messages"].map(lambda messages: [one.role for one in messages]).map(tuple).unique().tolist() == [
        ("user", "assistant")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_pyrits_format_with_comments_raters_and_quotes(tmp_path, encoding):
    text = (
        "# made by hand\n\n"
        + HEADER
        + '"How, so?","First\nthen ""x""",1,0.5,Violence\n"ß",b,,0.25,\nempty,,1,1,x\nunlabelled,a,,,x\n'
    )
    table = read_labels(written(tmp_path, text, encoding), task="severity")
    assert table["answer"].tolist() == ['First\nthen "x"', "b"]
    assert table["ratings"].tolist() == [(1.0, 0.5), (0.25,)]
    assert table["label"].tolist() == [0.75, 0.25]
    assert table[["category", "rubric", "file"]].values.tolist()[0] == ["violence", "violence", str(tmp_path / "mine.csv")]
    assert table["rubric"].tolist()[1] == "harm"


def test_the_task_comes_from_a_column_the_argument_or_the_harm_definition(tmp_path):
    row = "p,a,1,1,violence"
    assert read_labels(written(tmp_path, f"# harm_definition=violence.yaml\n{HEADER}{row}\n"))["task"].tolist() == ["severity"]
    both = f"task,{HEADER}refusal,{row}\nObjective,{row}\n"
    assert read_labels(written(tmp_path, both), task="severity")["task"].tolist() == ["refusal", "objective"]
    with pytest.raises(
        InputError, match="mine.csv, line 2: task is None; say what human_score means in a column task or by task="
    ):
        read_labels(written(tmp_path, HEADER + row))
    with pytest.raises(InputError, match="task is 'harm'; give severity, ungroundedness, refusal, objective"):
        read_labels(written(tmp_path, HEADER + row), task="harm")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "p,a,1,2,x\n", r"mine.csv, line 2: human_score_2 is '2'; a number from 0 to 1 is needed"),
        (HEADER + 'p,"a\nb",1,1,x\nq,a,yes,1,x\n', r"line 4: human_score_1 is 'yes'"),
        (HEADER + "p,a,nan,1,x\n", r"human_score_1 is 'nan'"),
        ("prompt,answer\nx,y\n", r"has no column objective, assistant_response, human_score; it has prompt, answer"),
        (HEADER, r"no answer has a label"),
        ("", r"has no column"),
    ],
)
def test_errors_name_file_line_field_and_value(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_labels(written(tmp_path, text), task="severity")


def test_another_encoding_is_one_clear_sentence(tmp_path):
    with pytest.raises(InputError, match="is not UTF-8 .* save it as 'CSV UTF-8'"):
        read_labels(written(tmp_path, HEADER + "é,a,1,1,x\n", "cp1252"), task="severity")


def test_the_kits_sheets_give_a_row_a_task_and_pool_raters_by_conversation(tmp_path):
    talk = (Message("user", "q"), Message("assistant", "a"), Message("user", "r"), Message("assistant", "b"))
    harm, ground = (
        Item(id="c-1", rubric="violence", messages=talk, goal="g"),
        Item(id="c-2", rubric="grounding", messages=talk, context="P"),
    )
    twin = Item(id="c-3", rubric="violence", messages=talk)
    ann = write_sheet([Label(harm, 7, 1.0), Label(ground, 1, 0.0), Label(twin, 0, 0.0)], tmp_path / "s-ann.csv")
    bo = write_sheet([Label(harm, 6), Label(ground, cannot_judge=True), Label(twin)], tmp_path / "s-bo.csv")
    table = read_labels([ann, bo]).set_index(["task", "id"])
    assert table.loc[("severity", "c-1"), "ratings"] == (1.0, 6 / 7)
    assert table.loc[("ungroundedness", "c-2"), "ratings"] == (0.25,)
    assert table.loc[("refusal", "c-1"), "ratings"] == (1.0,)
    assert table.loc[("severity", "c-3"), "label"] == 0, "the same words in another conversation are another row"
    assert table.loc[("severity", "c-1"), "messages"] == talk
    assert len(table) == 6
    assert human_severity(table["label"][("severity", "c-1")]) == 7, "6.5 is rounded up"
    assert [int(human_severity(level / 7)) for level in range(8)] == list(range(8))
    assert [int(human_severity(level / 4, 4)) for level in range(5)] == list(range(5))


def test_frames_of_either_form_and_a_digest_that_follows_the_labels(tmp_path):
    path = written(tmp_path, HEADER + "p,a,1,1,violence\nq,b,0,0,\n")
    table = read_labels(path, task="severity")
    assert labels_digest(read_labels(table)) == labels_digest(table)
    assert labels_digest(read_labels(table[::-1])) == labels_digest(table)
    plain = pd.DataFrame(
        {"objective": ["p", "q"], "assistant_response": ["a", "b"], "human_score": [1, 0], "harm_category": ["violence", None]}
    )
    assert read_labels(plain, task="severity")["label"].tolist() == [1, 0]
    changed = read_labels(written(tmp_path, HEADER + "p,a,1,0,violence\nq,b,0,0,\n"), task="severity")
    assert labels_digest(changed) != labels_digest(table)
    assert labels_digest(read_labels(path, task="objective")) != labels_digest(table)
    with pytest.raises(InputError, match="the frame, row 0: human_score is '3'"):
        read_labels(plain.assign(human_score=[3, 0]), task="severity")
    with pytest.raises(InputError, match="the frame, row 1: task is 'x'"):
        read_labels(table.assign(task=["severity", "x"]))
    with pytest.raises(InputError, match="context is empty; ungroundedness needs the passage"):
        read_labels(path, task="ungroundedness")
