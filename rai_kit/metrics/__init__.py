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
from rai_kit.metrics.coherence import coherence, loops, perplexity_change, win_rate
from rai_kit.metrics.comparison import MarginTest, compare_arms, equivalent, non_inferior
from rai_kit.metrics.effects import Limits, headline, side_effects
from rai_kit.metrics.intervals import CONFIDENCE, REPLICATES, jeffreys, mean_interval, rate_interval, wilson
from rai_kit.metrics.outcomes import MEANS, values_of
from rai_kit.metrics.pairs import Pairs, paired
from rai_kit.metrics.planning import design_effect, detectable, detectable_rate, mcnemar_power, pairs_needed, samples_needed
from rai_kit.metrics.ranking import ranks
from rai_kit.metrics.rates import estimate, estimates, family_estimates, pooled_estimate
from rai_kit.metrics.regression import regression_to_mean
from rai_kit.metrics.sequences import Stop, difference_sequence, mean_sequence, rate_sequence, sequence_table
from rai_kit.metrics.severities import severity_curve
from rai_kit.metrics.standard import standardised
from rai_kit.metrics.tables import causes, estimate_table, funnel, intervals_as_text, table1, verdict_row, verdict_table

__all__ = [
    "CONFIDENCE",
    "MEANS",
    "REPLICATES",
    "Limits",
    "MarginTest",
    "Pairs",
    "Stop",
    "adversary",
    "agreement",
    "asr_curve",
    "attack_success",
    "attempt_table",
    "causes",
    "coherence",
    "compare_arms",
    "correction",
    "design_effect",
    "detectable",
    "detectable_rate",
    "difference_sequence",
    "equivalent",
    "estimate",
    "estimate_table",
    "estimates",
    "family_estimates",
    "first_success",
    "funnel",
    "headline",
    "intervals_as_text",
    "jeffreys",
    "loops",
    "mcnemar_power",
    "mean_interval",
    "mean_sequence",
    "non_inferior",
    "outcome_at",
    "paired",
    "pairs_needed",
    "perplexity_change",
    "persona_success",
    "pooled_estimate",
    "ranks",
    "rate_interval",
    "rate_sequence",
    "regression_to_mean",
    "samples_needed",
    "sequence_table",
    "severity_curve",
    "side_effects",
    "standardised",
    "table1",
    "values_of",
    "verdict_row",
    "verdict_table",
    "ways",
    "weaknesses",
    "wilson",
    "win_rate",
]
