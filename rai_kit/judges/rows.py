"""The feature rows of the offline judge's linear models: several views of an answer and its request, side by side.

Words and letters (hashed n-grams weighted by how rare they are), named counts, stance sentence by sentence, what words mean, how answer and
request fit together, and one column that holds harm back where a request is clearly harmless. Each model reads the blocks named in `READS`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from rai_kit.judges import features, requests
from rai_kit.judges.lexicon import PATTERNS
from rai_kit.judges.stance import stance, stance_names
from rai_kit.judges.vectors import Vectors, fit_vectors

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    Array = np.ndarray[Any, np.dtype[Any]]

WORD_BITS, LETTER_BITS, LETTERS = 15, 15, 700
"""Sizes of the hashed n-grams, and how many characters are read letter by letter."""
BLOCK_WEIGHTS = {
    "words": 1.0,
    "letters": 1.0,
    "stated": 0.2,
    "counts": 0.2,
    "stance": 0.1,
    "meaning": 0.8,
    "asked": 0.25,
    "pair": 1.0,
}
MEANING, ASKED = 96, 48
"""Directions of meaning, of the answer and of the request, that are columns; likeness and the request model use all."""
GATE = "gate"
CLEARLY_HARMLESS, LEAST = -1.0, -1.0
"""Log-odds of asking for harm below which a request holds the harm of its answer back, and how much at most."""
CLIP = 3.0
PAIR = (
    "likeness",
    "prompt_words_found",
    "answer_words_shared",
    "off_topic",
    "log_words",
    "opens_as_prompt",
    "type_token",
    "long_likeness",
)
_NGRAMS, _HAND_MADE = ("words", "letters", "stance", "meaning", "asked"), ("stated", "counts")
READS = {
    "declines": ("stated", "stance"),
    "partial": ("stated", "stance"),
    "evades": ("pair",),
    "harmful": (*_NGRAMS, *_HAND_MADE),
    "harmful_by_words": _NGRAMS,
    "severity": (*_NGRAMS, *_HAND_MADE),
}
DIGITS = re.compile(r"\d+")


@cache
def places() -> dict[str, slice]:
    """Where each block stands among the columns."""
    stated = 2 * len(PATTERNS) + 1
    sizes = {
        "words": 2**WORD_BITS,
        "letters": 2**LETTER_BITS,
        "stated": stated,
        "counts": len(features.dense_names()) + features.REQUEST_COLUMNS - stated,
        "stance": len(stance_names()),
        "meaning": MEANING,
        "asked": ASKED,
        "pair": len(PAIR),
        GATE: 1,
    }
    edges = pairwise(accumulate(sizes.values(), initial=0))
    return {name: slice(*edge) for name, edge in zip(sizes, edges, strict=True)}


def columns_of(head: str) -> Array:
    """The columns that a model reads."""
    import numpy as np

    return np.concatenate([np.arange(places()[name].start, places()[name].stop) for name in READS[head]])


def learn(answers: Sequence[str], rows: Sequence[tuple[str, str]]) -> tuple[dict[str, Array], csr_matrix, Array]:
    """What the rows need to know beforehand (rarity, scale, vectors, the request model), from texts alone, without labels.

    Args:
        answers: The labelled answers.
        rows: Prompt and answer of all training rows, the labelled ones first.

    Returns:
        The arrays that `feature_rows` needs, the training rows, and their named counts beside stance (unscaled).
    """
    import numpy as np

    pieces, table = fit_vectors([*answers[::8], *(text for text, _, _ in requests.requests()[::12])])
    known: dict[str, Array] = {"pieces": np.frombuffer("\n".join(pieces).encode(), dtype=np.uint8), "vectors": table}
    known["asking"] = requests.fit_requests(_vectors(known))
    prompts, texts = [ask for ask, _ in rows], [answer for _, answer in rows]
    grams = _grams(texts)
    for name, found in zip(("words", "letters"), grams, strict=True):
        seen = np.bincount(found[: len(answers)].indices, minlength=found.shape[1])
        known[f"rarity_{name}"] = (np.log((1 + len(answers)) / (1 + seen)) + 1).astype(np.float32)
    counts, meaning, asked, gate = _counts(prompts, texts, known)
    known["mean"], known["scale"] = counts[: len(answers)].mean(axis=0), counts[: len(answers)].std(axis=0) + 0.02
    return known, _assembled(grams, counts, meaning, asked, gate, known), counts


def feature_rows(prompts: Sequence[str], answers: Sequence[str], known: dict[str, Array]) -> csr_matrix:
    """The rows of answers, each to its own prompt."""
    return _assembled(_grams(answers), *_counts(prompts, answers, known), known)


def _assembled(
    grams: tuple[Any, Any], counts: Array, meaning: Array, asked: Array, gate: Array, known: dict[str, Array]
) -> csr_matrix:
    import numpy as np
    from scipy.sparse import csr_matrix as sparse
    from scipy.sparse import hstack

    standard = np.clip((counts - known["mean"]) / known["scale"], -CLIP, CLIP)
    stated = places()["stated"].stop - places()["stated"].start
    split = places()["counts"].stop - places()["stated"].start
    dense = {
        "stated": standard[:, :stated],
        "counts": standard[:, stated:split],
        "stance": standard[:, split : -len(PAIR)],
        "meaning": meaning[:, :MEANING],
        "asked": asked[:, :ASKED],
        "pair": standard[:, -len(PAIR) :],
    }
    hashed = [_rare(found, known[f"rarity_{name}"]) for name, found in zip(("words", "letters"), grams, strict=True)]
    blocks = [*hashed, *(sparse(block * BLOCK_WEIGHTS[name]) for name, block in dense.items()), sparse(gate[:, None])]
    return hstack(blocks, format="csr")


def _counts(prompts: Sequence[str], answers: Sequence[str], known: dict[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Named counts (with those about the request, stance and fit), the meaning of answer and request, and the gate."""
    import numpy as np

    vectors = _vectors(known)
    ask_of, asks = _once(prompts)
    answer_of, texts = _once(answers)
    asked_harm = requests.asks_harm(asks, known["asking"], vectors)[ask_of]
    counts = features.dense(prompts, answers)
    meaning = vectors([features.normalised(text) for text in texts])[answer_of]
    asked = vectors([text[: requests.LONGEST] for text in asks])[ask_of]
    names, likeness = features.dense_names(), (meaning * asked).sum(axis=1)
    fit = [counts[:, names.index(name)] for name in PAIR[1:-1]]
    pair = np.column_stack([likeness, *fit, likeness * counts[:, names.index("log_words")]])
    every = np.column_stack([features.with_request(counts, asked_harm), stance(texts)[answer_of], pair])
    return every, meaning, asked, np.clip(asked_harm - CLEARLY_HARMLESS, LEAST, 0)


def _once(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """For every text its place among the distinct ones, and these."""
    place: dict[str, int] = {}
    return [place.setdefault(text, len(place)) for text in texts], list(place)


@cache
def _hashers() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    plain: dict[str, Any] = {"norm": None, "alternate_sign": False}
    words = HashingVectorizer(n_features=2**WORD_BITS, ngram_range=(1, 2), token_pattern=r"[^\W_]+", **plain)
    return words, HashingVectorizer(n_features=2**LETTER_BITS, analyzer="char_wb", ngram_range=(4, 4), **plain)


def _grams(answers: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
    words, letters = _hashers()
    answer_of, distinct = _once(answers)
    texts = [DIGITS.sub("0", features.normalised(answer)) for answer in distinct]
    return words.transform(texts)[answer_of], letters.transform([text[:LETTERS] for text in texts])[answer_of]


def _rare(found: csr_matrix, rarity: Array) -> csr_matrix:
    """Counts as logarithms, times the rarity of each n-gram, rows of unit length."""
    import numpy as np
    from sklearn.preprocessing import normalize

    weighted = found.copy()
    weighted.data = (1 + np.log(weighted.data)) * rarity[weighted.indices]
    return normalize(weighted)


_made: dict[int, tuple[Any, Vectors]] = {}


def _vectors(known: dict[str, Array]) -> Vectors:
    """The vectors of these weights, kept as long as the last few weights in use."""
    held = _made.get(id(known["pieces"]))
    if held is None or held[0] is not known["pieces"]:
        if len(_made) > 3:
            _made.clear()
        held = known["pieces"], Vectors(known["pieces"].tobytes().decode().split("\n"), known["vectors"])
        _made[id(known["pieces"])] = held
    return held[1]


def settings() -> list[Any]:
    """All constants that shape the rows, for the digest under which fitted weights are kept."""
    from rai_kit.judges import vectors
    from rai_kit.judges.lexicon import DECLINING

    own = [
        WORD_BITS,
        LETTER_BITS,
        LETTERS,
        BLOCK_WEIGHTS,
        MEANING,
        ASKED,
        CLEARLY_HARMLESS,
        LEAST,
        CLIP,
        PAIR,
        READS,
        stance_names(),
        DECLINING,
    ]
    return [
        *own,
        vectors.FILE,
        vectors.DIMENSIONS,
        vectors.MOST_WORDS,
        requests.SETTINGS,
        requests.LONGEST,
        requests.MOST,
        requests.sources(),
    ]
