"""New tokens a second of the embedded model over N conversations in flight, beside plain `transformers`, in one run.

    .venv/bin/pip install -r benchmarks/requirements.txt
    .venv/bin/python benchmarks/embedded_speed.py [--tokens 64] [--no-transformers]

Both generate the same number of new tokens (end of text switched off) from the same prompts on the same weights. Run it when
nothing else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import openai

from rai_kit import embedded
from rai_kit.data import draw_scenarios


def prompts(count: int) -> list[str]:
    return [scenario.opening for scenario in draw_scenarios("rai5", categories=["jailbreak"], n=count, seed=1)]


async def served(texts: list[str], tokens: int, together: int) -> float:
    """Seconds for all texts through the server with `together` in flight."""
    server = embedded.serve(embedded.weights("smollm2-135m"))
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.api_key)
    gate = asyncio.Semaphore(together)

    async def one(text: str, seed: int) -> int:
        async with gate:
            reply = await client.chat.completions.create(
                model="",
                messages=[{"role": "user", "content": text}],
                max_tokens=tokens,
                seed=seed,
                extra_body={"ignore_eos": True},
            )
        return reply.usage.completion_tokens

    await one("Hello.", 0)
    start = time.perf_counter()
    counts = await asyncio.gather(*(one(text, seed) for seed, text in enumerate(texts)))
    seconds = time.perf_counter() - start
    assert sum(counts) == tokens * len(texts), "every reply must have all its tokens"
    await client.close()
    return seconds


def plain(texts: list[str], tokens: int, together: int) -> float:
    """Seconds for all texts with `transformers` in float32, padded batches of `together`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = embedded.weights("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    start = time.perf_counter()
    for first in range(0, len(texts), together):
        chats = [[{"role": "user", "content": text}] for text in texts[first : first + together]]
        batch = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            model.generate(
                **batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, pad_token_id=tokenizer.eos_token_id
            )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--no-transformers", action="store_true")
    options = parser.parse_args()
    print(f"{'':24}{'in flight':>10}{'replies':>9}{'seconds':>9}{'tokens/s':>10}")
    for together, count in ((1, 4), (8, 32), (32, 128), (64, 128)):
        seconds = asyncio.run(served(prompts(count), options.tokens, together))
        print(f"{'embedded server, Q8_0':24}{together:>10}{count:>9}{seconds:>9.1f}{count * options.tokens / seconds:>10.0f}")
    if not options.no_transformers:
        for together, count in ((1, 2), (32, 32)):
            seconds = plain(prompts(count), options.tokens, together)
            print(f"{'transformers, float32':24}{together:>10}{count:>9}{seconds:>9.1f}{count * options.tokens / seconds:>10.0f}")


if __name__ == "__main__":
    main()
