"""What trained weights do: whether the served ones answer like the trained ones, and how well they still predict plain text.

Left out on purpose: sampling, which would compare chance with chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.cores import free_cores
from rai_kit.embedded import serve
from rai_kit.schema import Message

if TYPE_CHECKING:
    import pandas as pd

TOGETHER = 8
"""Texts that are computed at once."""


def token_agreement(folder: Path, gguf: Path, prompts: Sequence[tuple[Message, ...]], tokens: int = 32) -> pd.DataFrame:
    """Greedy answers of the trained weights (transformers, float32), and whether the served file (llama.cpp) would choose each token, too.

    It is shown the trained weights' answer up to that token: after a first difference two free answers tell of two texts, not of weights.

    Args:
        folder: Hugging Face folder, such as `merge` writes.
        gguf: What was made of it.
        prompts: Conversations that end with a user's message.
        tokens: Longest answer.

    Returns:
        One row a prompt: prompt (its last message), tokens_equal, tokens (of the folder's answer, its end included), same (all of them:
        then the free answers are the same as well).
    """
    import pandas as pd
    from openai import OpenAI

    asked = [[{"role": message.role, "content": message.content} for message in prompt] for prompt in prompts]
    tokenizer, contexts, answers = _greedy(folder, asked, tokens)
    server = serve(gguf)
    with OpenAI(base_url=server.base_url, api_key=server.api_key, max_retries=0) as client:

        def agreed(context: list[int], answer: list[int]) -> int:
            # One after the other: the server reads each text once and remembers it up to where it goes on.
            chosen = (
                client.completions.create(model="served", prompt=context + answer[:place], temperature=0, max_tokens=1)
                for place in range(len(answer))
            )
            told = [reply.choices[0].text for reply in chosen]
            return sum(text == tokenizer.decode([id], skip_special_tokens=True) for text, id in zip(told, answer, strict=True))

        with ThreadPoolExecutor(TOGETHER) as pool:
            equal = list(pool.map(agreed, contexts, answers))
    rows = [
        {"prompt": prompt[-1].content, "tokens_equal": count, "tokens": len(answer), "same": count == len(answer)}
        for prompt, answer, count in zip(prompts, answers, equal, strict=True)
    ]
    return pd.DataFrame(rows, columns=["prompt", "tokens_equal", "tokens", "same"])


def _greedy(folder: Path, asked: Sequence[Any], tokens: int) -> tuple[Any, list[list[int]], list[list[int]]]:
    """The tokenizer, the tokens of each prompt, and those of each answer up to its end, that one included."""
    import torch

    tokenizer, model = _loaded(folder)
    texts = [tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) for messages in asked]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    longest, end = max(map(len, rows)), tokenizer.eos_token_id
    # Answers grow at the right end, so the padding is on the left, and masked.
    ids = torch.tensor([[end] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        made = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=end)
    answers = [answer[: answer.index(end) + 1] if end in answer else answer for answer in made[:, longest:].tolist()]
    return tokenizer, rows, answers


def perplexity(folder: Path, texts: Sequence[str]) -> pd.DataFrame:
    """How well the weights of a folder predict plain texts; perplexity is the exponential of the mean over tokens.

    Returns:
        One row a text, in their order: text, tokens (scored ones: all but the first), nll (mean negative log-likelihood, nats per
        token; NaN for a text of fewer than two tokens). Texts longer than the model's context are cut there.
    """
    import pandas as pd
    import torch
    from torch.nn import functional

    tokenizer, model = _loaded(folder)
    context = int(model.config.get_text_config().max_position_embeddings)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"][:context] for text in texts]
    nll = [float("nan")] * len(rows)
    order = sorted((number for number, ids in enumerate(rows) if len(ids) > 1), key=lambda number: len(rows[number]))
    with torch.inference_mode():
        for first in range(0, len(order), TOGETHER):
            part = order[first : first + TOGETHER]
            longest = max(len(rows[number]) for number in part)
            # Padded on the right, where no earlier token looks: no mask is needed.
            ids = torch.tensor([rows[number] + [0] * (longest - len(rows[number])) for number in part])
            states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            for number, state in zip(part, states, strict=True):
                count = len(rows[number])
                logits = model.get_output_embeddings()(state[: count - 1]).float()
                nll[number] = float(functional.cross_entropy(logits, torch.tensor(rows[number][1:])))
    return pd.DataFrame({"text": list(texts), "tokens": [max(len(ids) - 1, 0) for ids in rows], "nll": nll})


def _loaded(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rai_kit.training.quiet import quiet

    torch.set_num_threads(free_cores())
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        # Only greedy decoding: settings of sampling that came with the model would be warned of.
        model.generation_config.do_sample, model.generation_config.temperature = False, None
        model.generation_config.top_p = model.generation_config.top_k = None
        return AutoTokenizer.from_pretrained(folder), model
