"""From verdicts to rates: tables in, `Estimate`s out.

A rate is a share of the *scored* conversations; the unscored are counted beside it and bound it. The unit is the conversation,
and conversations that share a template or a passage (a cluster) are not taken for independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.metrics.intervals import Kind, cluster_codes, mean_interval, rate_interval
from rai_kit.metrics.outcomes import MEANS, cluster_of, values_of
from rai_kit.metrics.tables import estimate_table
from rai_kit.schema import Estimate, InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


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
    import pandas as pd

    check_categories(table, metrics)
    values = {metric: values_of(table, metric) for metric in {*(metrics[one] for one in table["category"].unique()), "refusal"}}
    clusters = cluster_codes(table[cluster_of(table)])
    (topic, topics), (graded, judges) = (pd.factorize(table[column], sort=True) for column in ("topic", "judge"))
    found: list[Estimate] = []
    for (model, arm, category), rows in groups(table, ("model", "arm", "category")):
        judge, codes, names = judge_of(judges[np.unique(graded[rows])]), topic[rows], clusters[rows]
        inside = {metric: (values[metric][0][rows], values[metric][1]) for metric in (metrics[category], "refusal")}
        parts = [
            ("all", np.ones(len(rows), dtype=bool)),
            *((str(topics[code]), codes == code) for code in np.unique(codes[codes >= 0])),
        ]
        for name, part in parts:
            for metric in dict.fromkeys((metrics[category], "refusal")):
                numbers, top = inside[metric]
                one = _estimate(numbers[part], top, names[part], judge, metric, None, seed)
                found.append(Estimate(model=str(model), arm=str(arm), category=str(category), topic=name, **one))
    return found


def check_categories(table: pd.DataFrame, metrics: Mapping[str, str]) -> None:
    """Every category of a table has a metric.

    Raises:
        InputError: One has none.
    """
    if unknown := sorted(set(table["category"].unique()) - set(metrics)):
        raise InputError(f"no metric for category {', '.join(unknown)}; known are {', '.join(metrics)}.")


def groups(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], NDArray[np.intp]]]:
    """Every group's key and the positions of its rows, as `groupby(..., sort=False)` orders them, without a frame for each."""
    numbers = table.groupby(list(by), sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    order = order[np.searchsorted(numbers[order], 0) :]  # rows without a key have number -1
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    keys = table[list(by)].iloc[order[starts]].itertuples(index=False, name=None)
    yield from zip(keys, np.split(order, starts[1:]), strict=False)  # without rows, one empty part and no key


def judge_of(names: Iterable[str]) -> str:
    """The one judge of some rows; empty where there are no rows.

    Raises:
        InputError: Verdicts of more than one judge.
    """
    judges = sorted(set(names))
    if len(judges) > 1:
        raise InputError(
            f"verdicts of {len(judges)} judges ({', '.join(judges)}) in one rate; rates of different judges do not compare."
        )
    return judges[0] if judges else ""


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
    values, top = values_of(rows, metric)
    found = _estimate(values, top, rows[cluster_of(rows)].to_numpy(), judge_of(rows["judge"].unique()), metric, interval, seed)
    return Estimate(**{**labels, **found})


def pooled_estimate(table: pd.DataFrame, metrics: Mapping[str, str], *, seed: int = 0, **labels: str) -> Estimate:
    """The share of defects over all categories whose metric is a share, each row by its own category's metric.

    Args:
        table: As `verdict_table` or `attempt_table` gives it, of one model and arm.
        metrics: Category -> metric.
        seed: Of the bootstrap.
        labels: As for `estimate`.

    Returns:
        Its `metric` is the one that all share, or `defect`.

    Raises:
        InputError: As `estimates`.
    """
    check_categories(table, metrics)
    used = {name: metrics[name] for name in table["category"].unique() if metrics[name] not in MEANS}
    values = np.full(len(table), np.nan)
    for category, metric in used.items():
        inside = (table["category"] == category).to_numpy()
        values[inside] = values_of(table[inside], metric)[0]
    rows = table["category"].isin(used).to_numpy()
    named = set(used.values())
    metric = named.pop() if len(named) == 1 else "defect"
    clusters = table[cluster_of(table)].to_numpy()[rows]
    found = _estimate(values[rows], 1.0, clusters, judge_of(table["judge"][rows].unique()), metric, None, seed)
    return Estimate(**{**labels, **found})


def _estimate(
    values: NDArray[np.float64], top: float, clusters: NDArray[Any], judge: str, metric: str, interval: Kind | None, seed: int
) -> dict[str, Any]:
    keep = ~np.isnan(values)
    scored, unscored = values[keep], int((~keep).sum())
    if metric in MEANS:
        value, low, high, method = mean_interval(scored, clusters[keep], top, interval or "bootstrap", seed=seed)
    else:
        value, low, high, method = rate_interval(scored, clusters[keep], interval or "wilson", seed=seed)
    n, total = len(scored), len(values)
    return {
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "n_unscored": unscored,
        "bound_low": float(scored.sum() / total) if n else float("nan"),
        "bound_high": float((scored.sum() + unscored * top) / total) if n else float("nan"),
        "judge": judge,
        "method": method,
    }
