"""Folders that appear whole or not at all, as files do by `rai_kit.cache.write_whole`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a folder beside the target and moves it there, in place of what was there."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        write(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
