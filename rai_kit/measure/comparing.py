"""Two or more finished runs side by side: are they different, where, and could these runs have told?

Runs are opened from their folders; the first arm is the baseline that every other is compared with, pair by pair. Suites with many
categories, and red teams, are compared by family of harm: few pairs a category would tell nothing. The statistics are `metrics`';
here it is decided which rows belong together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.gates import Result
from rai_kit.measure.arms import ALL, Arm, By, alike, arms_of, categories_of, key_of, pooled_rate, rate_of, shared
from rai_kit.measure.opening import open_run
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Joined:
    """How arms are joined.

    Attributes:
        key: Columns that name a row in every arm.
        across_judges: Whether arms may have different judges.
        seed: Of bootstraps and permutations.
    """

    key: tuple[str, ...]
    across_judges: bool
    seed: int

    def compare(self, before: pd.DataFrame, after: pd.DataFrame, metric_of: Mapping[str, str], **settings: Any) -> pd.DataFrame:
        """`metrics.compare_arms` of two tables."""
        from rai_kit import metrics

        return metrics.compare_arms(
            before,
            after,
            metric_of,
            key=self.key,
            across_judges=self.across_judges,
            seed=self.seed,
            **settings,
        )

    def within(
        self, before: pd.DataFrame, after: pd.DataFrame, category: str, metric_of: Mapping[str, str], margin: float
    ) -> dict[str, Any]:
        """Whether a difference (of a category, or of all together) stays within the margin; None for a mean, or nothing scored."""
        import pandas as pd

        from rai_kit import metrics

        chosen = {name: one for name, one in metric_of.items() if one not in metrics.MEANS and category in (name, ALL)}
        if not chosen:
            return {"margin": margin, "non_inferior": None, "equivalent": None}
        parts = []
        for name, one in chosen.items():
            first, second = (table[table["category"] == name] for table in (before, after))
            parts.append(metrics.paired(first, second, one, key=self.key, across_judges=self.across_judges))
        pairs = replace(parts[0], frame=pd.concat([part.frame for part in parts], ignore_index=True))
        tests = {"non_inferior": metrics.non_inferior, "equivalent": metrics.equivalent}
        return {"margin": margin, **{name: test(pairs, margin, seed=self.seed).holds for name, test in tests.items()}}


@dataclass(frozen=True)
class Comparison:
    """What came of comparing runs.

    Attributes:
        arms: The first is the baseline.
        metrics: Category -> primary metric.
        titles: Category -> title.
        rates: Every arm's rates (`metrics.estimate_table`; `model` is the arm's name); topic `standardised` has the common mix of topics.
        differences: Every other arm against the first, a row a category (`metrics.compare_arms`).
        refusals: The same of refusals; without rows for red teams.
        ranks: Which arm is best (`metrics.ranks`), on what all arms share.
        curves: DR-x over all x (`metrics.severity_curve`); without rows for red teams.
        causes: Planned, reached, scored, and unscored by cause (`metrics.causes`).
        regression: What became of the first arm's failures where it was sampled again without any change (`metrics.regression_to_mean`);
            without rows where no arm is such a re-sampling.
        settings: How the arms were joined.
    """

    arms: tuple[Arm, ...]
    metrics: Mapping[str, str]
    titles: Mapping[str, str]
    rates: pd.DataFrame
    differences: pd.DataFrame
    refusals: pd.DataFrame
    ranks: pd.DataFrame
    curves: pd.DataFrame
    causes: pd.DataFrame
    regression: pd.DataFrame
    settings: Joined

    def __repr__(self) -> str:
        found = Counter(self.differences["finding"])
        return f"Comparison({' / '.join(arm.name for arm in self.arms)}: {', '.join(f'{n} {what}' for what, n in found.items())})"

    def sides(self) -> pd.DataFrame:
        """Who the arms are: name, model, run folder, system message, re-sampling, rule to stop by, rows, and rows left out."""
        import pandas as pd

        told = ("system", "resample", "until")
        return pd.DataFrame(
            [
                {"arm": arm.name, "model": arm.only("model"), "folder": arm.folder.name}
                | {name: arm.run["parameters"].get(name) for name in told}
                | {"rows": len(arm.table), "left_out": arm.left_out, "judge": arm.only("judge")}
                for arm in self.arms
            ]
        )

    def notes(self) -> list[str]:
        """What a reader of the differences has to know."""
        found = []
        if any(arm.left_out for arm in self.arms):
            counts = ", ".join(f"{arm.left_out} of {arm.name}" for arm in self.arms)
            found.append(f"Only what all arms share is compared; left out: {counts}.")
        if early := [arm.name for arm in self.arms if arm.run["parameters"].get("until")]:
            found.append(f"{', '.join(early)} could stop early; differences and their p do not allow for that.")
        if "seed" not in self.settings.key and "scenario" in self.settings.key:
            found.append("Joined by scenario: the arms were sampled with other seeds.")
        return found

    def shown(self) -> pd.DataFrame:
        """The differences to read (`readable`)."""
        return readable(self.differences)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every table as CSV, Markdown and LaTeX into a folder."""
        from rai_kit.metrics import intervals_as_text
        from rai_kit.tables import save_table

        def read(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
            return intervals_as_text(frame.rename(columns={"low": "value_low", "high": "value_high"}), names)

        rate = ["model", "category", "topic", "metric", "value", "n", "n_unscored"]
        frames = {
            "arms": (self.sides(), None, "The arms"),
            "differences": (self.differences, self.shown(), "Paired differences, after minus before, with 95 % intervals"),
            "rates": (self.rates, read(self.rates, rate), "Rates with 95 % intervals"),
            "ranks": (
                self.ranks,
                read(self.ranks, ["category", "model", "value", "rank", "rank_low", "rank_high", "n"]),
                "Ranks",
            ),
            "funnel": (self.causes, None, "Planned, reached, scored, and unscored by cause"),
            "refusals": (self.refusals, None, "Paired differences of refusals"),
            "severity_curves": (self.curves, None, "Defect rates for every threshold"),
            "regression_to_the_mean": (self.regression, None, "The same scenarios, sampled again without any change"),
        }
        kept = {name: parts for name, parts in frames.items() if len(parts[0])}
        return [
            path
            for name, (raw, shown, caption) in kept.items()
            for path in save_table(raw, Path(folder) / name, shown=shown, caption=caption)
        ]

    def gate(self, rule: str) -> Result:
        """Whether a rule holds, such as `jailbreak.DR-1 <= 0.15 and harm.diff.high <= 0.02` (`rai_kit.gates`).

        Raises:
            InputError: No rule, a name that this comparison does not know, or more than two arms.
        """
        from rai_kit.measure.gating import evaluate

        return evaluate(self, rule)


def compare(
    *folders: str | Path,
    by: By | None = None,
    common: bool = False,
    across_judges: bool = False,
    margin: float | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares what two or more runs found; each folder may hold several models, and the first arm is the baseline.

    Args:
        folders: Run folders, all of benchmarks of one suite, or all of red teams.
        by: Compare single categories or families of harm; by default families where there are more than twelve categories.
        common: Compare what all arms share where they did not do all the same; how much was left out is said.
        across_judges: Compare although different judges judged.
        margin: Largest difference of a share (0-1) that does not matter: whether each category stays within it is said in the columns
            `non_inferior` and `equivalent` of the differences.
        seed: Of bootstraps and permutations.

    Raises:
        InputError: Folders that hold no finished run; runs of different kinds, suites, or (without the word for it) scenarios or judges;
            fewer than two arms.
    """
    import pandas as pd

    from rai_kit import metrics

    if margin is not None and not 0 <= margin <= 1:
        raise InputError(f"margin {margin:g} is no share; give a number from 0 to 1 (5 points are 0.05).")
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number of at least 0.")
    runs = [open_run(folder) for folder in folders]
    kind, suite = alike([one.run for one in runs])
    metric_of, titles, family = categories_of(kind, suite, runs, by)
    arms = arms_of(runs, family)
    if len(arms) < 2:
        raise InputError(
            f"{len(arms)} arm to compare ({', '.join(arm.name for arm in arms) or 'none'}); give two run folders or more."
        )
    settings = Joined(key_of(arms), across_judges, seed)
    arms = shared(arms, settings.key, common)
    present = set(arms[0].table["category"])
    metric_of = {name: metric for name, metric in metric_of.items() if name in present}
    every = pd.concat([arm.table.assign(model=arm.name) for arm in arms], ignore_index=True)
    rates = [rate_of(arm, name, metric, metric_of) for arm in arms for name, metric in metric_of.items()]
    shares = [name for name, metric in metric_of.items() if metric not in metrics.MEANS]
    rates += [pooled_rate(arm, metric_of) for arm in arms if shares]
    of_talks = kind == "benchmark"
    if of_talks:
        rates += metrics.standardised(every, metric_of)
    return Comparison(
        arms=tuple(arms),
        metrics=metric_of,
        titles={name: titles[name] for name in metric_of} | {ALL: "All harm"},
        rates=metrics.estimate_table(rates),
        differences=_against_first(arms, metric_of, settings, margin, pooled=True),
        refusals=_against_first(arms, dict.fromkeys(metric_of, "refusal") if of_talks else {}, settings),
        ranks=metrics.ranks(
            {arm.name: arm.table for arm in arms},
            metric_of,
            key=settings.key,
            across_judges=across_judges,
            seed=seed,
        ),
        curves=metrics.severity_curve(every[every["category"].isin(shares)], ("model", "category"))
        if of_talks
        else pd.DataFrame(),
        causes=metrics.causes(every),
        regression=_regression(arms, metric_of),
        settings=settings,
    )


def _against_first(
    arms: Sequence[Arm], metric_of: Mapping[str, str], settings: Joined, margin: float | None = None, pooled: bool = False
) -> pd.DataFrame:
    import pandas as pd

    first, *others = arms
    frames = []
    for arm in others if metric_of else ():
        found = settings.compare(first.table, arm.table, metric_of, names=(first.name, arm.name), pooled=pooled)
        if margin is not None:
            answers = [settings.within(first.table, arm.table, category, metric_of, margin) for category in found["category"]]
            found = found.join(pd.DataFrame(answers, index=found.index, dtype=object))
        frames.append(found)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _regression(arms: Sequence[Arm], metric_of: Mapping[str, str]) -> pd.DataFrame:
    """What became of the first arm's failures in the first arm that is the same model and set-up, sampled again."""
    import pandas as pd

    from rai_kit import metrics

    shares = {name: metric for name, metric in metric_of.items() if metric not in metrics.MEANS}
    first, names = arms[0], ("target", "simulator", "judge", "max_tokens", "temperature", "turns", "system")

    def setup(arm: Arm) -> list[Any]:
        way = [arm.only("way")] if "way" in arm.table else []
        return [*(arm.run["parameters"].get(name) for name in names), arm.only("model"), arm.only("arm"), *way]

    for arm in arms[1:]:
        again = arm.run["parameters"].get("resample", 0) != first.run["parameters"].get("resample", 0)
        if again and shares and setup(arm) == setup(first):
            return metrics.regression_to_mean(first.table, arm.table, shares)
    return pd.DataFrame()


def _could(mde: float) -> str:
    return "so few pairs could show none" if isnan(mde) else f"could have shown {mde:.2g}"


def readable(differences: pd.DataFrame) -> pd.DataFrame:
    """Differences to read: values with intervals as text, and beside every *no difference* what could have been shown.

    Args:
        differences: As `metrics.compare_arms` gives them.
    """
    from rai_kit import metrics

    frame = differences.rename(columns={"low": "difference_low", "high": "difference_high"})
    names = [
        "before",
        "after",
        "category",
        "metric",
        "n",
        "value_before",
        "value_after",
        "difference",
        "ratio",
        "fixed",
        "broken",
    ]
    answers = [name for name in ("non_inferior", "equivalent") if name in frame]
    text = metrics.intervals_as_text(frame, [*names, "p", *answers])
    adjusted = zip(frame["p"], frame["p_holm"], strict=True)
    text["p"] = [_chance(p, "alone") if isnan(holm) else _chance(holm, "Holm") for p, holm in adjusted]
    unscored = frame["n_unscored"].tolist()
    text["n"] = [f"{n} (+{left} unscored)" if left else str(n) for n, left in zip(frame["n"], unscored, strict=True)]
    text["finding"] = [
        f"{finding} ({_could(mde)})" if finding.startswith("no difference") else finding
        for finding, mde in zip(frame["finding"], frame["mde"], strict=True)
    ]
    return text


def _chance(p: float, kind: str) -> str:
    return "-" if isnan(p) else f"<0.001 ({kind})" if p < 0.001 else f"{p:.3f} ({kind})"
