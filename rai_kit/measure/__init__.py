"""Where the parts meet: from addresses to a run folder with conversations, verdicts, rates and the record of how it was made."""

from rai_kit.measure.attacking import WAYS, attack_again, forecast_red_team, red_team
from rai_kit.measure.attempts import RedTeam
from rai_kit.measure.correcting import corrected, corrected_difference
from rai_kit.measure.dialogues import Dialogue, judge_conversations, rubric_of
from rai_kit.measure.folder import run_folder
from rai_kit.measure.own_answers import own_answers
from rai_kit.measure.parties import judge_of, simulator_of
from rai_kit.measure.rai import Benchmark, benchmark, forecast_benchmark
from rai_kit.measure.validation import judge_quality, known_card, validate

__all__ = [
    "WAYS",
    "Benchmark",
    "Dialogue",
    "RedTeam",
    "attack_again",
    "benchmark",
    "corrected",
    "corrected_difference",
    "forecast_benchmark",
    "forecast_red_team",
    "judge_conversations",
    "judge_of",
    "judge_quality",
    "known_card",
    "own_answers",
    "red_team",
    "rubric_of",
    "run_folder",
    "simulator_of",
    "validate",
]
