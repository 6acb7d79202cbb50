"""The offline judge's fitted weights: built from the human labels once, then read from the user's cache folder.

The file's name is a digest of everything that shapes the weights (labels, own texts, patterns, settings, scikit-learn's
version), so a stale
file is never read. It holds plain numbers only, is written whole or not at all, and is rebuilt where it is damaged.
"""

from __future__ import annotations

import hashlib
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rai_kit.cache import cache_dir, write_whole
from rai_kit.judges import features, fit, labels, own, rows
from rai_kit.schema import digest

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

VERSION = 2
ARRAYS = (
    *("mean", "scale", "rarity_words", "rarity_letters", "pieces", "vectors", "asking"),
    *("weights", "bias", "held_out"),
)
_building = Lock()


@cache
def key() -> str:
    """Digest of all that shapes the weights."""
    from sklearn import __version__

    table = labels.human_labels()
    columns = (table[name] for name in ("task", "prompt", "answer", "ratings"))
    labelled = [[task, prompt, answer, list(ratings)] for task, prompt, answer, ratings in zip(*columns, strict=True)]
    texts = own.own_texts()
    return digest(
        *(VERSION, __version__, labelled, own.SETTINGS, [getattr(texts, name) for name in texts.__struct_fields__]),
        *(fit.SETTINGS, fit.HEADS, fit.CUTS, fit.STATED_NO, fit.LONG_ENOUGH, fit.DOUBTFUL),
        *(features.settings(), rows.settings()),
    )


def weights() -> dict[str, Array]:
    """The arrays of `fit.fit`, from memory, from the cache folder, or fitted now (some seconds, once for each machine)."""
    with _building:
        return _weights(str(cache_file()))


def cache_file() -> Path:
    """Where the weights are kept between processes."""
    return cache_dir() / f"offline-judge-{key()}.npz"


@cache
def _weights(path: str) -> dict[str, Array]:
    found = _read(Path(path))
    if found is None:
        found = fit.fit(labels.human_labels())
        _write(Path(path), found)
    return found


def _read(path: Path) -> dict[str, Array] | None:
    """The stored arrays; None where there is no file, or its content is not what was written."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in ARRAYS}
            intact = str(stored["checksum"]) == _checksum(found)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if intact else None


def _write(path: Path, found: dict[str, Array]) -> None:
    import numpy as np

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, checksum=np.array(_checksum(found)), **{name: found[name] for name in ARRAYS})

    with suppress(OSError):  # a folder that cannot be written costs the next process the fitting, nothing else
        write_whole(path, write)


def _checksum(found: dict[str, Array]) -> str:
    total = hashlib.sha256()
    for name in ARRAYS:
        total.update(f"{name} {found[name].shape} {found[name].dtype}".encode() + found[name].tobytes())
    return total.hexdigest()
