"""Coherence of two arms: do they still answer ordinary prompts, in language, and as well?

Both arms answer the same ordinary prompts and read the same ordinary texts; everything is joined by id and compared pair by pair. What
follows from the changes is said in `effects`.

Left out on purpose: an absolute quality of language. Only changes are measured, of one model, by one tokenizer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_kit.metrics.differences import difference_of
from rai_kit.metrics.intervals import cluster_sums, effective_clusters, mean_interval, squared_error, student
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import pandas as pd

NEW_FOUR_GRAMS, LOOP = 0.7, 3
"""An answer is degenerate when fewer of its word 4-grams are different ones, or when one of them comes so often."""
_NAN = float("nan")


def loops(text: str) -> bool:
    """Whether a text says the same over and over, as small models do once they are stuck."""
    words = re.findall(r"\w+", text.lower())
    grams = [tuple(words[start : start + 4]) for start in range(len(words) - 3)]
    return len(set(grams)) < NEW_FOUR_GRAMS * len(grams) or max(Counter(grams).values(), default=0) >= LOOP


_MEASURES: dict[str, Callable[[str], float]] = {
    "degenerate": loops,
    "empty": lambda text: not text.strip(),
    "words": lambda text: len(text.split()),
}


def coherence(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """How the answers of two arms to the same ordinary prompts differ in form, whatever they say.

    Args:
        before: Columns `id` and `text` (the first answer; missing where there is none), and `cluster` where prompts are not independent.
        after: The same of the other arm.

    Returns:
        One row a quantity: `quantity`, `before`, `after`, `difference`, `low`, `high` (95 % interval of the paired difference), `n`,
        `n_unscored` (ids that only one arm has, or without a text in either), `method`. Quantities: `degenerate` (share of answers
        that go in loops), `empty` (share), `words` (mean number), and `agreement` (mean chrF of the two arms' answers, 0-1, in `after`;
        its interval is its own, as there is nothing before it).

    Source: Popovic 2015 (chrF; beta = 1, since neither answer is the reference); intervals as in `differences`.

    Raises:
        InputError: A column is missing, or an id stands twice.
    """
    import pandas as pd

    pairs, unscored = _joined(before, after, "id", ("text",))
    clusters = (pairs["cluster"] if "cluster" in pairs else pairs["id"]).to_numpy()
    sides = [[str(text) for text in pairs[name]] for name in ("text_before", "text_after")]
    rows = []
    for quantity, measure in _MEASURES.items():
        one, other = (np.asarray([measure(text) for text in side], dtype=np.float64) for side in sides)
        top = max(1.0, one.max(initial=0), other.max(initial=0))
        # `difference_of` knows shares and means; the name of a mean of its own scale stands for any
        found = difference_of(one, other, clusters, "severity" if quantity == "words" else quantity, top)
        means = (float(values.mean()) if len(values) else _NAN for values in (one, other))
        rows.append((quantity, *means, found.value, found.low, found.high, found.method))
    value, low, high, method = mean_interval(np.array(_chrf(*sides), dtype=float), clusters, 1.0)
    rows.append(("agreement", _NAN, value, _NAN, low, high, f"chrF1, {method}" if len(pairs) else method))
    frame = pd.DataFrame(rows, columns=["quantity", "before", "after", "difference", "low", "high", "method"])
    frame.insert(6, "n", len(pairs))
    frame.insert(7, "n_unscored", unscored)
    return frame


def perplexity_change(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """Perplexities of two arms on the same texts, and their ratio.

    Args:
        before: Columns `text` (its words or its name), `tokens` (how many were predicted), `nll` (mean negative log-likelihood a token).
        after: The same of the other arm.

    Returns:
        `before` and `after` (perplexities over all tokens), `ratio` with `low` and `high` (95 %, texts as clusters of tokens, from the
        paired difference of the logarithms; NaN where texts show no spread), `n` texts, `tokens`, `n_unscored`, `method`.

    Source: the logarithm of the ratio is a ratio mean, so its variance is Taylor's (Cochran 1977, section 9A.2).

    Raises:
        InputError: A column is missing, a text stands twice, or the arms cut a text into different numbers of tokens.
    """
    pairs, unscored = _joined(before, after, "text", ("tokens", "nll"))
    tokens, other = (pairs[name].to_numpy(dtype=float) for name in ("tokens_before", "tokens_after"))
    if len(differ := np.flatnonzero(tokens != other)):
        raise InputError(
            f"tokens of {len(differ)} texts differ (first: {tokens[differ[0]]:g} and {other[differ[0]]:g}); "
            "perplexities are compared between models of one tokenizer only."
        )
    one, two = (pairs[name].to_numpy(dtype=float) for name in ("nll_before", "nll_after"))
    found = {
        "before": _NAN,
        "after": _NAN,
        "ratio": _NAN,
        "low": _NAN,
        "high": _NAN,
        "n": len(pairs),
        "tokens": int(tokens.sum()),
    }
    if not tokens.sum():
        return found | {"n_unscored": unscored, "method": "nothing scored"}
    sums, sizes = cluster_sums(tokens * (two - one), np.arange(len(pairs)))[0], tokens
    middle, variance = float(sums.sum() / sizes.sum()), squared_error(sums, sizes)
    words = f"paired, Taylor, {len(pairs)} texts"
    if variance > 1e-24:  # NaN for one text; without spread nothing is known of chance
        half = student(effective_clusters(sizes)) * math.sqrt(variance)
        found |= {"low": math.exp(middle - half), "high": math.exp(middle + half)}
    else:
        words += ", no spread among them"
    found |= {name: math.exp(float(np.average(nll, weights=tokens))) for name, nll in (("before", one), ("after", two))}
    return found | {"ratio": math.exp(middle), "n_unscored": unscored, "method": words}


def win_rate(preferences: pd.DataFrame) -> dict[str, Any]:
    """How often a judge preferred the answer of `after`; a tie is half a win. Half of all is as good as before.

    Args:
        preferences: As `measure.preferred` gives it: `outcome` (`after`, `before`, `tie`, `unscored`), and `cluster`.

    Returns:
        `value`, `low`, `high` (95 %), `n`, `n_unscored`, `wins`, `ties`, `losses`, `method`.

    Raises:
        InputError: An outcome that is none of these.
    """
    worth = {"after": 1.0, "tie": 0.5, "before": 0.0}
    if unknown := sorted({str(one) for one in preferences["outcome"]} - {*worth, "unscored"}):
        raise InputError(f"outcome {unknown[0]!r} is none; it is after, before, tie or unscored.")
    scored = preferences[preferences["outcome"] != "unscored"]
    values = np.array([worth[one] for one in scored["outcome"]], dtype=float)
    value, low, high, method = mean_interval(values, scored["cluster"].to_numpy(), 1.0)
    counts = {name: int((values == worth[of]).sum()) for name, of in (("wins", "after"), ("ties", "tie"), ("losses", "before"))}
    left = len(preferences) - len(scored)
    return {"value": value, "low": low, "high": high, "n": len(scored), "n_unscored": left, **counts, "method": method}


def _joined(before: pd.DataFrame, after: pd.DataFrame, key: str, columns: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Rows of both arms side by side, in the order of the key, and how many keys have no whole pair."""
    for name, table in (("before", before), ("after", after)):
        if missing := [column for column in (key, *columns) if column not in table]:
            raise InputError(f"{name}: column {missing[0]} is missing; give {', '.join((key, *columns))}.")
        if (twice := table[key].duplicated()).any():
            raise InputError(f"{name}: {key} {str(table.loc[twice, key].iloc[0])[:60]!r} stands twice; give each once.")
    kept = [key, *columns, *(["cluster"] if "cluster" in before else [])]
    every = before[kept].merge(after[[key, *columns]], on=key, how="outer", suffixes=("_before", "_after"))
    values = [f"{column}_{side}" for column in columns for side in ("before", "after")]
    whole = every.replace([math.inf, -math.inf], _NAN).dropna(subset=values).sort_values(key, kind="stable")
    return whole.reset_index(drop=True), len(every) - len(whole)


def _chrf(before: Sequence[str], after: Sequence[str]) -> list[float]:
    """Similarity of each two texts, 0-1; two that are the same are 1, be they empty."""
    from sacrebleu.metrics.chrf import CHRF

    score = CHRF(beta=1).sentence_score
    return [1.0 if one == other else score(other, [one]).score / 100 for one, other in zip(before, after, strict=True)]
