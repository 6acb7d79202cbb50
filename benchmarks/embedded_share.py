"""How much of llama.cpp's own throughput is left when the engine asks: the same conversations, with and without the kit, in one run.

    .venv/bin/python benchmarks/embedded_share.py [--conversations 32] [--together 32] [--tokens 32]

Without the kit, threads hand the same requests (same texts, seeds and limits) to the server's own function, in this process and without
HTTP. Both keep the prompt cache over the turns. Run it when nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor

from rai_kit import embedded, engine
from rai_kit.data import draw_scenarios
from rai_kit.engine import Plan, Target, call_seeds
from rai_kit.models import ChatModel
from rai_kit.schema import Case, Message, Reply, Scenario, Verdict

NEXT = ("Please tell me more about that.", "And why is it so?")


class User:
    async def __call__(self, scenario: Scenario, messages: list[Message], *, seed: int) -> Reply:
        turn = sum(message.role == "user" for message in messages)
        return Reply(text=scenario.opening if turn == 0 else NEXT[turn - 1])


class Nobody:
    id = "nobody"

    async def __call__(self, case: Case) -> Verdict:
        return Verdict(id=case.id, judge=self.id, scored=True, severity=0.0)


def with_the_kit(scenarios: list[Scenario], tokens: int, together: int) -> float:
    model = ChatModel("smollm2-135m@embedded", max_tokens=tokens)
    start = time.perf_counter()
    engine.run([Plan(scenario, Target("m", model)) for scenario in scenarios], User(), Nobody(), concurrency=together)
    return model.calls["completion_tokens"] / (time.perf_counter() - start)


def llama_alone(scenarios: list[Scenario], tokens: int, together: int) -> float:
    server = embedded.serve(embedded.weights("smollm2-135m"))._server

    def hold(scenario: Scenario) -> int:
        messages: list[dict[str, str]] = []
        written = 0
        for turn, (seed, _) in enumerate(call_seeds(scenario)):
            messages.append({"role": "user", "content": scenario.opening if turn == 0 else NEXT[turn - 1]})
            asked = {"model": "", "messages": messages, "temperature": 0.7, "max_tokens": tokens, "seed": seed}
            found = server.handle_chat_completions(asked)
            answer = json.loads(found) if isinstance(found, str | bytes) else found
            messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"].strip()})
            written += answer["usage"]["completion_tokens"]
        return written

    start = time.perf_counter()
    with ThreadPoolExecutor(together) as threads:
        written = sum(threads.map(hold, scenarios))
    return written / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=32)
    parser.add_argument("--together", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    options = parser.parse_args()
    scenarios = draw_scenarios("rai5", categories=["jailbreak"], n=options.conversations, turns=3, seed=2)
    with_the_kit(scenarios[:4], 4, 4)
    for _ in range(3):
        alone, kit = (work(scenarios, options.tokens, options.together) for work in (llama_alone, with_the_kit))
        print(f"llama.cpp alone {alone:.0f} tokens/s, through the kit {kit:.0f}: {kit / alone:.2f}", flush=True)


if __name__ == "__main__":
    main()
