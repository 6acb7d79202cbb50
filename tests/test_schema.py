import json

import pytest

from rai_kit.schema import Conversation, InputError, Message, Scenario, Verdict, digest, encode, read_jsonl, write_jsonl


def scenario(**changes):
    values = {
        "id": "s1", "suite": "rai5", "category": "jailbreak", "topic": "conspiracy", "goal": "g", "persona": "p", "template": "t",
        "opening": "o", "rubric": "jailbreak", "turns": 3, "seed": 1, "cluster": "t",
    }  # fmt: skip
    return Scenario(**(values | changes))


def test_records_travel_unchanged(tmp_path):
    talk = Conversation(
        id="c", scenario="s1", target="m", simulator="S()", category="jailbreak",
        messages=(Message("user", "Grüße \u2028 \u0000 \"quoted\"\n"), Message("assistant", "日本")),
    )  # fmt: skip
    path = tmp_path / "c.jsonl"
    assert write_jsonl(path, [talk, talk]) == 2
    assert list(read_jsonl(path, Conversation)) == [talk, talk]
    assert path.read_bytes().count(b"\n") == 2, "one record, one line, whatever the text holds"


def test_nan_becomes_null():
    line = encode(Verdict(id="c", judge="j", scored=True, severity=float("nan")))
    assert json.loads(line)["severity"] is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"id": 3}', ["line 2", "id"]),
        (b'{"id": "a"}', ["line 2", "missing required field", "suite"]),
        (b"[1]", ["line 2"]),
        (b"{", ["line 2"]),
        (b'{"id": "\xff"}', ["line 2"]),
        (encode(scenario())[:-1] + b', "tunrs": 4}', ["line 2", "tunrs", "turns"]),
        (encode(scenario()).replace(b'"turns":3', b'"turns":"3"'), ["line 2", "turns"]),
        (encode(scenario()).replace(b'"turns":3', b'"turns":NaN'), ["line 2"]),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, words):
    path = tmp_path / "s.jsonl"
    path.write_bytes(encode(scenario()) + b"\n" + line + b"\n")
    with pytest.raises(InputError) as error:
        list(read_jsonl(path, Scenario))
    assert all(word in str(error.value) for word in [str(path), *words])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl cannot be read"):
        list(read_jsonl(tmp_path / "nowhere.jsonl", Scenario))


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "s.jsonl"
    write_jsonl(path, [scenario()])

    def broken():
        yield scenario(id="s2")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_jsonl(path, broken())
    assert [record.id for record in read_jsonl(path, Scenario)] == ["s1"]
    assert [item.name for item in tmp_path.iterdir()] == ["s.jsonl"]


def test_digest_is_fixed_and_sensitive():
    assert digest("a", 1, {"b": 2, "a": 1}) == digest("a", 1, {"a": 1, "b": 2})
    assert digest("a", 1) != digest("a1")
    assert digest(scenario()) != digest(scenario(opening="other"))
    assert digest("fixed") == "15391d8da578", "ids of stored runs would no longer match"
