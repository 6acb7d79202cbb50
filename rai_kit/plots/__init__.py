"""One function per figure: a table in, Axes or a Figure out. Nothing is computed here but positions.

One style for all: colours that colour-blind readers can tell apart, units and n on the axes, an interval on every estimate, measured
values filled and published ones hollow.
"""

from __future__ import annotations

from rai_kit.plots.attacks import asr_at_k, heat_map, persona_rates, weakness_ranking
from rai_kit.plots.comparison import before_after, forest, ranks, regression, severity_curves
from rai_kit.plots.judges import agreement, confusion, corrected_rates, reliability, reported_rates, thresholds
from rai_kit.plots.process import funnel, sequence, training_curves
from rai_kit.plots.rates import severity_distribution, table1, topics
from rai_kit.plots.rounds import models, rounds, side_effects
from rai_kit.plots.style import save
from rai_kit.plots.taxonomy import coverage, harm_categories

__all__ = [
    "agreement",
    "asr_at_k",
    "before_after",
    "confusion",
    "corrected_rates",
    "coverage",
    "forest",
    "funnel",
    "harm_categories",
    "heat_map",
    "models",
    "persona_rates",
    "ranks",
    "regression",
    "reliability",
    "reported_rates",
    "rounds",
    "save",
    "sequence",
    "severity_curves",
    "severity_distribution",
    "side_effects",
    "table1",
    "thresholds",
    "topics",
    "training_curves",
    "weakness_ranking",
]
