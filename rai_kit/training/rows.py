"""Examples as token ids: the prompt in the chat template, the part of the answer that is taught, and which are seen in which step.

Left out on purpose: batches of like length, since nothing is padded (`trees`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rai_kit.schema import Example, InputError
from rai_kit.training.trees import grow


@dataclass(frozen=True, slots=True)
class Row:
    """One example as token ids: the prompt, and the answer or answers that carry the loss (chosen, then rejected).

    `imitated`: whether DPO imitates the chosen answer beside comparing it (`Dpo.sft_weight`).
    """

    prompt: list[int]
    answers: tuple[list[int], ...]
    imitated: bool = False

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence: prompt and answer."""
        return [len(self.prompt) + len(answer) for answer in self.answers]


def usable(stage: str, examples: Sequence[Example]) -> tuple[list[Example], dict[str, int]]:
    """The examples that a stage (`sft` or `dpo`) can learn from, and how many it cannot, by cause."""
    kept: list[Example] = []
    causes: Counter[str] = Counter()
    for example in examples:
        if not example.chosen:
            causes["no chosen answer"] += 1
        elif stage == "sft" and not example.imitate:
            causes["not to be imitated"] += 1
        elif stage == "dpo" and not example.rejected:
            causes["no rejected answer"] += 1
        else:
            kept.append(example)
    return kept, dict(causes)


def tokenise(
    stage: str, examples: Sequence[Example], tokenizer: Any, answer_tokens: int, own_tokens: int, context: int
) -> list[Row]:
    """Token ids of usable examples; those that do not fit the model's context are left out.

    Raises:
        InputError: The tokenizer has no chat template, or it refuses a conversation.
    """
    end = end_token(tokenizer)
    rows = []
    for example in examples:
        messages = [{"role": message.role, "content": message.content} for message in example.prompt]
        prompt = tokenizer(_rendered(tokenizer, messages, example.id), add_special_tokens=False)["input_ids"]
        ours = example.chosen_by == "in-house"
        limit = answer_tokens if stage == "dpo" or ours else own_tokens
        texts = [example.chosen, example.rejected] if stage == "dpo" else [example.chosen]
        answers = tuple(_answer(tokenizer, text or "", limit, end) for text in texts)
        row = Row(list(prompt), answers, imitated=ours and example.imitate)
        if max(row.lengths) <= context:
            rows.append(row)
    return rows


def _answer(tokenizer: Any, text: str, limit: int, end: int) -> list[int]:
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return [*ids, end] if len(ids) <= limit else ids[:limit]


def end_token(tokenizer: Any) -> int:
    """The token by which the chat template ends an answer."""
    probe = "An answer."
    text = _rendered(tokenizer, [{"role": "user", "content": "A question?"}, {"role": "assistant", "content": probe}], None)
    after = tokenizer(text.rpartition(probe)[2].strip(), add_special_tokens=False)["input_ids"]
    return int(after[0]) if after else int(tokenizer.eos_token_id)


def _rendered(tokenizer: Any, messages: list[dict[str, str]], example: str | None) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise InputError(
            f"the tokenizer in {tokenizer.name_or_path} has no chat template; put a chat_template.jinja into that folder "
            "(the model's instruct variant has one)."
        )
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=messages[-1]["role"] == "user"))
    except TemplateError as error:
        raise InputError(
            f"example '{example}': the model's chat template does not take this conversation ({error}); "
            "its roles must be ones that the template knows."
        ) from None


def batches(count: int, batch: int, epochs: float, seed: int) -> list[list[int]]:
    """Row numbers of each step: every row once an epoch, in mixed order; the last batch may be smaller."""
    mix = random.Random(seed)
    flat: list[int] = []
    while len(flat) < round(count * epochs):
        flat += mix.sample(range(count), count)
    flat = flat[: round(count * epochs)]
    return [flat[first : first + batch] for first in range(0, len(flat), batch)]


def computed(rows: Sequence[Row], order: Sequence[Sequence[int]], most: int, processes: int = 1) -> int:
    """Tokens that go through the model in all steps: what several sequences of a tree begin with counts once."""
    total = 0
    for step in order:
        share = -(-len(step) // processes)
        for mine in (step[first : first + share] for first in range(0, len(step), share)):
            sequences = [rows[row].prompt + answer for row in mine for answer in rows[row].answers]
            total += sum(len(tree.ids) for tree in grow(sequences, most))
    return total
