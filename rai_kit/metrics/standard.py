"""Rates over a common mix of topics, so that models compare whose unscored conversations are not of the same topics.

A model whose endpoint filters its hardest topic looks better than it is, because the rest weighs more. Direct standardisation gives every
topic the same weight for all. It removes the difference *between* topics only: what is unscored within a topic stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.metrics.intervals import (
    CONFIDENCE,
    NOTHING,
    Floats,
    Interval,
    cluster_codes,
    effective_clusters,
    mean_interval,
    rate_interval,
    student,
    wilson,
    z_of,
)
from rai_kit.metrics.outcomes import MEANS, cluster_of, values_of
from rai_kit.metrics.rates import check_categories, groups, judge_of
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def standardised(table: pd.DataFrame, metrics: Mapping[str, str], *, by: str = "topic") -> list[Estimate]:
    """The primary metric and the refusal rate of every model, arm and category over one mix of topics.

    A topic's weight is its share of the planned conversations of the category, of all models and arms together. Topics in which one of
    them has nothing scored are left out for all and named in `method` (a model and arm with nothing scored at all has no rate, and
    takes no topic from the others). `n`, `n_unscored` and the bounds are over the topics that count.

    Shares have Wilson's interval on the effective size: share * (1 - share) / variance, but never above Kish's for these weights, so that
    a topic whose few cases agree does not pass for certain. The variance is cluster-robust (weights w / n, residuals from the topic's
    rate, summed by cluster, G / (G - 1) with G the clusters of the topic), with the t quantile as in `rate_interval`. Means have the t
    interval with that error; where `mean_interval` sees too little, so does this, and both count weighted clusters (Kish).

    Args:
        table: As `verdict_table` gives it, of one or several models and arms.
        metrics: Category -> metric, as for `estimates`.
        by: The column whose mix is to be common.

    Returns:
        Estimates in the table's order of models and categories, with topic `standardised`.

    Raises:
        InputError: No such column or a row without it, a category without a metric, or verdicts of more than one judge in one rate.

    Source: Fleiss, Levin and Paik 2003, chapter 19 (direct standardisation); Cochran 1977, sections 5A and 9A.2 (variance);
    Kish 1965, section 11.7 (effective size); Dean and Pagano 2015 (Wilson with it).
    """
    import pandas as pd

    if by not in table:
        raise InputError(f"no column '{by}' to standardise by; the table has {', '.join(map(str, table.columns))}.")
    if unknown := int(table[by].isna().sum()):
        raise InputError(f"{unknown} rows have no '{by}'; standardise by a column that every row has.")
    check_categories(table, metrics)
    values = {metric: values_of(table, metric) for metric in {*(metrics[one] for one in table["category"].unique()), "refusal"}}
    clusters = cluster_codes(table[cluster_of(table)])
    (topic, topics), (graded, judges) = (pd.factorize(table[column], sort=True) for column in (by, "judge"))
    arms = list(groups(table, ("model", "arm", "category")))
    mixes: dict[tuple[str, str], tuple[Floats, str]] = {}
    for (category,), rows in groups(table, ("category",)):
        inside = [part for (_, _, one), part in arms if one == category]
        planned = np.bincount(topic[rows], minlength=len(topics))
        for metric in dict.fromkeys((metrics[category], "refusal")):
            numbers = values[metric][0]
            counts = [np.bincount(topic[part[~np.isnan(numbers[part])]], minlength=len(topics)) for part in inside]
            scored = [count > 0 for count in counts if count.any()] or [planned < 0]
            shared = planned * np.all(scored, axis=0)
            missing = [str(name) for name in topics[(planned > 0) & (shared == 0)]] if shared.any() else []
            words = f"; without {', '.join(missing)} (not scored everywhere)" if missing else ""
            mixes[category, metric] = shared / max(shared.sum(), 1), words
    found = []
    for (model, arm, category), rows in arms:
        judge = judge_of(judges[np.unique(graded[rows])])
        for metric in dict.fromkeys((metrics[category], "refusal")):
            (numbers, top), (mix, words) = values[metric], mixes[category, metric]
            part = rows[mix[topic[rows]] > 0] if mix.any() else rows
            keep = part[~np.isnan(numbers[part])]
            (value, low, high, method), n, bounds = NOTHING, len(keep), (float("nan"), float("nan"))
            if n and mix.any():
                value, low, high, method = standard_interval(
                    numbers[keep], clusters[keep], topic[keep], mix, top if metric in MEANS else None
                )
                planned, reached = (np.maximum(np.bincount(topic[some], minlength=len(mix)), 1) for some in (part, keep))
                sums = np.bincount(topic[keep], weights=numbers[keep], minlength=len(mix))
                bounds = float(mix @ (sums / planned)), float(mix @ ((sums + top * (planned - reached)) / planned))
            found.append(
                Estimate(
                    model=str(model),
                    arm=str(arm),
                    category=str(category),
                    topic="standardised",
                    metric=metric,
                    value=value,
                    low=low,
                    high=high,
                    n=n if mix.any() else 0,
                    n_unscored=len(part) - n,
                    bound_low=bounds[0],
                    bound_high=bounds[1],
                    judge=judge,
                    method=f"{method}{words}" if mix.any() or not n else "nothing scored in common",
                )
            )
    return found


def standard_interval(
    values: Floats, clusters: NDArray[Any], topics: NDArray[np.int64], mix: Floats, top: float | None
) -> Interval:
    """A share (`top` None) or a mean of values in 0..top, each topic with its weight in the mix: see `standardised`.

    Args:
        values: One a case; at least one in every topic that has a weight, and none in the others.
        clusters: Of the cases.
        topics: Of the cases, as places in `mix`.
        mix: Weights that add up to 1.
        top: End of a mean's scale.
    """
    if np.count_nonzero(mix) == 1:
        return rate_interval(values, clusters) if top is None else mean_interval(values, clusters, top, "clustered")
    sizes = np.maximum(np.bincount(topics, minlength=len(mix)), 1)
    weights, rates = (mix / sizes)[topics], np.bincount(topics, weights=values, minlength=len(mix)) / sizes
    value, codes = float(mix @ rates), cluster_codes(clusters)
    count, worth = int(codes.max()) + 1, effective_clusters(np.bincount(codes).astype(float))
    inside = np.bincount(np.unique(topics * count + codes) // count, minlength=len(mix))[topics]  # clusters in the case's topic
    factor = np.sqrt(inside / np.maximum(inside - 1, 1))
    # A topic of one cluster shows no spread of its own: there the distance from the whole stands in, which is conservative.
    residuals = np.where(inside > 1, factor * (values - rates[topics]), values - value)
    variance = float((np.bincount(codes, weights=weights * residuals) ** 2).sum())
    independent = float(1 / (np.bincount(codes, weights=weights) ** 2).sum())
    clustered = "" if count == len(values) else f" of {count} clusters"
    if top is not None:
        left = min(np.unique(codes[values > 0]).size, np.unique(codes[values < top]).size)
        if left < 5 or variance < 1e-18:
            low, high = wilson(value / top * independent, independent)
            return value, top * low, top * high, f"standardised, Wilson on the scale, effective n {independent:.1f}{clustered}"
        half = student(worth) * variance**0.5
        words = f"standardised, clustered standard error {variance**0.5:.3g}, {count} clusters"
        return value, max(0.0, value - half), min(top, value + half), words
    size = independent
    if variance > 1e-18:
        size = min(value * (1 - value) / variance, float(1 / (weights**2).sum()))
        size *= (z_of(CONFIDENCE) / student(worth)) ** 2 if clustered else 1
    if rates[topics].min() == rates[topics].max() and rates[topics].max() in (0.0, 1.0):
        value = float(rates[topics].max())  # the weights add up to 1 but for the last digit
    return value, *wilson(value * size, size), f"standardised, Wilson, effective n {size:.1f}{clustered}"
