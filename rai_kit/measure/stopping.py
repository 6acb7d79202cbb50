"""Stops asking as soon as a rule is met: for every model and category on its own, by a confidence sequence that allows looking at any time.

The rule looks at the first conversations in the order of the plan, never in the order of finishing: so the same ones are kept whatever
the concurrency, and a resumed run ends as an undisturbed one. What was held beyond is dropped again (its calls stay in the journal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rai_kit.engine import Plan
from rai_kit.schema import Estimate, InputError, Scenario, digest

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.metrics.sequences import Stop

Group = tuple[str, str]
"""Address of the target, and category."""


def shuffled(scenarios: Sequence[Scenario], seed: int) -> list[Scenario]:
    """Scenarios category by category, within it in random order: what a confidence sequence needs of data that somebody sorted."""
    order = list(dict.fromkeys(one.category for one in scenarios))
    return sorted(scenarios, key=lambda one: (order.index(one.category), digest("order", seed, one.id, one.seed)))


@dataclass
class Watch:
    """Follows a run and says which planned conversations are still wanted.

    Attributes:
        rule: When a category has been asked about enough.
        metrics: Category -> metric.
        plans: What is planned; those of one target and category in random order.
    """

    rule: Stop
    metrics: Mapping[str, str]
    plans: Sequence[Plan]
    came_in: dict[int, float] = field(default_factory=dict)  # value of each finished conversation
    groups: dict[Group, list[int]] = field(default_factory=dict)
    ends: dict[Group, int] = field(default_factory=dict)  # how many conversations of a group are enough

    def __post_init__(self) -> None:
        from rai_kit.metrics.outcomes import MEANS

        for index in range(len(self.plans)):
            self.groups.setdefault(self.group(index), []).append(index)
        self.place = {index: at for indices in self.groups.values() for at, index in enumerate(indices)}
        self.known = dict.fromkeys(self.groups, 0)  # how many from the start on have come without a gap
        for _, category in self.groups:  # a rule that no data could meet, or any, had better be known before the first call
            metric = self.metrics[category]
            try:
                self.rule.at([], MEANS.get(metric, 1.0), metric not in MEANS)
            except InputError as error:
                raise InputError(f"{category} ({metric}): {error}") from None

    def group(self, index: int) -> Group:
        """Whose end decides about a plan."""
        plan = self.plans[index]
        return plan.target.name, plan.scenario.category

    def wanted(self, index: int) -> bool:
        """Whether a conversation is still needed."""
        return self.place[index] < self.ends.get(self.group(index), len(self.plans))

    def came(self, index: int, row: dict[str, Any]) -> None:
        """Takes a finished conversation's row of the verdict table."""
        import numpy as np
        import pandas as pd

        from rai_kit.metrics.outcomes import MEANS, values_of

        group = self.group(index)
        metric, indices, first = self.metrics[group[1]], self.groups[group], self.known[group]
        values, top = values_of(pd.DataFrame([row]), metric)
        self.came_in[index] = float(values[0])
        known = first
        while known < len(indices) and indices[known] in self.came_in:
            known += 1
        self.known[group] = known
        if known > first and group not in self.ends:
            said = np.array([self.came_in[one] for one in indices[:known]])
            if (end := self.rule.at(said, top, metric not in MEANS)) is not None:
                self.ends[group] = end

    def summary(self) -> list[dict[str, Any]]:
        """What was planned and what was held, a row a target and category."""
        return [
            {
                "model": model,
                "category": category,
                "planned": len(indices),
                "held": self.ends.get((model, category), len(indices)),
            }
            for (model, category), indices in self.groups.items()
        ]


def widened(found: Sequence[Estimate], table: pd.DataFrame, metrics: Mapping[str, str]) -> list[Estimate]:
    """Estimates of a run that was looked at while it ran: the rule's own rates get the wider of their interval and the confidence sequence.

    The interval knows of clusters and not of the looking, the sequence the other way round.
    """
    from rai_kit.metrics.sequences import sequence_table

    rows = dict(iter(table.groupby(["model", "category"], sort=False)))
    mended = []
    for one in found:
        if one.topic == "all" and one.metric == metrics[one.category] and one.n:
            last = sequence_table(rows[one.model, one.category], one.metric).iloc[-1]
            method = f"wider of {one.method} and a confidence sequence (looked at early)"
            one = replace(one, low=min(one.low, float(last["low"])), high=max(one.high, float(last["high"])), method=method)
        mended.append(one)
    return mended
