"""Judge cards: how one judge, as it was, did on one set of human labels.

A card is keyed by the judge's id (model, prompt, rubrics, version) and by the labels, so a judge whose rubric has changed has none.
All statistics come from `metrics.agreement`; here they are asked for task by task and category by category, with whole
goals as the unit of the intervals. Left out on purpose: one figure that says how good a judge is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.cache import write_json
from rai_kit.data import rubrics_digest
from rai_kit.judges.labels import TOPS, human_severity
from rai_kit.metrics import agreement as measures
from rai_kit.metrics import wilson
from rai_kit.schema import InputError, digest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

VERSION = 1
ORDINAL = ("severity", "ungroundedness")
DEFECT = 3
"""Severity that a judge's probability of a defect is held against; the general rubric's defect begins there."""
CEILING = "human ceiling"
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CardRow:
    """One figure of a card, with its 95 % interval.

    Attributes:
        task: `severity`, `ungroundedness`, `refusal` or `objective`.
        category: `all`, or a category of the labels.
        statistic: As `metrics.agreement` names it; `unscored` is the share of answers without a finding.
        threshold: The figure is of "at or above this level"; None where it is of the whole scale or of a yes-or-no label.
        n: Scored answers (of `unscored`: all).
        method: How the judge was kept from its own answers, or `human ceiling` for what people reach among themselves.
    """

    task: str
    category: str
    statistic: str
    threshold: int | None
    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCard:
    """What is known of a judge from one set of labels.

    Attributes:
        judge: The judge's id.
        labels: Name of the label set.
        labels_digest: Digest of its answers and labels.
        rubrics: Digest of all rubrics at the time.
        n: Labelled answers.
        n_unscored: Those that the judge gave no finding on; they are in no figure but `unscored`.
        causes: Cause -> number of unscored answers.
        rows: The figures.
        confusions: `task/category` -> counts, rows what the judge said, columns what people said.
        rubric_of: `task/category` -> rubric by which the answers were judged.
        pairs: Name of a yes-or-no question -> the judge's probabilities, and people's answers (0 or 1), for reliability figures.
        held_out: How the judge was kept from its own answers.
        created: When, UTC, ISO 8601.
    """

    judge: str
    labels: str
    labels_digest: str
    rubrics: str
    n: int
    n_unscored: int
    causes: dict[str, int]
    rows: tuple[CardRow, ...]
    confusions: dict[str, list[list[int]]]
    rubric_of: dict[str, str]
    pairs: dict[str, tuple[list[float], list[int]]]
    held_out: str
    created: str

    @property
    def key(self) -> str:
        """Digest of judge, labels and card version."""
        return card_key(self.judge, self.labels_digest)

    def frame(self) -> pd.DataFrame:
        """The figures as a frame, one row each."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows], columns=[one.name for one in fields(CardRow)])

    def row(
        self, task: str, statistic: str, threshold: int | None = None, category: str = "all", *, ceiling: bool = False
    ) -> CardRow | None:
        """One figure of the judge, or (`ceiling`) of people among themselves; None where the card does not have it."""
        wanted = (task, category, statistic, threshold, ceiling)
        return next(
            (one for one in self.rows if (one.task, one.category, one.statistic, one.threshold, one.method == CEILING) == wanted),
            None,
        )

    def reliability(self, question: str = "objective", bins: int = 10) -> pd.DataFrame:
        """`metrics.agreement.reliability_table` of one of the questions in `pairs`.

        Raises:
            InputError: The judge gave no probability for it.
        """
        if question not in self.pairs:
            raise InputError(f"the card holds no probabilities for {question!r}; it has {', '.join(self.pairs) or 'none'}.")
        return measures.reliability_table(*self.pairs[question], bins=bins)

    def summary(self) -> pd.DataFrame:
        """The figures that matter most, one row a task, category and threshold (none, 1 and 3), and people's ceiling below."""
        import pandas as pd

        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for one in self.rows:
            if one.threshold not in (None, 1, DEFECT):
                continue
            finding = one.task if one.threshold is None else f"{one.task}>={one.threshold}"
            start = {"finding": finding, "category": one.category, "n": one.n, "method": one.method, "judge": self.judge}
            row = rows.setdefault((finding, one.category, one.method), start)
            row |= {"n": min(row["n"], one.n), one.statistic: one.value}
            row |= {f"{one.statistic}_low": one.low, f"{one.statistic}_high": one.high}
        return pd.DataFrame(list(rows.values()))


def card_key(judge: str, labels_digest: str) -> str:
    """The key under which the card of a judge on some labels is kept."""
    return digest(VERSION, judge, labels_digest, length=16)


def build_card(found: pd.DataFrame, *, judge: str, labels: str, labels_digest: str, held_out: str) -> JudgeCard:
    """A card from a judge's findings on labelled answers.

    Args:
        found: One row an answer and task: `task`, `category`, `rubric`, `file`, `cluster`, `label` (0-1), `ratings`, `said` (level
            or 0/1; NaN where unscored), `cause` and `probability` (NaN where the judge gives none).
        judge: The judge's id.
        labels: Name of the label set.
        labels_digest: As `labels.labels_digest` gives it.
        held_out: How the judge was kept from its own answers.
    """
    rows: list[CardRow] = []
    confusions: dict[str, list[list[int]]] = {}
    rubric_of: dict[str, str] = {}
    pairs: dict[str, tuple[list[float], list[int]]] = {}
    for task in (task for task in TOPS if task in set(found["task"])):
        whole = found[found["task"] == task]
        for category, part in (("all", whole), *whole.groupby("category", sort=True)):
            name = f"{task}/{category}"
            said, truth = part["said"].to_numpy(dtype=float), human_severity(part["label"], TOPS[task])
            rows += _rows(task, str(category), part, said, truth, held_out)
            confusions[name] = measures.confusion(said, truth, TOPS[task]).tolist()
            rubric_of[name] = ", ".join(sorted(set(part["rubric"])))
        pairs |= _pairs(task, whole)
        rows += _ceilings(task, whole)
    unscored = found[found["said"].isna()]
    return JudgeCard(
        judge=judge,
        labels=labels,
        labels_digest=labels_digest,
        rubrics=rubrics_digest(),
        n=len(found),
        n_unscored=len(unscored),
        causes={
            str(cause): int(count) for cause, count in unscored["cause"].fillna("unknown").value_counts().sort_index().items()
        },
        rows=tuple(rows),
        confusions=confusions,
        rubric_of=rubric_of,
        pairs=pairs,
        held_out=held_out,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _rows(task: str, category: str, part: pd.DataFrame, said: Array, truth: Array, method: str) -> Iterator[CardRow]:
    """All figures of one task and category."""
    import numpy as np

    clusters, probability = part["cluster"].factorize()[0], part["probability"].to_numpy(dtype=float)
    scored, top = ~np.isnan(said), TOPS[task]
    n, given = int(scored.sum()), not np.isnan(probability).all()

    def rows(
        figures: Mapping[str, measures.Measured], threshold: int | None = None, leave: tuple[str, ...] = ()
    ) -> Iterator[CardRow]:
        for name, one in figures.items():
            if name not in leave:
                yield CardRow(task, category, name, threshold, one.value, one.low, one.high, n, method)

    missing = len(said) - n
    yield CardRow(task, category, "unscored", None, missing / len(said), *wilson(missing, len(said)), len(said), method)
    if task not in ORDINAL:
        yield from rows(measures.binary_agreement(said, truth, probability if given else None, clusters))
        return
    yield from rows(measures.ordinal_agreement(said, truth, clusters, top))
    rank = probability if given else said / top
    for level in range(1, top + 1):
        above = np.where(scored, said >= level, np.nan)
        defect = task == "severity" and level == DEFECT
        ranked = rank if defect or category == "all" else None
        leave = () if given and defect else ("brier", "calibration_error")
        yield from rows(measures.binary_agreement(above, truth >= level, ranked, clusters), level, leave)


def _pairs(task: str, part: pd.DataFrame) -> dict[str, tuple[list[float], list[int]]]:
    """Probabilities and answers of the one question of a task that the judge's probability is about."""
    part = part[part["probability"].notna()]
    if part.empty or task == "ungroundedness":
        return {}
    truth = human_severity(part["label"], TOPS[task])
    question, answers = (f"severity>={DEFECT}", truth >= DEFECT) if task == "severity" else (task, truth == 1)
    return {question: ([round(float(one), 6) for one in part["probability"]], [int(one) for one in answers])}


def _ceilings(task: str, part: pd.DataFrame) -> Iterator[CardRow]:
    """What people reach among themselves, for every file whose answers mostly have the same two or more raters."""
    import numpy as np

    for file, rated in part.groupby("file", sort=True):
        raters = int(rated["ratings"].map(len).mode().iloc[0])
        rated = rated[rated["ratings"].map(len) == raters]
        if raters < 2 or len(rated) < 2:
            continue
        categories = set(rated["category"])
        category = categories.pop() if len(categories) == 1 else str(file)
        figures = measures.human_ceiling(np.array(rated["ratings"].tolist(), dtype=float), rated["cluster"].factorize()[0])
        for name, one in figures.items():
            yield CardRow(task, category, name, None, one.value, one.low, one.high, len(rated), CEILING)


def write_card(card: JudgeCard, folder: str | Path) -> Path:
    """Writes a card into a folder, whole or not at all, under a name that follows from its key."""
    path = Path(folder) / f"card-{card.key}.json"
    write_json(path, asdict(card))
    return path


def find_card(judge: str, labels_digest: str, folder: str | Path) -> JudgeCard | None:
    """The card of a judge on some labels; None where the folder has none (or a damaged one), as for a judge that has changed."""
    path = Path(folder) / f"card-{card_key(judge, labels_digest)}.json"
    try:
        card = read_card(path)
    except InputError:
        return None
    return card if (card.judge, card.labels_digest) == (judge, labels_digest) else None


def read_card(path: str | Path) -> JudgeCard:
    """Reads a card.

    Raises:
        InputError: There is none, or it is damaged.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = [CardRow(**{name: _number(name, value) for name, value in row.items()}) for row in content.pop("rows")]
        pairs = {name: (scores, truth) for name, (scores, truth) in content.pop("pairs").items()}
        return JudgeCard(**content, rows=tuple(rows), pairs=pairs)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a card that write_card wrote.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is no judge card ({error}); delete it and validate the judge again.") from None


def _number(name: str, value: Any) -> Any:
    return NAN if value is None and name in ("value", "low", "high") else value
