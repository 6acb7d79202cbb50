"""From verdicts to rates: tables in, `Estimate`s out.

A rate is a share of the *scored* conversations; the unscored are counted beside it and bound it. The unit is the conversation,
and conversations that share a template or a passage (a cluster) are not taken for independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rai_kit.metrics.intervals import Kind, mean_interval, rate_interval
from rai_kit.metrics.outcomes import MEANS, cluster_of, values_of
from rai_kit.metrics.tables import estimate_table
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    import pandas as pd


def estimates(table: pd.DataFrame, metrics: Mapping[str, str], *, seed: int = 0) -> list[Estimate]:
    """The primary metric and the refusal rate of every model, arm and category, over all topics and topic by topic.

    Args:
        table: As `verdict_table` gives it.
        metrics: Category -> `ungroundedness` (mean, 0-4) or `DR-x` (share of severity >= x, 0-1).
        seed: Of the bootstrap.

    Returns:
        Estimates in the table's order of models and categories; topic `all` comes first.

    Raises:
        InputError: A category without a metric, or rows of different judges in one rate.
    """
    if unknown := sorted(set(table["category"]) - set(metrics)):
        raise InputError(f"no metric for category {', '.join(unknown)}; known are {', '.join(metrics)}.")
    found: list[Estimate] = []
    for (model, arm, category), rows in table.groupby(["model", "arm", "category"], sort=False):
        topics = [("all", rows), *rows.groupby("topic", sort=True)]
        for topic, part in topics:
            for metric in (metrics[str(category)], "refusal"):
                found.append(
                    estimate(part, metric, seed=seed, model=str(model), arm=str(arm), category=str(category), topic=str(topic))
                )
    return found


def family_estimates(table: pd.DataFrame, families: Mapping[str, str], titles: Mapping[str, str], metric: str) -> pd.DataFrame:
    """Rates of a suite with many categories: of each family as a whole (topic `all`), and of each of its categories.

    Args:
        table: As `verdict_table` gives it.
        families: Category -> title of its family.
        titles: Category -> its own title.
        metric: As for `estimate`.

    Returns:
        A frame like that of `estimate_table`, with the family's title as category and the category's title as topic.
    """
    grouped = table.assign(category=table["category"].map(families), topic=table["category"].map(titles))
    return estimate_table(estimates(grouped, dict.fromkeys(families.values(), metric)))


def estimate(rows: pd.DataFrame, metric: str, *, interval: Kind | None = None, seed: int = 0, **labels: str) -> Estimate:
    """One metric over some rows of a verdict table.

    Args:
        rows: Part of a table as `verdict_table` or `attempt_table` gives it.
        metric: As `outcomes.values_of` knows them: `DR-x`, `refusal`, `ungroundedness`, `severity`, `ASR@k`.
        interval: `wilson` (the default), `jeffreys` or `bootstrap` of a share; `bootstrap` (the default) or `clustered` of a mean.
        seed: Of the bootstrap.
        labels: `model`, `arm`, `category` and `topic` of the estimate.

    Raises:
        InputError: An unknown metric, or verdicts of more than one judge.
    """
    judges = sorted(set(rows["judge"]))
    if len(judges) > 1:
        raise InputError(
            f"verdicts of {len(judges)} judges ({', '.join(judges)}) in one rate; rates of different judges do not compare."
        )
    values, top = values_of(rows, metric)
    keep = ~np.isnan(values)
    clusters = rows[cluster_of(rows)].to_numpy()[keep]
    unscored = int((~keep).sum())
    scored = values[keep]
    if metric in MEANS:
        value, low, high, method = mean_interval(scored, clusters, top, interval or "bootstrap", seed=seed)
    else:
        value, low, high, method = rate_interval(scored, clusters, interval or "wilson", seed=seed)
    n = len(scored)
    total = n + unscored
    return Estimate(
        **labels,
        metric=metric,
        value=value,
        low=low,
        high=high,
        n=n,
        n_unscored=unscored,
        bound_low=float(scored.sum() / total) if n else float("nan"),
        bound_high=float((scored.sum() + unscored * top) / total) if n else float("nan"),
        judge=judges[0] if judges else "",
        method=method,
    )
