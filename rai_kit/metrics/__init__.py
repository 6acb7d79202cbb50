"""From verdicts to numbers: rates, agreement with people, correction for the judge's errors. No drawing here, and no model."""

from rai_kit.metrics import agreement, correction
from rai_kit.metrics.attacks import (
    adversary,
    asr_curve,
    attack_success,
    first_success,
    persona_success,
    ways,
    weaknesses,
)
from rai_kit.metrics.attempts import attempt_table, outcome_at
from rai_kit.metrics.intervals import CONFIDENCE, REPLICATES, jeffreys, mean_interval, rate_interval, wilson
from rai_kit.metrics.rates import estimate, estimates, family_estimates
from rai_kit.metrics.tables import estimate_table, funnel, intervals_as_text, table1, verdict_row, verdict_table

__all__ = [
    "CONFIDENCE",
    "REPLICATES",
    "adversary",
    "agreement",
    "asr_curve",
    "attack_success",
    "attempt_table",
    "correction",
    "estimate",
    "estimate_table",
    "estimates",
    "family_estimates",
    "first_success",
    "funnel",
    "intervals_as_text",
    "jeffreys",
    "mean_interval",
    "outcome_at",
    "persona_success",
    "rate_interval",
    "table1",
    "verdict_row",
    "verdict_table",
    "ways",
    "weaknesses",
    "wilson",
]
