"""Finished run folders, opened again: what they found, without a model and without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rai_kit.measure.folder import run_folder
from rai_kit.measure.rai import Benchmark
from rai_kit.schema import Conversation, InputError, Scenario, Verdict, read_jsonl

if TYPE_CHECKING:
    from rai_kit.measure.attempts import RedTeam

KINDS = ("benchmark", "red_team")
AGAIN = "give the command that made it once more"


def open_run(folder: str | Path) -> Benchmark | RedTeam:
    """What a benchmark or a red team found, read from its folder.

    Raises:
        InputError: No run folder, an unfinished one, or files that do not belong together.
    """
    path = run_folder(folder)
    run = _record(path)
    if run["what"] == "red_team":
        from rai_kit.measure.attempts import opened

        team = opened(path, run)
        if unknown := team.table["source"].isna().sum():
            raise InputError(f"{path}: {unknown} attempts are at goals that goals.jsonl does not hold; {AGAIN}.")
        found: Benchmark | RedTeam = team
        held = len(team.table) + len(team.search)
    else:
        found = _benchmark(path, run)
        held = len(found.table) + run["counts"].get("not_needed", 0)
    if not held or held != run["counts"].get("planned"):
        raise InputError(f"{path} holds {held} of {run['counts'].get('planned')} planned records; {AGAIN}.")
    return found


def _record(path: Path) -> dict[str, Any]:
    """What `run.json` says."""
    file = path / "run.json"
    if not file.is_file():
        begun = (path / "journal.sqlite").exists()
        raise InputError(
            f"{path} holds no finished run (run.json is missing); "
            + ("give the command that began it once more." if begun else "give a folder that benchmark or red-team wrote.")
        )
    try:
        run: dict[str, Any] = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InputError(f"{file} is no record of a run ({error}); give a folder that benchmark or red-team wrote.") from None
    known = isinstance(run.get("parameters"), dict) and isinstance(run.get("counts"), dict)
    if run.get("what") in KINDS and not (known and (run["what"] == "red_team" or isinstance(run.get("suite"), str))):
        raise InputError(f"{file} lacks parameters, counts or suite; {AGAIN}.")
    if run.get("what") not in KINDS:
        raise InputError(f"{file} is the record of '{run.get('what')}'; what can be opened are runs of benchmark and red-team.")
    return run


def _benchmark(path: Path, run: dict[str, Any]) -> Benchmark:
    import pandas as pd

    from rai_kit import metrics

    scenarios = {one.id: one for one in read_jsonl(path / "scenarios.jsonl", Scenario)}
    rows = []
    verdicts = read_jsonl(path / "verdicts.jsonl", Verdict)
    for talk in read_jsonl(path / "conversations.jsonl", Conversation):  # one by one: a run may hold a hundred thousand
        verdict = next(verdicts, None)
        if verdict is None or talk.scenario not in scenarios:
            raise InputError(f"{path}: conversation {talk.id} has no verdict or no scenario; {AGAIN}.")
        rows.append(metrics.verdict_row(talk, verdict, scenarios[talk.scenario]))
    if next(verdicts, None) is not None:
        raise InputError(f"{path} holds more verdicts than conversations; {AGAIN}.")
    try:
        summary = pd.DataFrame(msgspec.json.decode((path / "summary.json").read_bytes(), type=list[dict[str, Any]]))
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path / 'summary.json'} cannot be read ({error}); {AGAIN}.") from None
    return Benchmark(path, pd.DataFrame(rows), summary, run)
