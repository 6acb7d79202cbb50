import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from rai_kit.journal import Journal, call_key
from rai_kit.schema import InputError, Reply

REQUEST = {"endpoint": "e", "model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.7, "seed": 1}


def test_a_stored_call_comes_back_also_after_reopening(tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    reply = Reply(text="ö\x00 \U0001f600", finish_reason="length", prompt_tokens=3, completion_tokens=5)
    assert journal.get("k") is None
    journal.put("k", REQUEST, reply)
    assert journal.get("k") == reply
    journal.close()
    assert Journal(tmp_path / "j.sqlite").get("k") == reply


def test_no_file_before_the_first_record(tmp_path):
    Journal(tmp_path / "new" / "j.sqlite").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cause", ["filtered", "empty", "error"])
def test_unusable_replies_are_events_and_never_replayed(tmp_path, cause):
    journal = Journal(tmp_path / "j.sqlite")
    journal.put("k", REQUEST, Reply(cause=cause, detail="raw words"))
    assert journal.get("k") is None
    assert len(journal) == 0
    journal.close()
    rows = sqlite3.connect(tmp_path / "j.sqlite").execute("SELECT key, reply FROM events").fetchall()
    assert rows[0][0] == "k"
    assert "raw words" in rows[0][1]


@pytest.mark.parametrize("field", list(REQUEST))
def test_everything_that_shapes_the_answer_is_in_the_key(field):
    changed = REQUEST | {field: "other"}
    assert call_key(changed) != call_key(REQUEST)
    assert call_key(dict(reversed(REQUEST.items()))) == call_key(REQUEST)


@pytest.mark.parametrize("content", [b"not a database at all, just some text " * 40, None])
def test_a_foreign_file_is_left_alone(tmp_path, content):
    path = tmp_path / "j.sqlite"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        content = path.read_bytes()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="is no journal"):
        Journal(path)
    assert path.read_bytes() == content


def test_what_was_committed_survives_kill_9(tmp_path):
    path = tmp_path / "j.sqlite"
    code = (
        "import sys; from rai_kit.journal import Journal; from rai_kit.schema import Reply\n"
        "journal = Journal(sys.argv[1])\n"
        "for i in range(10**9):\n"
        "    journal.put(str(i), {}, Reply(text=f'answer {i}'))\n"
        "    print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    last = 0
    while last < 200 and time.monotonic() < deadline:
        last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    journal = Journal(path)
    assert all(journal.get(str(i)).text == f"answer {i}" for i in range(last + 1))
