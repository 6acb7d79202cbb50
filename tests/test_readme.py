"""What the README says is true: its snippet prints what stands below it, its commands and files exist."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_snippet_prints_what_stands_below_it():
    code, printed = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT, re.DOTALL).groups()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_every_file_it_names_exists():
    for path in re.findall(r"`((?:data|rai_kit|tests|docs|benchmarks|notebooks|params)/[\w./]+)`|\]\(([\w./]+)\)", TEXT):
        if not re.search(r"[A-Z]{4}", "".join(path)):  # CATEGORY and NAME stand for names
            assert (ROOT / "".join(path)).exists(), path


def test_every_command_it_shows_exists():
    from rai_kit.cli import cli

    assert set(re.findall(r"python -m rai_kit ([\w-]+)", TEXT)) <= set(cli.commands)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in re.findall(r"^make (\w+)", TEXT, re.MULTILINE))
