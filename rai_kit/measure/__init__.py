"""Where the parts meet: from addresses to a run folder with conversations, verdicts, rates and the record of how it was made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rai_kit.measure.comparing import Comparison, compare
from rai_kit.measure.correcting import corrected, corrected_difference
from rai_kit.measure.dialogues import Dialogue, judge_conversations, rubric_of
from rai_kit.measure.folder import run_folder
from rai_kit.measure.opening import open_run
from rai_kit.measure.own_answers import own_answers
from rai_kit.measure.parties import judge_of, simulator_of
from rai_kit.measure.rai import Benchmark, benchmark, forecast_benchmark
from rai_kit.measure.validation import judge_quality, known_card, validate

if TYPE_CHECKING:
    from rai_kit.measure.attacking import WAYS, attack_again, forecast_red_team, red_team
    from rai_kit.measure.attempts import RedTeam

__all__ = [
    "WAYS",
    "Benchmark",
    "Comparison",
    "Dialogue",
    "RedTeam",
    "attack_again",
    "benchmark",
    "compare",
    "corrected",
    "corrected_difference",
    "forecast_benchmark",
    "forecast_red_team",
    "judge_conversations",
    "judge_of",
    "judge_quality",
    "known_card",
    "open_run",
    "own_answers",
    "red_team",
    "rubric_of",
    "run_folder",
    "simulator_of",
    "validate",
]

_LATER = {"RedTeam": "attempts"} | dict.fromkeys(("WAYS", "attack_again", "forecast_red_team", "red_team"), "attacking")


def __getattr__(name: str) -> Any:
    if name in _LATER:  # the strategies take a tenth of a second, which no benchmark should wait for
        return getattr(import_module(f"rai_kit.measure.{_LATER[name]}"), name)
    raise AttributeError(f"module 'rai_kit.measure' has no attribute '{name}'")
