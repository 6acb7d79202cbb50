"""trl's trainers as the kit uses them: ready token ids, steps in a fixed order, logits only where there is loss.

Imports torch and trl at its top; only what trains imports it. Left out on purpose: any loss of its own. trl scores every position of
the batch on a CPU; with a vocabulary of 49,152 that costs more than some layers, so the model's forward is given another last part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn import functional
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer
from trl.trainer.utils import FusedCausalLMOutput

from rai_kit.cache import write_json
from rai_kit.progress import headless
from rai_kit.schema import InputError, RunStopped
from rai_kit.training.rows import Row
from rai_kit.training.settings import Lora, Recipe
from rai_kit.training.trees import Tree, grow

IGNORED = -100
REFERRED = 16
"""Pairs whose reference is computed at once, those with like beginnings together."""
TREE = {"cpu": 256, "gpu": 2048}
"""Most tokens that are computed together: on a CPU more make attention dear, on a GPU fewer leave it idle."""
SAYING = 60.0
"""Seconds between two lines about a training that nobody watches."""
MARK = "complete.json"
"""Written last into a checkpoint: one without it was cut off."""


def answer_scores(model: Any, input_ids: Any, labels: Any, lengths: Any) -> Any:
    """Log-probability of each next token that has a label, (sequences, positions - 1), zero elsewhere.

    Args:
        model: Causal model of transformers.
        input_ids: (sequences, positions); what is beyond a sequence's length is not looked at.
        labels: The same shape; `IGNORED` where there is no loss.
        lengths: Tokens of each sequence.
    """
    device = input_ids.device
    labels = labels[:, 1:]
    scores = torch.zeros(labels.shape, dtype=torch.float32, device=device)
    sequences = [row[:length] for row, length in zip(input_ids.tolist(), lengths.tolist(), strict=True)]
    taught = [(row != IGNORED).nonzero().flatten().tolist() for row in labels]
    for tree in grow(sequences, tree_size(model)):
        ids, places = (torch.tensor([values], device=device) for values in (tree.ids, tree.places))
        states = model.base_model(
            input_ids=ids, position_ids=places, attention_mask=_seen(tree, device), use_cache=False
        ).last_hidden_state[0]
        wanted = [(path[at], number, at) for number, path in tree.paths.items() for at in taught[number]]
        node, row, column = torch.tensor(wanted, device=device).reshape(-1, 3).T
        scores = scores.index_put((row, column), _log_probs(model, states[node], labels[row, column]))
    return scores


def tree_size(model: Any) -> int:
    """Most tokens of a tree; 0, which makes a tree of each sequence, where the model's attention takes no mask of one's own."""
    if model.config._attn_implementation != "sdpa":
        return 0
    return TREE["cpu" if model.device.type == "cpu" else "gpu"]


def _seen(tree: Tree, device: Any) -> Any:
    """Which tokens each token of a tree looks at, (1, 1, tokens, tokens); None where that is all before it."""
    if len(tree.paths) == 1:
        return None
    seen = torch.zeros((len(tree.ids), len(tree.ids)), dtype=torch.bool)
    for path in tree.paths.values():
        at = torch.tensor(path)
        seen[at[:, None], at] |= torch.ones((len(path), len(path)), dtype=torch.bool).tril()
    return seen[None, None].to(device)


def _log_probs(model: Any, states: Any, wanted: Any) -> Any:
    logits = model.get_output_embeddings()(states).float()
    return -functional.cross_entropy(logits, wanted, reduction="none")


def score_answers_only(model: Any) -> None:
    """Gives the model the forward that trl's trainers call, computed by `answer_scores`.

    Of what trl would also report, entropy, mean logits and hits are left out: they are NaN, or none.
    """
    plain = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **inputs: Any) -> Any:
        if not fused_lm_head:
            return plain(*args, **inputs)
        labels = inputs["labels"]
        scores = answer_scores(self, inputs["input_ids"], labels, inputs["attention_mask"].sum(1))
        unknown = torch.full_like(scores, math.nan, requires_grad=False)
        return FusedCausalLMOutput(
            log_probs=scores,
            entropy=unknown,
            mean_logits=unknown,
            is_top1=torch.zeros_like(scores, dtype=torch.bool),
            label_mask=labels[:, 1:] != IGNORED,
        )

    model.forward = MethodType(forward, model)


def adapters(model: Any, lora: Lora) -> LoraConfig:
    """LoRA on every linear map of the decoder layers from `from_layer` on.

    Raises:
        InputError: The model has no such layer.
    """
    count = int(model.config.get_text_config().num_hidden_layers)
    if lora.from_layer >= count:
        raise InputError(f"lora.from_layer is {lora.from_layer}; the model has layers 0 to {count - 1}, give one of these.")
    head = model.get_output_embeddings()
    linear = {
        name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head
    }
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=sorted(linear),
        layers_to_transform=list(range(lora.from_layer, count)),
        task_type="CAUSAL_LM",
    )


def reference(model: Any, rows: Sequence[Row], pad: int) -> list[list[float]]:
    """Log-probability of each answer of each row under the model as it is (nats)."""
    found: dict[int, list[float]] = {}
    order = sorted(range(len(rows)), key=lambda row: rows[row].prompt)
    model.eval()
    with torch.no_grad():
        for first in range(0, len(order), REFERRED):
            chosen = order[first : first + REFERRED]
            # First all chosen answers, then all rejected ones.
            sequences = [(rows[row].prompt, answer) for answers in zip(*(rows[row].answers for row in chosen), strict=True)
                         for row, answer in zip(chosen, answers, strict=True)]  # fmt: skip
            lengths = torch.tensor([len(prompt) + len(answer) for prompt, answer in sequences])
            ids = torch.full((len(sequences), int(lengths.max())), pad)
            labels = torch.full_like(ids, IGNORED)
            for number, (prompt, answer) in enumerate(sequences):
                ids[number, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
                labels[number, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
            device = model.device
            sums = answer_scores(model, ids.to(device), labels.to(device), lengths.to(device)).sum(1).tolist()
            for number, row in enumerate(chosen):
                found[row] = sums[number :: len(chosen)]
    return [found[row] for row in range(len(rows))]


class Watch(TrainerCallback):  # type: ignore[misc]
    """Says how far the training is, ends it on a loss that is no number, and marks checkpoints that are whole."""

    def __init__(self, stage: str, total: int, count: Callable[[str], None], before: float) -> None:
        self.stage, self.total, self.count = stage, total, count
        self.began, self.before, self.said = time.monotonic(), before, time.monotonic()
        self.first: int | None = None

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            finite = [entry["loss"] for entry in state.log_history if "loss" in entry and math.isfinite(entry["loss"])]
            last = f"the last finite one was {finite[-1]:.4g}" if finite else "there was no finite one before"
            raise RunStopped(
                f"{self.stage}: the loss is not a number at step {state.global_step} of {self.total} ({last}); "
                f"lower {self.stage}.learning_rate (it is {args.learning_rate:g}). Checkpoints before it are kept."
            )
        if state.is_world_process_zero:
            self._say(state.global_step, logs["loss"])

    def _say(self, step: int, loss: float) -> None:
        if self.first is None:
            self.first, self.began_steps = step, time.monotonic()
        self.count(f"loss {loss:.3f}")
        now = time.monotonic()
        if headless() and now - self.said >= SAYING and step > self.first:
            self.said = now
            left = (now - self.began_steps) / (step - self.first) * (self.total - step)
            print(f"{self.stage}: step {step} of {self.total}, loss {loss:.3f}, about {left / 60:.0f} min left", flush=True)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            write_json(Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARK, {"seconds": self.seconds})


class _Pairs(DPOTrainer):  # type: ignore[misc]
    """trl's, with token ids that are ready (its own tokenising would give every cut answer an end), and with `sft_weight` on those chosen
    answers alone that are to be imitated (its own "sft" loss takes all)."""

    sft_weight = 0.0

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        given = dict(inputs)
        imitated = given.pop("imitated")
        seen: list[Any] = []

        def model_seen(**known: Any) -> Any:
            seen.append(model(**known))
            return seen[-1]

        loss = super()._compute_loss(model_seen, given, return_outputs)
        if not self.sft_weight:
            return loss
        taught = given["completion_mask"][: len(imitated), 1:] * imitated[:, None]
        scores = seen[0].log_probs[: len(imitated)] * taught
        # The mean over all pairs of the step: how much one refusal counts does not depend on what is beside it.
        return loss - self.sft_weight * (scores.sum(1) / taught.sum(1).clamp(min=1)).mean()


def trainer(stage: str, model: Any, tokenizer: Any, rows: Sequence[Row], order: Sequence[Sequence[int]], recipe: Recipe,
            folder: Path, references: Sequence[Sequence[float]] = (), processes: int = 1) -> Any:  # fmt: skip
    """A trainer of trl for `sft` or `dpo` that goes once through `order`, in that order; nothing is drawn at random any more."""
    settings = recipe.sft if stage == "sft" else recipe.dpo
    cuda = torch.cuda.is_available()
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch // processes,
        "num_train_epochs": 1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(len(order) * (recipe.sft.warmup if stage == "sft" else 0.05)),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch",
        "train_sampling_strategy": "sequential",
        "save_strategy": "steps",
        "save_steps": recipe.save_every,
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "bf16": cuda and torch.cuda.is_bf16_supported(),
        "use_cpu": not cuda,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
        "seed": recipe.seed,
        "max_length": None,
    }
    flat = [row for step in order for row in step]
    set_seed(recipe.seed)
    made: Any
    if stage == "sft":
        data = [
            {"input_ids": row.prompt + row.answers[0], "labels": [IGNORED] * len(row.prompt) + row.answers[0]} for row in rows
        ]
        made = SFTTrainer(
            model=model,
            args=SFTConfig(**common, dataset_kwargs={"skip_prepare_dataset": True}),
            train_dataset=Dataset.from_list(data).select(flat),
            processing_class=tokenizer,
            peft_config=adapters(model, recipe.lora),
        )
    else:
        pairs = [
            {
                **{"prompt_ids": row.prompt, "chosen_ids": row.answers[0], "rejected_ids": row.answers[1]},
                **{"ref_chosen_logps": known[0], "ref_rejected_logps": known[1], "imitated": row.imitated},
            }
            for row, known in zip(rows, references, strict=True)
        ]
        made = _Pairs(
            model=model,
            args=DPOConfig(**common, beta=recipe.dpo.beta, loss_type=["sigmoid"]),
            train_dataset=Dataset.from_list(pairs).select(flat),
            processing_class=tokenizer,
            peft_config=adapters(model, recipe.lora),
        )
        made.precompute_ref_logps = True
        made.sft_weight = recipe.dpo.sft_weight
        collate = made.data_collator
        made.data_collator = lambda step: collate(step) | {"imitated": torch.tensor([int(pair["imitated"]) for pair in step])}
    made.remove_callback(PrinterCallback)
    made.create_model_card = made.model.create_or_update_model_card = lambda *_, **__: None
    score_answers_only(made.model.get_base_model())
    return made
