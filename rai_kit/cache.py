"""Where derived things are kept between runs (re-quantised weights, the fitted offline judge), and how files are written whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache folder of the kit; `RAI_KIT_CACHE` in the environment names another."""
    import platformdirs

    return Path(os.environ.get("RAI_KIT_CACHE") or platformdirs.user_cache_dir("rai_kit"))


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a file beside the target and moves it there, so that nobody ever sees a half-written one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
