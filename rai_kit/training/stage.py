"""One stage of post-training, SFT or DPO: examples in, an adapter, its curve and a record out; cut off, it goes on where it was.

Everything random is drawn from the recipe's seed before the first step, and a resumed training uses as many threads as it began with: it
ends with the same bits. Left out on purpose: evaluation while training; what came of it is measured afterwards, on the served weights.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rai_kit.cache import write_json, write_whole
from rai_kit.cores import free_cores
from rai_kit.embedded import fingerprint
from rai_kit.progress import steps
from rai_kit.schema import Example, InputError, digest, encode
from rai_kit.training import rows as token_rows
from rai_kit.training import together
from rai_kit.training.folders import write_folder
from rai_kit.training.settings import Recipe

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
CURVES = {"loss": "loss", "rewards/margins": "margin", "rewards/accuracies": "accuracy"}
"""What trl logs -> what the curve calls it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A finished stage, as `stage.json` in its folder has it.

    Attributes:
        stage: `sft` or `dpo`.
        folder: Where `adapter/`, `curve.csv` and `stage.json` are.
        base: Folder of the model that was trained.
        digest: Of examples, settings and base; the same call with the same digest finds this result.
        examples: Learnt from.
        left_out: Not learnt from, by cause.
        tokens: Of all sequences, prompt and answer, as often as they were seen.
        computed_tokens: That went through the model: beginnings that are shared within a step did so once, and nothing is padded.
        taught_tokens: Tokens that carried loss.
        steps: Updates of the weights.
        seconds: Of training, over all runs that it took.
        processes: That trained together.
        threads: Of each process.
        settings: The recipe.
        versions: Of the packages that shape the result.
    """

    stage: Literal["sft", "dpo"]
    folder: Path
    base: Path
    digest: str
    examples: int
    left_out: dict[str, int]
    tokens: int
    computed_tokens: int
    taught_tokens: int
    steps: int
    seconds: float
    processes: int
    threads: int
    settings: dict[str, Any]
    versions: dict[str, str]

    @property
    def adapter(self) -> Path:
        """The LoRA adapter in peft's format."""
        return self.folder / "adapter"

    @property
    def curve(self) -> Path:
        """CSV with the columns stage, run, step, metric (loss; for DPO also margin and accuracy) and value."""
        return self.folder / "curve.csv"


def sft(examples: Sequence[Example], base: Path, out: Path, recipe: Recipe) -> Stage:
    """Supervised fine-tuning on the chosen answers that may be imitated.

    Args:
        examples: Those without a chosen answer, or not to be imitated, are counted and left out.
        base: Hugging Face folder, such as `base_folder` gives.
        out: Folder of this stage; finished with the same digest it is returned at once, cut off it is resumed.
        recipe: Settings.

    Raises:
        InputError: Fewer usable examples than one batch, no chat template, or a setting that the model or the processes do not allow.
        RunStopped: The loss became infinite or not a number; the checkpoints are kept.
    """
    return _run("sft", examples, base, out, recipe)


def dpo(examples: Sequence[Example], base: Path, out: Path, recipe: Recipe) -> Stage:
    """Direct preference optimisation on pairs of a chosen and a rejected answer; arguments and errors as for `sft`.

    The reference is the model in `base`; its log-probabilities are computed once, before the first step.
    """
    return _run("dpo", examples, base, out, recipe)


def _run(stage: Literal["sft", "dpo"], examples: Sequence[Example], base: Path, out: Path, recipe: Recipe) -> Stage:
    settings = recipe.sft if stage == "sft" else recipe.dpo
    usable, left_out = token_rows.usable(stage, examples)
    need = "a chosen answer that may be imitated" if stage == "sft" else "a chosen and a rejected answer"
    if len(usable) < settings.batch:
        raise InputError(
            f"{stage}: {len(usable)} of {len(examples)} examples have {need}, and one step takes {settings.batch}; "
            f"give more, or lower {stage}.batch."
        )
    processes = together.processes()
    if settings.batch % processes:
        raise InputError(f"{stage}.batch is {settings.batch}; over {processes} processes it must be a multiple of {processes}.")
    key = digest(stage, [json.loads(encode(example)) for example in usable], _settings(stage, recipe), _weights_digest(base))
    found = _finished(out, key)
    return found or _train(stage, usable, left_out, base, out, recipe, key, processes)


def _settings(stage: str, recipe: Recipe) -> dict[str, Any]:
    """What of a recipe shapes the weights of a stage."""
    return {"lora": asdict(recipe.lora), stage: asdict(getattr(recipe, stage)), "seed": recipe.seed}


def _weights_digest(base: Path) -> str:
    files = sorted(path for path in base.iterdir() if path.suffix in (".safetensors", ".json", ".jinja", ".model"))
    return digest([[path.name, fingerprint(path)] for path in files])


def _finished(out: Path, key: str) -> Stage | None:
    """The stage that a folder holds, if it is finished and is this one."""
    try:
        record = json.loads((out / "stage.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Stage(**{**record, "folder": out, "base": Path(record["base"])}) if record["digest"] == key else None


def _train(stage: Literal["sft", "dpo"], usable: list[Example], left_out: dict[str, int], base: Path, out: Path,
           recipe: Recipe, key: str, processes: int) -> Stage:  # fmt: skip
    import torch
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rai_kit.training import trainers
    from rai_kit.training.quiet import quiet

    state = PartialState(cpu=not torch.cuda.is_available())
    work = out / "checkpoints"
    settings = recipe.sft if stage == "sft" else recipe.dpo
    if state.is_main_process:
        _begin(out, work, key, processes)
    state.wait_for_everyone()
    plan = json.loads((work / "plan.json").read_text(encoding="utf-8"))
    threads_before = torch.get_num_threads()
    torch.set_num_threads(plan["threads"])
    try:
        with quiet(), _disk_errors():
            tokenizer = AutoTokenizer.from_pretrained(base)
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            context = int(model.config.get_text_config().max_position_embeddings)
            rows = token_rows.tokenise(stage, usable, tokenizer, settings.answer_tokens, recipe.sft.own_tokens, context)
            if len(rows) < settings.batch:
                raise InputError(f"{stage}: only {len(rows)} examples fit into the model's {context} tokens; give shorter ones.")
            order = token_rows.batches(len(rows), settings.batch, settings.epochs, recipe.seed)
            known: list[list[float]] = []
            if stage == "dpo":
                model.to(state.device)
                known = _references(
                    work / "reference.json", state, lambda: trainers.reference(model, rows, tokenizer.pad_token_id or 0)
                )
            made = trainers.trainer(stage, model, tokenizer, rows, order, recipe, work, known, processes)
            resumed, before = _last_checkpoint(work, trainers.MARK, state)
            done = int(resumed.name.rpartition("-")[2]) if resumed else 0
            with steps(len(order) - done, f"{stage} steps") if state.is_main_process else nullcontext(_unsaid) as count:
                watch = trainers.Watch(stage, len(order), count, before)
                made.add_callback(watch)
                made.train(resume_from_checkpoint=str(resumed) if resumed else None)
            if state.is_main_process:
                flat = [rows[row] for step in order for row in step]
                write_folder(out / "adapter", lambda partial: made.model.save_pretrained(partial))
                _write_curve(out, stage, made.state.log_history)
                record = Stage(
                    stage=stage,
                    folder=out,
                    base=base,
                    digest=key,
                    examples=len(rows),
                    left_out=left_out | ({"too long": len(usable) - len(rows)} if len(rows) < len(usable) else {}),
                    tokens=sum(sum(row.lengths) for row in flat),
                    computed_tokens=token_rows.computed(rows, order, trainers.tree_size(made.model), processes),
                    taught_tokens=sum(len(answer) for row in flat for answer in row.answers),
                    steps=len(order),
                    seconds=watch.seconds,
                    processes=processes,
                    threads=plan["threads"],
                    settings=_settings(stage, recipe),
                    versions={name: version(name) for name in PACKAGES},
                )
                stored = {name: value for name, value in asdict(record).items() if name != "folder"}
                write_json(out / "stage.json", stored | {"base": str(base)})
                shutil.rmtree(work)
            state.wait_for_everyone()
    finally:
        torch.set_num_threads(threads_before)
    finished = _finished(out, key)
    assert finished is not None
    return finished


def _unsaid(note: str) -> None:
    """Progress of a process that is not the main one."""


def _begin(out: Path, work: Path, key: str, processes: int) -> None:
    """Makes ready to go on with what the folder holds of this very training, or to train anew."""
    try:
        same = json.loads((work / "plan.json").read_text(encoding="utf-8"))["digest"] == key
    except (OSError, ValueError):
        same = False
    if not same:
        for name in ("stage.json", "curve.csv"):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "adapter", ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
        # Sums over more or fewer threads round otherwise: a resumed training keeps their number.
        write_json(work / "plan.json", {"digest": key, "threads": max(1, free_cores() // processes)})


def _last_checkpoint(work: Path, mark: str, state: Any) -> tuple[Path | None, float]:
    """The last whole checkpoint, and the seconds that it took to get there; those that were cut off are removed."""
    if state.is_main_process:
        for path in work.glob("checkpoint-*"):
            if not (path / mark).exists():
                shutil.rmtree(path)
    state.wait_for_everyone()
    whole = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    if not whole:
        return None, 0.0
    return whole[-1], float(json.loads((whole[-1] / mark).read_text(encoding="utf-8"))["seconds"])


def _references(path: Path, state: Any, compute: Callable[[], list[list[float]]]) -> list[list[float]]:
    """The reference's log-probabilities, computed by the main process alone and kept for a resumed training."""
    with state.main_process_first():
        if not path.exists():
            write_json(path, compute())
    known: list[list[float]] = json.loads(path.read_text(encoding="utf-8"))
    return known


@contextmanager
def _disk_errors() -> Iterator[None]:
    """torch and safetensors report a full disk as errors of their own kind: here it is an `OSError`, as everywhere."""
    from safetensors import SafetensorError

    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        if "No space left" in str(error) or "PytorchStreamWriter failed writing" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def _write_curve(out: Path, stage: str, history: Sequence[dict[str, float]]) -> None:
    lines = [
        [stage, out.name, int(entry["step"]), name, entry[logged]]
        for entry in history
        for logged, name in CURVES.items()
        if logged in entry
    ]

    def write(partial: Path) -> None:
        with partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([["stage", "run", "step", "metric", "value"], *lines])

    write_whole(out / "curve.csv", write)
