"""What `run.json` and `summary.json` say of every run: who took part, what it took, what came of it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rai_kit import __version__
from rai_kit.cache import write_json
from rai_kit.measure.parties import Parties, judge_names
from rai_kit.schema import Estimate


def how_made(parties: Parties, started: datetime) -> dict[str, Any]:
    """What `run.json` says of every run: who took part, what it took, when, and with which versions."""
    setup, ledger = parties.setup, parties.ledger
    return {
        "models": {model.address: model.identity for model in parties.targets},
        "left_out": {model.address: model.left_out for model in parties.models() if model.left_out},
        "judge": {"id": parties.judge.id, "self_judging": not set(setup.targets).isdisjoint(judge_names(setup.judge))},
        "calls": parties.calls(),
        "cost": {"summary": ledger.summary(), **ledger.totals(), "rows": ledger.rows()},
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the kit, of Python and of what shapes results."""
    packages = ("numpy", "scipy", "pandas", "scikit-learn", "openai", "xllamacpp")
    return {"rai_kit": __version__, "python": platform.python_version(), "platform": sys.platform} | {
        name: version(name) for name in packages
    }


def write_summary(path: Path, found: Sequence[Estimate]) -> None:
    """Writes estimates as a JSON list; values are never rounded."""
    write_json(path, [asdict(one) for one in found])
