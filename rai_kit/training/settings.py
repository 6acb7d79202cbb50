"""What a training may be told: adapters, SFT, DPO, seed and checkpoints, each with its range.

Left out on purpose: whatever follows from the machine (threads, number format), since no result of interest depends on it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rai_kit.schema import InputError


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters on every linear map of the decoder layers from `from_layer` on (Hu et al. 2021, arXiv 2106.09685, section 4).

    Attributes:
        rank: Of each adapter.
        alpha: An adapter counts `alpha / rank` times.
        from_layer: First layer that learns, from 0; those before it stay as they are.
    """

    rank: int = 16
    alpha: int = 32
    from_layer: int = 0

    def __post_init__(self) -> None:
        _whole("lora.rank", self.rank, 1)
        _whole("lora.alpha", self.alpha, 1)
        _whole("lora.from_layer", self.from_layer, 0)


@dataclass(frozen=True, kw_only=True)
class Sft:
    """Supervised fine-tuning: the answers are learnt by imitation.

    Attributes:
        learning_rate: The highest; it rises over the warm-up and falls along a cosine.
        epochs: How often each example is seen; fractions are allowed.
        batch: Examples a step, over all processes together.
        answer_tokens: Longest part of an answer that is taught, in tokens. An answer that was cut teaches no end; a whole one does.
        own_tokens: The same for answers that the target itself wrote (`chosen_by` other than `in-house`).
        warmup: Share of the steps over which the learning rate rises.
    """

    learning_rate: float = 5e-4
    epochs: float = 1
    batch: int = 8
    answer_tokens: int = 96
    own_tokens: int = 32
    warmup: float = 0.05

    def __post_init__(self) -> None:
        _positive("sft.learning_rate", self.learning_rate, 1)
        _positive("sft.epochs", self.epochs, 1000)
        _whole("sft.batch", self.batch, 1)
        _whole("sft.answer_tokens", self.answer_tokens, 1)
        _whole("sft.own_tokens", self.own_tokens, 1)
        _number("sft.warmup", self.warmup, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Dpo:
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7), the model before it as reference.

    Attributes:
        learning_rate: The highest; it rises over the first twentieth of the steps and falls along a cosine.
        epochs: How often each pair is seen; fractions are allowed.
        batch: Pairs a step, over all processes together.
        beta: How closely the model is held to the reference.
        answer_tokens: Longest part of either answer that is compared, in tokens.
        sft_weight: Weight of the negative log-likelihood (mean per token) of in-house chosen answers, beside the loss. Without it the
            probability of a refusal falls, only less than that of what was rejected; what the target itself said needs none.
    """

    learning_rate: float = 1e-4
    epochs: float = 1
    batch: int = 4
    beta: float = 0.1
    answer_tokens: int = 64
    sft_weight: float = 0.0

    def __post_init__(self) -> None:
        _positive("dpo.learning_rate", self.learning_rate, 1)
        _positive("dpo.epochs", self.epochs, 1000)
        _whole("dpo.batch", self.batch, 1)
        _positive("dpo.beta", self.beta, 100)
        _whole("dpo.answer_tokens", self.answer_tokens, 1)
        _number("dpo.sft_weight", self.sft_weight, 0, 100)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a training is told.

    Attributes:
        lora: Adapters of both stages.
        sft: First stage.
        dpo: Second stage.
        trained_share: The exported weights lie this far on the way from those of the untrained model (0: in a later round, too, those
            of the model that the cycle began with) to those that the training ended with (1): less is learnt, and much less
            forgotten (model averaging, Lin et al. 2024, arXiv 2309.06256).
        seed: Of everything random.
        save_every: Steps between two checkpoints.
    """

    lora: Lora = field(default_factory=Lora)
    sft: Sft = field(default_factory=Sft)
    dpo: Dpo = field(default_factory=Dpo)
    trained_share: float = 1.0
    seed: int = 0
    save_every: int = 20

    def __post_init__(self) -> None:
        _positive("trained_share", self.trained_share, 1)
        _whole("seed", self.seed, 0, 2**31 - 1)
        _whole("save_every", self.save_every, 1)


def load_recipe(path: str | Path, default: Recipe | None = None) -> Recipe:
    """The recipe of a YAML or JSON file with any of the keys `lora`, `sft`, `dpo`, `trained_share`, `seed`, `save_every`.

    Args:
        path: The file.
        default: What the file does not say is as here (`EMBEDDED`, say); by default as in `Recipe()`.

    Raises:
        InputError: The file cannot be read, or a key or value is not allowed; it is named, with what is.
    """
    import yaml

    path, default = Path(path), default or Recipe()
    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"recipe {path} cannot be read ({error.strerror}); give an existing YAML or JSON file.") from None
    except (UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"recipe {path} is neither YAML nor JSON ({' '.join(str(error).split())}); mend it there.") from None
    parts: dict[str, type[Any]] = {"lora": Lora, "sft": Sft, "dpo": Dpo}
    try:
        values = _known("the recipe", given, Recipe)
        for name, kind in parts.items():
            if name in values:
                values[name] = replace(getattr(default, name), **_known(name, values[name], kind))
        return replace(default, **values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _known(where: str, given: Any, kind: type[Any]) -> dict[str, Any]:
    allowed = [entry.name for entry in fields(kind)]
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InputError(f"{where} is {given!r}; it must be a table with any of {', '.join(allowed)}.")
    if unknown := [str(key) for key in given if key not in allowed]:
        raise InputError(f"{where} has no field {', '.join(unknown)}; allowed are {', '.join(allowed)}.")
    return dict(given)


def _whole(name: str, value: object, low: int, high: int = 10**6) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; allowed is a whole number from {low} to {high}.")


def _number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not low <= value <= high:
        # YAML reads 5e-4 as a text: it wants a point in it.
        hint = " (in YAML, write 5.0e-4)" if isinstance(value, str) else ""
        raise InputError(f"{name} is {value!r}; allowed is a number from {low} to {high}{hint}.")


def _positive(name: str, value: object, high: float) -> None:
    _number(name, value, 0, high)
    if value == 0:
        raise InputError(f"{name} is {value!r}; allowed is a number above 0, at most {high}.")


EMBEDDED = Recipe(
    lora=Lora(alpha=48, from_layer=10),
    sft=Sft(learning_rate=5e-4, answer_tokens=40, own_tokens=12),
    dpo=Dpo(learning_rate=1e-3, batch=2, beta=0.3, answer_tokens=8, sft_weight=0.8),
    trained_share=0.7,
)
"""For the embedded SmolLM2-135M, found by experiment on two cores (docs/log.md): a short imitation that puts refusals within reach, then
contrast pairs of which only the beginnings are compared, where it is decided what an answer will be. Many small steps: the same pairs
two at a time teach far more than six at a time. And seven tenths of it all: the rest costs more perplexity and more
declined twins than it prevents harm."""
