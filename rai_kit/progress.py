"""Progress for people: a live bar on a terminal and in JupyterLab, one line a step where nobody watches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def headless() -> bool:
    """Whether output goes to a file, a pipe or a notebook that is run by a program."""
    if os.environ.get("RAI_KIT_HEADLESS"):
        return True
    in_notebook = "ipykernel" in sys.modules
    return not (in_notebook or sys.stderr.isatty())


@contextmanager
def steps(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Counts `total` steps of work; the function that it gives is to be called after each, from any thread, with a short note.

    Args:
        total: Number of steps.
        what: What one step is, in the plural, such as `conversations`.
    """
    if headless():
        start, done = time.monotonic(), 0

        def count(note: str) -> None:
            nonlocal done
            done += 1

        yield count
        seconds = max(time.monotonic() - start, 1e-9)
        print(f"{done} of {total} {what} in {seconds:.1f} s ({done / seconds:.1f}/s)", flush=True)
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=f" {what}", smoothing=0.1, dynamic_ncols=True) as bar:

        def advance(note: str) -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update()

        yield advance
