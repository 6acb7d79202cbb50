"""Where the parts meet: from addresses to a run folder with conversations, verdicts, rates and the record of how it was made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rai_kit.measure.correcting import corrected, corrected_difference
from rai_kit.measure.dialogues import Dialogue, judge_conversations, rubric_of
from rai_kit.measure.folder import run_folder
from rai_kit.measure.over_refusal import over_refusal
from rai_kit.measure.own_answers import own_answers, own_mistakes
from rai_kit.measure.parties import judge_of, simulator_of
from rai_kit.measure.rai import Benchmark, benchmark, forecast_benchmark
from rai_kit.measure.validation import judge_quality, known_card, validate

if TYPE_CHECKING:
    from rai_kit.measure.attacking import WAYS, attack_again, forecast_red_team, red_team
    from rai_kit.measure.attempts import RedTeam
    from rai_kit.measure.comparing import Comparison, compare, readable
    from rai_kit.measure.curating import Curated, Mix, curate, open_curated
    from rai_kit.measure.cycle import Cycle, Sizes, break_fix, open_cycle
    from rai_kit.measure.opening import open_run
    from rai_kit.measure.post_training import Trained, open_trained, post_train
    from rai_kit.measure.preferring import preferred

__all__ = [
    "WAYS",
    "Benchmark",
    "Comparison",
    "Curated",
    "Cycle",
    "Dialogue",
    "Mix",
    "RedTeam",
    "Sizes",
    "Trained",
    "attack_again",
    "benchmark",
    "break_fix",
    "compare",
    "corrected",
    "corrected_difference",
    "curate",
    "forecast_benchmark",
    "forecast_red_team",
    "judge_conversations",
    "judge_of",
    "judge_quality",
    "known_card",
    "open_curated",
    "open_cycle",
    "open_run",
    "open_trained",
    "over_refusal",
    "own_answers",
    "own_mistakes",
    "post_train",
    "preferred",
    "readable",
    "red_team",
    "rubric_of",
    "run_folder",
    "simulator_of",
    "validate",
]

_LATER = {
    "RedTeam": "attempts",
    "open_run": "opening",
    "preferred": "preferring",
    **dict.fromkeys(("Curated", "Mix", "curate", "open_curated"), "curating"),
    **dict.fromkeys(("Cycle", "Sizes", "break_fix", "open_cycle"), "cycle"),
    **dict.fromkeys(("Trained", "open_trained", "post_train"), "post_training"),
    **dict.fromkeys(("Comparison", "compare", "readable"), "comparing"),
    **dict.fromkeys(("WAYS", "attack_again", "forecast_red_team", "red_team"), "attacking"),
}


def __getattr__(name: str) -> Any:
    if name in _LATER:  # what no benchmark needs, it should not wait for: the strategies alone take a tenth of a second
        return getattr(import_module(f"rai_kit.measure.{_LATER[name]}"), name)
    raise AttributeError(f"module 'rai_kit.measure' has no attribute '{name}'")
