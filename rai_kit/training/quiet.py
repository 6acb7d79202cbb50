"""Keeps the training libraries from printing: what matters is said by the kit, once."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOUD = ("trl", "peft", "accelerate", "torch")


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back warnings, log lines and progress bars of transformers, trl, peft, datasets and torch; errors still pass."""
    import datasets
    from transformers.utils import logging as transformers_logging

    levels = {name: logging.getLogger(name).level for name in LOUD}
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if not bars[1]:
            datasets.enable_progress_bars()
