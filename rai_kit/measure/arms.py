"""What is compared with what: the models of finished runs as arms under names that tell them apart, and the key that joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rai_kit.data import suite as suite_of
from rai_kit.data import taxonomy
from rai_kit.measure.stopping import widened
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""What all categories together are called whose metric is a share of defects."""
By = Literal["category", "family"]
MANY = 12
"""With more categories than this, families are compared."""


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: one model's part of a run.

    Attributes:
        name: What tells it from the other arms: the model, where these differ, else folder, arm or way.
        folder: Of the run.
        table: Verdict or attempt table, its `category` being what is compared.
        run: What `run.json` says.
        left_out: Rows that other arms lack, and that are in no table any more.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    run: Mapping[str, Any]
    left_out: int = 0

    def only(self, column: str) -> str:
        """What all rows of its table have in common."""
        return str(self.table[column].iloc[0])


def alike(runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Kind and suite of all runs."""
    found = sorted({(run["what"], run.get("suite", "goals")) for run in runs})
    if len(found) != 1:
        said = ", ".join(f"{what.replace('_', ' ')} of {suite}" for what, suite in found) or "none"
        raise InputError(f"runs of different kinds ({said}) do not compare; give benchmarks of one suite, or red teams.")
    return found[0]


def categories_of(
    kind: str, suite: str, runs: Sequence[Any], by: By | None
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Metric and title of everything that is compared, and into which of these each category of the tables goes."""
    known = taxonomy()
    families = {one.id: one.family for one in known.categories}
    if kind == "red_team":
        k = min(int(run.table["budget"].min()) for run in runs)
        seen = dict.fromkeys(name for run in runs for name in run.table["category"])
        metric_of, titles = dict.fromkeys(seen, f"ASR@{k}"), {one.id: one.title for one in known.categories} | {"other": "Other"}
    else:
        metric_of = {one.id: one.metric for one in suite_of(suite).categories}
        titles = {one.id: one.title for one in suite_of(suite).categories}
    grouped = by == "family" or (by is None and len(metric_of) > MANY)
    if not grouped:
        return metric_of, titles, {name: name for name in metric_of}
    family = {name: families.get(name, "other") for name in metric_of}
    if by == "family" and set(family.values()) == {"other"}:
        raise InputError(f"categories of {suite} have no families; leave out by='family' (--by).")
    titles = {one.id: one.title for one in known.families} | {"other": "Other"}
    return {family[name]: metric for name, metric in metric_of.items()}, titles, family


def arms_of(runs: Sequence[Any], family: Mapping[str, str]) -> list[Arm]:
    """Every model of every run, and of a red team every way, under names that tell them apart."""
    found = []
    for run in runs:
        parts = ["model", "arm", *(["way"] if "way" in run.table else [])]
        for key, rows in run.table.groupby(parts, sort=False):
            table = rows.assign(category=rows["category"].map(family)).reset_index(drop=True)
            found.append((dict(zip(parts, key, strict=True)) | {"folder": run.out.name}, Arm("", run.out, table, run.run)))
    labels = [label for label, _ in found]
    several = len({label["model"] for label in labels}) > 1
    for width in range(1, 5):  # as few words as tell all arms apart, the most telling first; the model wherever it differs
        for names in combinations(("model", "folder", "way", "arm"), width):
            if several and "model" not in names:
                continue
            words = [", ".join(str(label[name]) for name in names if name in label) for label in labels]
            if len(set(words)) == len(words):
                return [replace(arm, name=word) for (_, arm), word in zip(found, words, strict=True)]
    words = [f"{arm.folder}: {label['model']}" for label, arm in found]
    if len(set(words)) < len(words):
        raise InputError(f"{words[0]} is given twice; give every run folder once.")
    return [replace(arm, name=word) for (_, arm), word in zip(found, words, strict=True)]


def key_of(arms: Sequence[Arm]) -> tuple[str, ...]:
    """What names a row in every arm: the seed is no part of it where runs were sampled again on purpose, nor the way of an attack."""
    if "strategy" in arms[0].table:
        return ("goal", "strategy", "persona")
    again = {arm.run["parameters"].get("resample", 0) for arm in arms}
    return ("scenario",) if len(again) > 1 else ("scenario", "seed")


def shared(arms: Sequence[Arm], key: Sequence[str], common: bool) -> list[Arm]:
    """The arms with those rows alone that all of them have, in their own order.

    Raises:
        InputError: Arms hold different rows, and `common` does not allow that.
    """
    from rai_kit.metrics.pairs import aligned

    tables, left_out = aligned([arm.table for arm in arms], [arm.name for arm in arms], key=key, common=common)
    if not any(left_out):
        return list(arms)
    kept = set(tables[0][list(key)].itertuples(index=False, name=None))
    found = []
    for arm, left in zip(arms, left_out, strict=True):
        inside = [row in kept for row in arm.table[list(key)].itertuples(index=False, name=None)]
        found.append(replace(arm, table=arm.table[inside].reset_index(drop=True), left_out=left))
    return found


def rate_of(arm: Arm, category: str, metric: str, metric_of: Mapping[str, str]) -> Estimate:
    """A category's rate; the rule's own, where the run could stop early, with the interval that allows for it."""
    from rai_kit import metrics

    rows = arm.table[arm.table["category"] == category]
    one = metrics.estimate(rows, metric, model=arm.name, arm=arm.only("arm"), category=category, topic=ALL)
    parameters = arm.run["parameters"]
    if not parameters.get("until"):
        return one
    if metric == metric_of[category] and category in parameters["category"] and not arm.left_out:
        return widened([one], rows.assign(model=arm.name), metric_of)[0]
    return _stopped(one)


def _stopped(one: Estimate) -> Estimate:
    return replace(one, method=f"{one.method}; of a run that could stop early, which this interval does not know")


def pooled_rate(arm: Arm, metric_of: Mapping[str, str]) -> Estimate:
    """The share of defects over all categories whose metric is a share, each by its own metric."""
    from rai_kit import metrics

    one = metrics.pooled_estimate(arm.table, metric_of, model=arm.name, arm=arm.only("arm"), category=ALL, topic=ALL)
    return _stopped(one) if arm.run["parameters"].get("until") else one
