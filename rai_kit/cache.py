"""Where derived things are kept between runs (weights, the fitted offline judge), and how files are written: whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole, in UTF-8, with NaN as null."""

    def clean(item: Any) -> Any:
        if isinstance(item, float) and not math.isfinite(item):
            return None
        if isinstance(item, dict):
            return {key: clean(inner) for key, inner in item.items()}
        return [clean(inner) for inner in item] if isinstance(item, list | tuple) else item

    text = json.dumps(clean(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
