"""How long the statistics of a million verdicts take: cluster bootstrap, summary, severity curves, standardised rates.

    .venv/bin/python benchmarks/statistics_speed.py [--rows 1000000] [--repeats 3]

The frame is drawn: 10 models, 60 categories of 3 topics, 5,000 clusters with names, 5 % unscored. Each figure is the median of the
repeats, in seconds; the first two have a wanted upper limit. The bootstrap starts from raw rows: names of clusters to
sums, 10,000 draws of 5,000 clusters, quantiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from rai_kit.metrics.intervals import cluster_sums, resampled
from rai_kit.metrics.rates import estimates
from rai_kit.metrics.severities import severity_curve
from rai_kit.metrics.standard import standardised

MODELS, CATEGORIES, TOPICS, CLUSTERS, REPLICATES = 10, 60, 3, 5000, 10_000


def verdicts(rows: int) -> pd.DataFrame:
    """A frame with the columns of a verdict table that rates need."""
    rng = np.random.default_rng(0)
    names = {
        "model": np.array([f"model-{i}" for i in range(MODELS)]),
        "category": np.array([f"category-{i}" for i in range(CATEGORIES)]),
        "topic": np.array([f"topic-{i}" for i in range(TOPICS)]),
        "cluster": np.array([f"template-{i:04d}" for i in range(CLUSTERS)]),
    }
    scored = rng.random(rows) > 0.05
    columns = {column: known[rng.integers(0, len(known), rows)] for column, known in names.items()}
    severity = rng.choice(8, rows, p=[0.6, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03])
    return pd.DataFrame(columns).assign(
        arm="before",
        judge="offline",
        scored=scored,
        severity=np.where(scored, severity, np.nan),
        ungroundedness=np.nan,
        refusal=pd.Series(rng.random(rows) < 0.3, dtype=object).where(scored, None),
    )


def bootstrap(frame: pd.DataFrame) -> None:
    """A 95 % interval of one rate over all rows."""
    scored = frame["scored"].to_numpy()
    values = (frame["severity"].to_numpy()[scored] >= 3).astype(float)
    totals = resampled(np.stack(cluster_sums(values, frame["cluster"][scored]), axis=1), REPLICATES)
    np.quantile(totals[:, 0] / totals[:, 1], [0.025, 0.975])


def measure(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    settings = parser.parse_args()
    frame = verdicts(settings.rows)
    metrics = dict.fromkeys(frame["category"].unique(), "DR-3")
    print(
        f"{settings.rows:,} rows, {MODELS} models, {CATEGORIES} categories, {CLUSTERS:,} clusters; median of {settings.repeats}"
    )
    print("                                          seconds   wanted")
    for words, wanted, work in (
        (f"cluster bootstrap, {REPLICATES:,} replicates", "< 2", lambda: bootstrap(frame)),
        ("estimates", "< 3", lambda: estimates(frame, metrics)),
        ("severity_curve", "", lambda: severity_curve(frame)),
        ("standardised", "", lambda: standardised(frame, metrics)),
    ):
        print(f"{words:<42}{measure(work, settings.repeats):7.2f}   {wanted:>6}", flush=True)


if __name__ == "__main__":
    main()
