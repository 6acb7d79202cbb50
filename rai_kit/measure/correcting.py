"""Rates beside what they would have been had people judged: by a judge card, or by labels of the run's own conversations.

The raw rate always stands beside the corrected one, and where a correction would not hold, the reason stands there instead.
The statistics are those of `metrics.correction`; here it is decided which card, and which labels, belong to which rate.
Left out on purpose: means (ungroundedness), which no card of shares can correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.schema import SEVERITY_MAX, InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from rai_kit.judges.cards import JudgeCard
    from rai_kit.labelling import Key
    from rai_kit.measure.rai import Benchmark
    from rai_kit.metrics.correction import Corrected

    Array = np.ndarray[Any, np.dtype[Any]]

OWN_LABELS = "label a sample of your own run (labelling.sample_for_labelling) and give its sheet as labels"
SINGLE_HARMS = ("hate_fairness", "self_harm", "sexual", "violence")
"""Rubrics of one kind of harm; the offline judge's errors on all others are those over all kinds."""
COLUMNS = (
    "model", "arm", "category", "topic", "metric", "n", "n_unscored", "value", "low", "high",
    "corrected", "corrected_low", "corrected_high", "method", "refused", "judge",
)  # fmt: skip


def corrected(
    found: Benchmark | pd.DataFrame,
    card: JudgeCard | None = None,
    *,
    labels: str | Path | Sequence[str | Path] | None = None,
    metrics: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Every rate of a run, raw and corrected for the judge's errors.

    Args:
        found: A benchmark, or its verdict table.
        card: The card of the judge, as `validate` gives it: Rogan-Gladen.
        labels: Labelling sheets of a sample of this run instead (each rater's), with their key file: PPI++. This needs no
            trust that the judge errs here as it did elsewhere.
        metrics: Category -> metric; by default those of the benchmark's suite.

    Returns:
        One row per model, arm, category (and `all` those with the same metric), topic and metric: `value`, `low`, `high` as the
        judge has it, `corrected`, `corrected_low`, `corrected_high` (NaN where refused), `method`, and `refused`, one sentence.

    Raises:
        InputError: Labels that are not of this run, or a category without a metric.
    """
    from rai_kit.metrics import estimate

    table = _table(found)
    source = _Card(card) if labels is None else _Labels.of(labels, table)
    rows = []
    for (model, arm), held in table.groupby(["model", "arm"], sort=False):
        for category, topic, metric, part in _parts(held, metrics or _metrics(found)):
            raw = estimate(part, metric, model=str(model), arm=str(arm), category=category, topic=topic)
            rows.append(_row(raw, source.rate(part, metric), judge=raw.judge, **_names(raw)))
    return _frame(rows)


def corrected_difference(
    before: Benchmark | pd.DataFrame,
    after: Benchmark | pd.DataFrame,
    card: JudgeCard | None = None,
    *,
    labels: str | Path | Sequence[str | Path] | None = None,
    metrics: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """After minus before over the scenarios that both runs (of one model each) hold, raw and corrected; else as `corrected`.

    The labels must come from a sample of pairs (`sample_for_labelling(before, paired_with=after)`). `n_unscored` counts the pairs
    of which either conversation is unscored.

    Raises:
        InputError: Runs of several models or of different judges, or without a common scenario.
    """
    import pandas as pd

    first, second = _table(before), _table(after)
    for side in (first, second):
        if len(side.groupby(["model", "arm"])) != 1:
            raise InputError("a run of several models cannot be paired; give the part of the verdict table of one model.")
    if len(judges := sorted({*first["judge"], *second["judge"]})) > 1:
        raise InputError(f"the runs were judged by {', '.join(judges)}; judge both with one judge first.")
    pairs = first.merge(second, on="scenario", suffixes=("", "_after"), validate="one_to_one")
    if pairs.empty:
        raise InputError("the two runs share no scenario; give two runs of the same scenarios.")
    source = _Card(card) if labels is None else _Labels.of(labels, pd.concat([first, second]), paired=True)
    rows = []
    for category, topic, metric, part in _parts(pairs, metrics or _metrics(before)):
        other = second.set_index("scenario").loc[part["scenario"]].reset_index()
        raw = _difference(part, other, metric)
        names = {"model": f"{first['model'].iloc[0]} -> {second['model'].iloc[0]}", "arm": "after - before"}
        names |= {"category": category, "topic": topic, "metric": metric}
        rows.append(_row(raw, source.difference(part, other, metric), judge=judges[0], **names))
    return _frame(rows)


@dataclass(frozen=True)
class _Raw:
    value: float
    low: float
    high: float
    n: int
    n_unscored: int


def _difference(before: pd.DataFrame, after: pd.DataFrame, metric: str) -> _Raw:
    """Mean of the paired differences with the interval that `metrics.compare_arms` gives it."""
    import numpy as np

    from rai_kit.metrics.differences import difference_of
    from rai_kit.metrics.outcomes import values_of

    (one, top), (other, _) = values_of(before, metric), values_of(after, metric)
    both = ~np.isnan(other - one)
    found = difference_of(one[both], other[both], before["cluster"].to_numpy()[both], metric, top)
    return _Raw(found.value, found.low, found.high, int(both.sum()), int((~both).sum()))


def _names(raw: Any) -> dict[str, str]:
    return {name: getattr(raw, name) for name in ("model", "arm", "category", "topic", "metric")}


def _row(raw: Any, mended: Corrected, **names: str) -> dict[str, Any]:
    row: dict[str, Any] = {**names, **{name: getattr(raw, name) for name in ("n", "n_unscored", "value", "low", "high")}}
    row |= {"corrected": mended.value, "corrected_low": mended.low, "corrected_high": mended.high}
    return row | {"method": mended.method, "refused": mended.refused}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(refused=pd.Series([row["refused"] for row in rows], dtype=object))  # None stays None


def _table(found: Benchmark | pd.DataFrame) -> pd.DataFrame:
    """The verdict table with `rubric`, and `copied`: whether copied words are what is judged."""
    import pandas as pd

    if isinstance(found, pd.DataFrame):
        from rai_kit.data import rubric_names
        from rai_kit.measure.dialogues import rubric_of

        names = set(rubric_names())
        rubrics = [
            category if category in names else rubric_of(f"{category}/{topic}", "the verdict table")
            for category, topic in zip(found["category"], found["topic"], strict=True)
        ]
        return found.assign(rubric=rubrics, copied=[rubric == "third_party" for rubric in rubrics])
    scenarios = {one.id: one for one in found.scenarios}
    held = [scenarios[id] for id in found.table["scenario"]]
    copied = [one.rubric == "third_party" or bool((one.reference or "").strip()) for one in held]
    return found.table.assign(rubric=[one.rubric for one in held], copied=copied)


def _metrics(found: Benchmark | pd.DataFrame) -> dict[str, str]:
    import pandas as pd

    from rai_kit.data import suite

    name = "rai5" if isinstance(found, pd.DataFrame) else found.run["suite"]
    return {one.id: one.metric for one in suite(name).categories}


def _parts(table: pd.DataFrame, metrics: Mapping[str, str]) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Category, topic, metric and rows of every rate: each category as a whole and by topic, then all that share a metric."""
    if unknown := sorted(set(table["category"]) - set(metrics)):
        raise InputError(f"no metric for category {unknown[0]!r}; give metrics for {', '.join(sorted(set(table['category'])))}.")
    for category, rows in table.groupby("category", sort=False):
        for topic, part in (("all", rows), *rows.groupby("topic", sort=True)):
            for metric in (metrics[str(category)], "refusal"):
                yield str(category), str(topic), metric, part
    used = table["category"].map(metrics)
    for metric in sorted(set(used) - {"ungroundedness"}):
        if table.loc[used == metric, "category"].nunique() > 1:
            yield "all", "all", metric, table[used == metric]
    if table["category"].nunique() > 1:
        yield "all", "all", "refusal", table


def _values(rows: pd.DataFrame, metric: str) -> Array:
    """The judge's findings, 0 or 1 (ungroundedness: 0-4); NaN where unscored."""
    from rai_kit.metrics.outcomes import values_of

    return values_of(rows, metric)[0]


_MEAN = "The mean of a scale is not corrected, only shares are; read it beside the judge's bias."


@dataclass(frozen=True)
class _Card:
    """Corrections by what a card knows of the judge's errors."""

    card: JudgeCard | None

    def rate(self, rows: pd.DataFrame, metric: str) -> Corrected:
        from rai_kit.metrics.correction import refusal, rogan_gladen

        table = self._table(rows, metric)
        if isinstance(table, str):
            return refusal("judge card", table)
        return rogan_gladen(_values(rows, metric), table, rows["cluster"].to_numpy())

    def difference(self, before: pd.DataFrame, after: pd.DataFrame, metric: str) -> Corrected:
        from rai_kit.metrics.correction import refusal, rogan_gladen_difference

        table, other = self._table(before, metric), self._table(after, metric)
        if isinstance(table, str) or isinstance(other, str):
            return refusal("judge card", table if isinstance(table, str) else str(other))
        clusters = before["cluster"].to_numpy()
        return rogan_gladen_difference(_values(before, metric), _values(after, metric), table, clusters=clusters)

    def _table(self, rows: pd.DataFrame, metric: str) -> Array | str:
        """The 2 x 2 counts for a rate, or the reason why there are none."""
        import numpy as np

        from rai_kit.metrics.correction import transport_check

        judge = str(rows["judge"].iloc[0])
        if self.card is None:
            return f"There is no card for judge {judge}; validate it, or {OWN_LABELS}."
        if self.card.judge != judge:
            return (
                f"The card is of judge {self.card.judge}, and these are verdicts of {judge}; validate that one, or {OWN_LABELS}."
            )
        if metric == "ungroundedness":
            return f"{_MEAN} For groundedness there are no human labels, so there is no card; {OWN_LABELS}."
        if metric != "refusal" and (copied := int(rows["copied"].sum())):
            return f"{copied} of {len(rows)} conversations are judged by copied words, for which the card holds no labels; {OWN_LABELS}."
        task = "refusal" if metric == "refusal" else "severity"
        names = self._names(task, sorted(set(rows["rubric"])), judge)
        if isinstance(names, str):
            return names
        counts = np.sum([self.card.confusions[name] for name in names], axis=0)
        if metric == "refusal":
            return np.asarray(counts)
        scored = rows[rows["scored"] & rows["severity"].notna()]
        if reason := transport_check(scored["severity"].to_numpy(dtype=float), counts, scored["cluster"].to_numpy()):
            return reason
        above = np.arange(SEVERITY_MAX + 1) >= int(metric.removeprefix("DR-"))
        sides = np.stack([~above, above]).astype(int)
        return np.asarray(sides @ counts @ sides.T)

    def _names(self, task: str, rubrics: list[str], judge: str) -> list[str] | str:
        """The card's tables that belong to the rubrics of some rows, or the reason why there are none."""
        assert self.card is not None
        known = {name: rubric for name, rubric in self.card.rubric_of.items() if name.startswith(f"{task}/")}
        whole, single = f"{task}/all", {name: rubric for name, rubric in known.items() if not name.endswith("/all")}
        if whole not in known:
            return f"The card holds no labels of {task}; {OWN_LABELS}."
        if judge.startswith("offline") and (
            task == "refusal" or set(single) == {f"{task}/none"} or not set(rubrics) <= set(SINGLE_HARMS)
        ):
            return [whole]  # the offline judge's finding does not depend on the rubric's wording
        missing = [rubric for rubric in rubrics if rubric not in single.values()]
        if missing:
            return (
                f"The card knows {task} as judged by {', '.join(sorted(set(single.values())))}, and not by {', '.join(missing)}; "
                f"{OWN_LABELS}."
            )
        return [name for name, rubric in single.items() if rubric in rubrics]


@dataclass(frozen=True)
class _Labels:
    """Corrections by people's labels of a two-phase sample of the very run."""

    key: Key
    truth: dict[str, dict[str, float]]
    """Task -> conversation -> people's level (of refusal: 0 or 1)."""

    @classmethod
    def of(cls, labels: str | Path | Sequence[str | Path], table: pd.DataFrame, paired: bool = False) -> _Labels:
        from rai_kit.judges.labels import TOPS, human_severity, read_labels
        from rai_kit.labelling import read_key

        given = read_labels(labels)
        key = read_key(labels if isinstance(labels, str | Path) else labels[0])
        if not set(given["id"]) & set(table["id"]):
            raise InputError("none of the labelled conversations is of this run; give the sheet that was drawn from it.")
        if strange := sorted(set(given["id"]) - set(key.stratum)):
            raise InputError(
                f"conversation {strange[0]} is labelled, but the key does not know it; give the sheet's own key file."
            )
        if paired and not all(name.startswith("both | ") for name in key.population):
            raise InputError("the sheet is no sample of pairs; draw one with sample_for_labelling(before, paired_with=after).")
        truth = {
            str(task): dict(zip(part["id"], map(float, human_severity(part["label"], TOPS[str(task)])), strict=True))
            for task, part in given.groupby("task")
        }
        return cls(key, truth)

    def rate(self, rows: pd.DataFrame, metric: str) -> Corrected:
        from rai_kit.metrics.correction import ppi

        return self._mended(ppi, rows, _values(rows, metric), self._known(rows, metric), metric)

    def difference(self, before: pd.DataFrame, after: pd.DataFrame, metric: str) -> Corrected:
        from rai_kit.metrics.correction import ppi_difference

        said = _values(after, metric) - _values(before, metric)
        return self._mended(ppi_difference, before, said, self._known(after, metric) - self._known(before, metric), metric)

    def _known(self, rows: pd.DataFrame, metric: str) -> Array:
        """People's answer for every row, 0 or 1; NaN where there is none."""
        import numpy as np

        task, least = (
            ("refusal", 1) if metric == "refusal" else ("severity", 0 if metric == "ungroundedness" else int(metric[3:]))
        )
        levels = np.array([self.truth.get(task, {}).get(id, np.nan) for id in rows["id"]], dtype=float)
        return np.asarray(np.where(np.isnan(levels), np.nan, levels >= least), dtype=float)

    def _mended(self, correct: Callable[..., Corrected], rows: pd.DataFrame, said: Array, known: Array, metric: str) -> Corrected:
        """A correction with each labelled row standing for as many of its stratum among these rows as there are to a label."""
        import numpy as np

        from rai_kit.metrics.correction import refusal

        if metric == "ungroundedness":
            return refusal("PPI++", _MEAN)
        stratum = np.array([self.key.stratum.get(id, "") for id in rows["id"]])
        drawn_from = (stratum != "") & ~np.isnan(said)
        labelled = np.flatnonzero(drawn_from & ~np.isnan(known))
        population, given = Counter(stratum[drawn_from]), Counter(stratum[labelled])
        if empty := sorted(name for name in population if not given[name]):
            return refusal(
                "PPI++",
                f"{population[empty[0]]} of these {len(rows)} conversations belong to the stratum {str(empty[0])!r}, of which none "
                "has a label here; label more.",
            )
        weights = np.array([population[name] / given[name] for name in stratum[labelled]])
        clusters = rows["cluster"].to_numpy()
        return correct(
            said[drawn_from],
            said[labelled],
            known[labelled],
            weights=weights,
            clusters_all=clusters[drawn_from],
            clusters_labelled=clusters[labelled],
        )
