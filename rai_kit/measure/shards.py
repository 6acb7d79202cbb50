"""A run in parts, on any `concurrent.futures.Executor`: a process pool, Dask's `Client.get_executor()`, MPI, Slurm.

A part (shard) makes the calls of its scenarios into a journal of its own; finished journals are merged into the run's, which is
idempotent, and the run then replays itself from there: nothing is counted here, so nothing can be counted twice. A killed worker's
shard goes on from its journal when the executor, or the same command again, gives it to another. The workers see the run folder under
the same path (a shared file system), and keys in their own environment: none is sent.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any

from rai_kit import engine
from rai_kit.cost import Budget, Prices
from rai_kit.journal import Journal
from rai_kit.measure.folder import locked
from rai_kit.measure.parties import Parties, Setup
from rai_kit.progress import steps
from rai_kit.schema import InputError, RunStopped, Scenario, read_jsonl, write_jsonl

PATIENCE = 3600.0
"""How long (s) a worker waits for another one that still works on its shard: a scheduler may take a slow worker for a dead one."""


def fill(
    journal: Journal,
    folder: Path,
    setup: Setup,
    scenarios: Sequence[Scenario],
    executor: Executor,
    *,
    shards: int | None = None,
    error_budget: float = engine.ERROR_BUDGET,
) -> None:
    """Has the calls of a run made by an executor's workers, and merges them into the run's journal.

    Args:
        journal: The run's journal.
        folder: Where the shards' folders lie, visible to all workers.
        setup: Who takes part; a budget is divided evenly.
        scenarios: What is to be held with every target.
        executor: Where the shards are worked on.
        shards: Their number; by default one for every `4 * concurrency` conversations.
        error_budget: As for `engine.stream`, in each shard.

    Raises:
        InputError: A shard met an error that no repetition would mend.
        RunStopped: A shard went over its error budget, or the executor lost it.
    """
    count = ceil(len(scenarios) * len(setup.targets) / (4 * setup.concurrency)) if shards is None else shards
    if count < 1:
        raise InputError(f"shards is {count}; it must be at least 1.")
    parts = {folder / f"{index:04d}": scenarios[index::count] for index in range(min(count, len(scenarios)))}
    if setup.budget is not None:
        budget = Budget.parse(setup.budget, Prices.load().currency)
        setup = replace(setup, budget=f"{budget.amount / len(parts):.6f} {budget.unit}")
    known = folder / "known.sqlite"
    folder.mkdir(parents=True, exist_ok=True)
    if len(journal):
        journal.snapshot(known)
    futures: dict[Future[int], Path] = {}
    with steps(len(parts), "shards") as step:
        try:
            for part, drawn in parts.items():
                write_jsonl(part / "scenarios.jsonl", drawn)
                futures[executor.submit(work, asdict(setup), str(part), str(known), error_budget)] = part
            for future in as_completed(futures):
                future.result()
                step(futures[future].name)
        except (InputError, RunStopped):
            raise
        except Exception as error:  # the executor's own: a lost worker, a broken pool, a closed client
            raise RunStopped(
                f"a shard was lost ({type(error).__name__}: {' '.join(str(error).split())[:300]}); "
                "what is finished is kept: run the same command again."
            ) from error
        finally:
            for future in futures:
                future.cancel()
    take_in(journal, folder)


def work(setup: Mapping[str, Any], folder: str, known: str, error_budget: float) -> int:
    """Makes one shard's calls, in a worker. Only calls that neither its journal nor the run's holds are made.

    Args:
        setup: The fields of a `Setup`.
        folder: The shard's folder, with its `scenarios.jsonl`.
        known: A snapshot of the run's journal, to look calls up in; it need not exist.
        error_budget: As for `engine.stream`.

    Returns:
        The number of conversations held.
    """
    place = Path(folder)
    with locked(place, patience=PATIENCE):
        journal = Journal(place / "journal.sqlite", also=known)
        try:
            parties = Parties(Setup(**{**setup, "targets": tuple(setup["targets"])}), journal)
            plans = parties.plans(list(read_jsonl(place / "scenarios.jsonl", Scenario)))
            engine.stream(
                plans,
                parties.user,
                parties.during,
                done=lambda index, conversation, verdict: None,
                concurrency=setup["concurrency"],
                ledger=parties.ledger,
                error_budget=error_budget,
            )
        finally:
            journal.close()
    return len(plans)


def take_in(journal: Journal, folder: Path) -> None:
    """Merges the journals of all shards in a folder, of this run or of one that was stopped, and removes them.

    Raises:
        InputError: A worker still holds one of them.
    """
    if not folder.exists():
        return
    for shard in sorted(folder.glob("*/")):
        with locked(shard):
            if (shard / "journal.sqlite").exists():
                journal.merge(shard / "journal.sqlite")
        shutil.rmtree(shard)
    shutil.rmtree(folder, ignore_errors=True)
