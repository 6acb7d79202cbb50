"""Safety post-training from examples to weights that serve: SFT, then DPO on pairs of a right and a wrong answer.

A folder `out` receives `sft/` and `dpo/` (adapters, curves, records), `model/` (merged, in Hugging Face's format, for vLLM), `model.gguf`
(for the embedded server, quantised as its base is), `pairs-....jsonl` (what DPO learnt from) and `training.json`. The same call again on
the same folder takes up where it stopped. Left out on purpose: choosing what to train on, which is `curating`'s.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import embedded
from rai_kit.cache import write_json
from rai_kit.measure.folder import locked, run_folder
from rai_kit.measure.own_answers import own_answers, own_mistakes
from rai_kit.schema import Example, InputError, digest

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.training import Recipe

GGUF, FOLDER = "model.gguf", "model"
MORE = 8
"""Tokens that are asked for beyond those that are taught: otherwise an answer that was cut would look whole."""
HERE = "@embedded"
"""What an address of a model ends with that is served on this machine."""


@dataclass(frozen=True)
class Trained:
    """A model that came of post-training.

    Attributes:
        out: Its folder.
        record: What `training.json` says: base, recipe, what each stage learnt from, how long it took.
    """

    out: Path
    record: dict[str, Any]

    @property
    def address(self) -> str:
        """The address under which it is measured."""
        return f"{self.out / GGUF}{HERE}"

    @property
    def folder(self) -> Path:
        """Its weights in Hugging Face's format."""
        return self.out / FOLDER

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Stage, run, step, metric, value: for `plots.training_curves`."""
        import pandas as pd

        return pd.concat([pd.read_csv(self.out / stage / "curve.csv") for stage in self.record["stages"]], ignore_index=True)

    def __repr__(self) -> str:
        learnt = ", ".join(f"{stage} on {one['examples']} examples" for stage, one in self.record["stages"].items())
        return f"Trained({learnt}, from {self.record['base']})"


def trainable(model: str) -> Path:
    """The Hugging Face folder that an address is trained from: of a built-in model, of a model that `post_train` made, or itself.

    Raises:
        InputError: The model cannot be trained here.
    """
    from rai_kit import training

    own = Path(model.removesuffix(HERE))
    if model.endswith(f"/{GGUF}{HERE}") and (own.parent / FOLDER).is_dir():
        return own.parent / FOLDER
    return training.base_folder(model)


def served_like(model: str) -> Path:
    """The GGUF file whose metadata and quantisation the trained weights take over.

    Raises:
        InputError: The model is not one that the embedded server serves.
    """
    return embedded.weights(model.removesuffix(HERE))


def post_train(
    examples: Sequence[Example],
    *,
    base: str,
    out: str | Path,
    recipe: Recipe | None = None,
    fresh: Sequence[Example] = (),
    earlier: Sequence[str] = (),
    judge: str = "offline",
    journal: str | Path | None = None,
    concurrency: int = 32,
) -> Trained:
    """Trains a model on examples and exports it.

    Args:
        examples: What SFT imitates; pairs among them (chosen and rejected) go to DPO where there are no `fresh` ones.
        base: Address of an embedded model, or a Hugging Face folder (which is then exported as a folder alone).
        out: Folder of the trained model.
        recipe: Settings of both stages; by default `training.EMBEDDED` for an embedded model, and `Recipe()` for a folder.
        fresh: Prompts with right answers that SFT does not see. Where a wrong answer is known, too, the two are a pair of DPO. The
            others the model answers after SFT, and what it gets wrong becomes the rejected side; to harmful ones that it gets right,
            what it said before SFT does, or what one of the `earlier` said.
        earlier: Addresses of the models that the base came of, the newest first. With the last of them the exported weights are
            averaged (`Recipe.trained_share`); without any, with the base.
        judge: Finds what is wrong.
        journal: Journal to share; by default `out/journal.sqlite`.
        concurrency: Most calls in flight.

    Raises:
        InputError: The model cannot be trained, or the examples or the recipe cannot be used.
        RunStopped: The loss became infinite or not a number; what was finished is kept.
    """
    from rai_kit import training

    folder = run_folder(out)
    source = trainable(base)
    began = trainable(earlier[-1]) if earlier else source
    like = served_like(base) if base.endswith(HERE) else None
    recipe = recipe or (training.Recipe() if like is None else training.EMBEDDED)
    if fresh and like is None:
        raise InputError(f"base is {base!r}, which nothing serves here, so it cannot answer fresh prompts; leave `fresh` out.")
    if fresh and training.processes() > 1:
        raise InputError("fresh prompts are answered by one process; train with one, or leave `fresh` out.")
    about = {
        "base": base,
        "recipe": asdict(recipe),
        "examples": digest(list(examples)),
        "fresh": digest(list(fresh)),
        "earlier": list(earlier),
        "judge": judge,
    }
    key = digest(about)
    main = training.main_process()
    with locked(folder) if main else nullcontext():
        if (known := _finished(folder)) is not None and known.record["digest"] == key:
            return known
        if like is not None:
            embedded.stop(like)  # beside a server with its memory and threads a training was seen to take twice as long
        learnt = training.sft(examples, source, folder / "sft", recipe)
        stages = {"sft": _told(learnt)}
        merged = folder / "sft" / FOLDER
        if main:
            training.merge(source, learnt.adapter, merged)
        training.wait_for_all()
        pairs, tally = list(examples), dict[str, dict[str, int]]()
        if fresh and like is not None:
            half = training.to_gguf(merged, like, folder / "sft" / GGUF)
            asking: dict[str, Any] = {
                "journal": journal if journal is not None else folder / "journal.sqlite",
                "judge": judge,
                "seed": recipe.seed,
                "concurrency": concurrency,
                "max_tokens": recipe.dpo.answer_tokens + MORE,
                "beginnings": True,
            }
            pairs, tally = _contrasts(fresh, half, [base, *earlier], asking)
        pairs = [one for one in pairs if one.chosen is not None and one.rejected is not None]
        last = merged
        if len(pairs) >= recipe.dpo.batch:  # otherwise next to nothing is left to correct
            stage = training.dpo(pairs, merged, folder / "dpo", recipe)
            stages["dpo"] = _told(stage) | {"pairs": dict(Counter(one.kind for one in pairs))}
            last = folder / "dpo" / FOLDER
            if main:
                _keep(pairs, folder, base)
                training.merge(merged, stage.adapter, last)
        if main:
            (folder / "training.json").unlink(missing_ok=True)  # an older record tells of other weights
            if recipe.trained_share < 1:
                training.average(began, last, recipe.trained_share, folder / FOLDER)
                shutil.rmtree(last)
            else:
                _put(last, folder / FOLDER)
            shutil.rmtree(merged, ignore_errors=True)
            if like is not None:
                training.to_gguf(folder / FOLDER, like, folder / GGUF)
            write_json(
                folder / "training.json", {"what": "post_training", "digest": key, **about, "asked": tally, "stages": stages}
            )
        training.wait_for_all()
    return open_trained(folder)


def _contrasts(
    fresh: Sequence[Example], half: Path, before: Sequence[str], asking: dict[str, Any]
) -> tuple[list[Example], dict[str, dict[str, int]]]:
    """What is contrasted with the right answers: what the model still gets wrong after SFT, and what it got wrong before.

    Harmful requests that it has come to decline stay, with what the last of the models `before` that went along said: the harmless pairs
    do not become fewer, either, and alone they would teach it to go along again.

    Returns:
        Examples, and what became of the harmful requests, by the model that was asked.
    """
    known = [one for one in fresh if one.rejected is not None]
    after = own_mistakes([one for one in fresh if one.rejected is None], f"{half}{HERE}", **asking)
    embedded.stop(half)
    pairs = [one for one in after.examples if one.rejected is not None]
    declined = [one for one in after.examples if one.kind == "harmful" and one.rejected is None]
    tally = {"after SFT": after.tally.get("harmful", {})}
    for address in before:
        said = own_answers(declined, address, **asking)
        embedded.stop(served_like(address))
        tally[address] = said.tally.get("harmful", {})
        pairs += [one for one in said.examples if one.rejected is not None]
        declined = [one for one in said.examples if one.rejected is None]
    return [*known, *pairs], tally


def _put(folder: Path, place: Path) -> None:
    """Moves a folder to where an older one may be."""
    if place.exists():
        shutil.rmtree(place)
    folder.replace(place)


def open_trained(folder: str | Path) -> Trained:
    """A model that `post_train` made.

    Raises:
        InputError: The folder holds none.
    """
    found = _finished(run_folder(folder))
    if found is None:
        raise InputError(f"{folder} holds no trained model (training.json); give the out of `train`, or train once more.")
    return found


def _finished(folder: Path) -> Trained | None:
    try:
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Trained(folder, record) if (folder / FOLDER).is_dir() else None


def _told(stage: Any) -> dict[str, Any]:
    told = asdict(stage)
    return {
        name: told[name] for name in ("examples", "left_out", "tokens", "computed_tokens", "taught_tokens", "steps", "seconds")
    }


def _keep(pairs: Sequence[Example], folder: Path, base: str) -> None:
    from rai_kit.corpus import write_set

    for old in folder.glob("pairs-*"):
        old.unlink()
    about = {"base": base, "pairs": "a right answer, and a wrong one that was known, or that the model gave after SFT or before"}
    write_set(folder, "pairs", pairs, title="Pairs of right and wrong answers", about=about, form="preference")
