"""What the terms of a gate's rule stand for in a comparison, and which rules make no sense for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from rai_kit.gates import COUNTS, Clause, Result, Term, check, parse, unknown
from rai_kit.measure.arms import ALL, Arm, rate_of
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    from rai_kit.measure.comparing import Comparison

POOLED = (ALL, "harm")
"""What a gate calls all categories together whose metric is a share of defects."""


def evaluate(found: Comparison, rule: str) -> Result:
    """Whether a rule holds; see `Comparison.gate`."""
    if len(found.arms) != 2:
        raise InputError(f"a gate is about two arms, and these are {len(found.arms)}; compare two runs of one model each.")
    read = parse(rule)
    for clause in read.clauses():
        _sensible(found, clause)
    return check(read, lambda term: _number(found, term))


def _sensible(found: Comparison, clause: Clause) -> None:
    """Refuses what no number could answer: an unknown name, a metric that a category does not have, a limit beyond the scale."""
    from rai_kit import metrics

    term = clause.term
    if term.category not in (*found.metrics, *POOLED):
        raise unknown(term, "category", [*found.metrics, "harm"])
    if term.category in POOLED:
        if term.metric is not None:
            raise InputError(f"'{term}': {term.category} joins categories by each one's own metric; leave out {term.metric}.")
        if term.field == "p_holm":
            raise InputError(f"'{term}': {term.category} is one test, with nothing to adjust for; write {term.category}.diff.p.")
    own = found.metrics.get(term.category, "defect")
    metric = term.metric or own
    if metric.startswith("ASR@") != own.startswith("ASR@") and own != "defect":
        raise unknown(term, "metric", [own])
    if (metric == "ungroundedness") != (own == "ungroundedness") and metric != "refusal":
        raise unknown(term, "metric", [own, "refusal"] if own == "ungroundedness" else [own, "refusal", "severity", "DR-1"])
    top = metrics.MEANS.get(metric, 1.0)
    span = {"ratio": (0.0, inf), "diff": (-top, top)}.get(term.part, (0.0, top))
    if term.field in ("p", "p_holm", "unscored"):
        span = (0.0, 1.0)
    if term.field in COUNTS:
        span = (0.0, inf)
    if not span[0] <= clause.limit <= span[1]:
        ends = f"{span[0]:g} or more" if span[1] == inf else f"{span[0]:g} to {span[1]:g}"
        raise InputError(
            f"'{clause}': {clause.limit:g} lies outside of what it is compared with; give {ends}"
            + (" (a share: 15 % is 0.15 or 15%)." if span[1] == 1 else ".")
        )


def _number(found: Comparison, term: Term) -> float:
    """What a term of a rule stands for."""
    pooled = term.category in POOLED
    if term.part in ("diff", "ratio"):
        row = _difference(found, ALL if pooled else term.category, term.metric)
        field = {"diff": {"value": "difference"}, "ratio": {"value": "ratio", "low": "ratio_low", "high": "ratio_high"}}
        return float(row[field[term.part].get(term.field, term.field)])
    arm = found.arms[0 if term.part == "before" else 1]
    one = (
        _shared(found, arm) if pooled else rate_of(arm, term.category, term.metric or found.metrics[term.category], found.metrics)
    )
    if term.field == "unscored":
        return one.n_unscored / (one.n + one.n_unscored) if one.n + one.n_unscored else float("nan")
    return float(getattr(one, term.field))


def _shared(found: Comparison, arm: Arm) -> Estimate:
    """An arm's rate over all categories, on what all arms share."""
    rows = found.rates[(found.rates["category"] == ALL) & (found.rates["model"] == arm.name)].to_dict("records")
    if not rows:
        raise InputError("'harm': no category here is measured by a share of defects; name a category.")
    return Estimate(**{str(name): value for name, value in rows[0].items()})


def _difference(found: Comparison, category: str, metric: str | None) -> Mapping[str, Any]:
    frame = found.differences
    if metric == "refusal":
        frame = found.refusals
    elif metric is not None and metric != found.metrics[category]:  # with its whole family, for Holm's sake
        before, after = found.arms
        frame = found.settings.compare(before.table, after.table, dict.fromkeys(found.metrics, metric))
    rows = frame[frame["category"] == category].to_dict("records")
    if not rows:
        raise InputError(f"'{category}': no pairs of it in both arms; compare runs that both ask about it.")
    return {str(name): value for name, value in rows[0].items()}
