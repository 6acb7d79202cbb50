"""Judges: a `schema.Case` in, a `schema.Verdict` out. The offline judge needs no model; a model's is handed in as a callable."""

from rai_kit.judges.cards import CardRow, JudgeCard, find_card, read_card, write_card
from rai_kit.judges.deep import DeepJudge
from rai_kit.judges.groundedness import Groundedness, groundedness
from rai_kit.judges.labels import human_labels, read_labels
from rai_kit.judges.llm import LLMJudge
from rai_kit.judges.offline import OfflineJudge, Scores
from rai_kit.judges.overlap import Overlap, overlap
from rai_kit.judges.panel import Panel
from rai_kit.judges.preference import Preference, PreferenceJudge
from rai_kit.judges.quality import quality

__all__ = [
    "CardRow",
    "DeepJudge",
    "Groundedness",
    "JudgeCard",
    "LLMJudge",
    "OfflineJudge",
    "Overlap",
    "Panel",
    "Preference",
    "PreferenceJudge",
    "Scores",
    "find_card",
    "groundedness",
    "human_labels",
    "overlap",
    "quality",
    "read_card",
    "read_labels",
    "write_card",
]
