"""From verdicts to numbers: rates, agreement with people, correction for the judge's errors. No drawing here, and no model."""

from rai_kit.metrics import agreement, correction
from rai_kit.metrics.rates import (
    CONFIDENCE,
    REPLICATES,
    estimate,
    estimates,
    family_estimates,
    mean_interval,
    rate_interval,
    wilson,
)
from rai_kit.metrics.tables import estimate_table, funnel, intervals_as_text, table1, verdict_row, verdict_table

__all__ = [
    "CONFIDENCE",
    "REPLICATES",
    "agreement",
    "correction",
    "estimate",
    "estimate_table",
    "estimates",
    "family_estimates",
    "funnel",
    "intervals_as_text",
    "mean_interval",
    "rate_interval",
    "table1",
    "verdict_row",
    "verdict_table",
    "wilson",
]
