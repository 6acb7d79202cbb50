"""How long a red team takes: 14 strategies x 40 goals x up to 4 queries, on the embedded model or against an endpoint of 50 ms.

    python benchmarks/red_team_speed.py                      # the embedded model; beside it what the bare server does in the same minute
    python benchmarks/red_team_speed.py --endpoint           # a mock endpoint that answers after 50 ms, in a process of its own
    python benchmarks/red_team_speed.py --goals 10 --tokens 24

What is compared are ratios within one run: this machine's speed drifts by a factor of two within an hour.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rai_kit as rk
from rai_kit import engine, measure
from rai_kit.models import ChatModel
from rai_kit.pool import bounded
from rai_kit.schema import Message

STRATEGIES = [
    *("direct", "rephrasing", "roleplay", "novel", "suppression", "translation", "best_of_n", "prefix_injection", "past_tense"),
    *("foot_in_the_door", "bad_likert_judge", "skeleton_key", "authority", "persuasion"),
]
LATENCY = 0.05


def attack(target: str, goals: int, tokens: int, concurrency: int) -> measure.RedTeam:
    with tempfile.TemporaryDirectory() as folder:
        found = measure.red_team(
            target, out=folder, n=goals, queries=4, strategies=STRATEGIES, max_tokens=tokens, concurrency=concurrency
        )
        calls, counts = found.run["calls"]["targets"], found.run["counts"]
        seconds = found.run["seconds"]
        print(
            f"red team: {counts['planned']} attempts, {counts['success']} successes, {calls['made']} queries in {seconds:.0f} s: "
            f"{calls['made'] / seconds:.2f} queries/s, {calls['completion_tokens'] / seconds:.0f} new tokens/s, "
            f"{calls['prompt_tokens'] / seconds:.0f} prompt tokens/s"
        )
        print(f"first queries' messages again, bare: {bare(target, found, tokens, concurrency)}")
        return found


def bare(target: str, found: measure.RedTeam, tokens: int, concurrency: int) -> str:
    """The same first messages sent to the same place with nothing else around: what the serving itself takes."""
    model = ChatModel(target, max_tokens=tokens, temperature=0.7)
    messages = [one.queries[0].message for one in found.attempts][:: max(1, len(found.attempts) // 120)]

    async def one(index: int) -> None:
        await model([Message("user", messages[index])], seed=index + 1)

    start = time.perf_counter()
    engine.in_own_loop(engine.closing([model], bounded(len(messages), one, concurrency)))
    seconds = time.perf_counter() - start
    return f"{len(messages) / seconds:.2f} queries/s, {model.calls['completion_tokens'] / seconds:.0f} new tokens/s"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", action="store_true")
    parser.add_argument("--goals", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--concurrency", type=int, default=32)
    settings = parser.parse_args()
    rk.OfflineJudge().judge(
        rk.Case(id="warm", rubric="harm", messages=(rk.Message("user", "Hello"), rk.Message("assistant", "Hello!")))
    )
    if not settings.endpoint:
        attack("smollm2-135m@embedded", settings.goals, settings.tokens, settings.concurrency)
        return
    mock = Path(__file__).parents[1] / "tests" / "mock_endpoint.py"
    command = [sys.executable, str(mock), "--latency-ms", str(1000 * LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[1]
        try:
            attack(f"target@http://127.0.0.1:{port}/v1", settings.goals, settings.tokens, settings.concurrency)
            print(f"the endpoint allows {settings.concurrency / LATENCY:.0f} queries/s at {settings.concurrency} in flight")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
