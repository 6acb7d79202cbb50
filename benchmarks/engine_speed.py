"""What the engine adds to a run: wall time, CPU, calls a second and memory, beside the least that any program can do, in one run.

    .venv/bin/python benchmarks/engine_speed.py [--repeats 3] [--conversations 5000 --conversations 20000] [--endpoint URL]

The workload: 300 conversations of 3 turns, each turn a call of the simulator and one of the target, then one of the judge: 2,100 calls
of 50 ms, at most 64 in flight, so that no program can take less than 1.64 s. The endpoint is `tests/mock_endpoint.py` in a process of
its own, or the one given, if it has `/stats` and `/reset`. Every measurement is a process of its own, after a first
conversation that loads what is loaded lazily (`start to first call` measures that by itself); repeats are interleaved,
medians shown.

- `floor`: bare aiohttp; `openai`: the bare client, default transport. Both send messages about as long as the kit's.
- `kit`: `engine.run` with `LLMUser`, `LLMJudge` and a journal on disk. `LLMUser` takes its first message from the scenario; here
  the model is asked for that one too, to make 2,100 calls.
- `again`: the same over the same journal, opened anew; the endpoint must not be called.
- `start`: from the start of `python -m rai_kit benchmark` to the first request at the endpoint.
- memory: peak of a process that streams N conversations through models that answer at once.

Calls are counted at the endpoint. Run it when nothing else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rai_kit import engine
from rai_kit.data import draw_scenarios
from rai_kit.journal import Journal
from rai_kit.judges import LLMJudge
from rai_kit.models import ChatModel
from rai_kit.schema import Conversation, Message, Model, Reply, Scenario, Verdict, encode
from rai_kit.simulators import LLMUser

CONVERSATIONS, TURNS, TOGETHER = 300, 3, 64
LENGTH = {"simulator": 1300, "target": 130, "judge": 6500}
"""Characters of a system prompt, about as many as the kit's."""

Ask = Callable[[str, list[dict[str, str]]], Awaitable[str]]


def fetch(endpoint: str, path: str) -> dict[str, Any]:
    """JSON of one of the endpoint's own pages."""
    request = urllib.request.Request(endpoint.removesuffix("/v1") + path, method="POST" if path == "/reset" else "GET")
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


async def bare(ask: Ask, count: int) -> None:
    """The workload without the kit."""
    gate = asyncio.Semaphore(TOGETHER)

    async def one(number: int) -> None:
        chats = {role: [{"role": "system", "content": f"{number} ".ljust(length, "x")}] for role, length in LENGTH.items()}

        async def call(role: str) -> str:
            async with gate:
                return await ask(role, chats[role])

        for _ in range(TURNS):
            said = await call("simulator")
            chats["target"].append({"role": "user", "content": said})
            answer = await call("target")
            chats["target"].append({"role": "assistant", "content": answer})
            chats["simulator"] += [{"role": "assistant", "content": said}, {"role": "user", "content": answer}]
        chats["judge"].append({"role": "user", "content": "\n".join(message["content"] for message in chats["target"])})
        await call("judge")

    await asyncio.gather(*(one(number) for number in range(count)))


def floor(endpoint: str, measured: Callable[[str], Any], _: Path) -> None:
    import aiohttp

    async def work() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=TOGETHER)) as session:

            async def ask(model: str, messages: list[dict[str, str]]) -> str:
                async with session.post(f"{endpoint}/chat/completions", json={"model": model, "messages": messages}) as answer:
                    answer.raise_for_status()
                    return str((await answer.json())["choices"][0]["message"]["content"])

            await bare(ask, 1)
            with measured("floor"):
                await bare(ask, CONVERSATIONS)

    asyncio.run(work())


def client(endpoint: str, measured: Callable[[str], Any], _: Path) -> None:
    import openai

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=endpoint, api_key="none") as client:

            async def ask(model: str, messages: list[dict[str, str]]) -> str:
                answer = await client.chat.completions.create(model=model, messages=messages)  # type: ignore[arg-type]
                return answer.choices[0].message.content or ""

            await bare(ask, 1)
            with measured("openai"):
                await bare(ask, CONVERSATIONS)

    asyncio.run(work())


@dataclass(frozen=True)
class AskedFromTheStart:
    """An `LLMUser` whose model is asked for the first message, too."""

    user: LLMUser

    @property
    def model(self) -> Model:
        return self.user.model

    async def __call__(self, scenario: Scenario, messages: Sequence[Message], *, seed: int) -> Reply:
        if any(message.role == "user" for message in messages):
            return await self.user(scenario, messages, seed=seed)
        asked = [Message("system", f"{scenario.persona} {scenario.goal}"), Message("user", scenario.opening)]
        return await self.user.model(asked, seed=seed)


def kit(endpoint: str, measured: Callable[[str], Any], folder: Path) -> None:
    scenarios = draw_scenarios("rai5", categories=["jailbreak"], n=CONVERSATIONS, turns=TURNS, seed=1)

    def run(path: Path, count: int) -> None:
        store = Journal(path)
        models = {role: ChatModel(f"{role}@{endpoint}", journal=store) for role in LENGTH}
        judge = LLMJudge(models["judge"], name="judge")
        user = AskedFromTheStart(LLMUser(models["simulator"]))
        plans = [engine.Plan(scenario, engine.Target("target", models["target"])) for scenario in scenarios[:count]]
        _, verdicts = engine.run(plans, user, judge, concurrency=TOGETHER)
        store.close()
        # An endpoint that fills schemas with constants numbers every turn 1, and is asked again.
        assert {verdict.cause for verdict in verdicts} <= {None, "judge:incomplete"}, verdicts[0]

    run(folder / "first.sqlite", 1)
    for name in ("kit", "again"):
        with measured(name):
            run(folder / "journal.sqlite", CONVERSATIONS)


def start(endpoint: str) -> float:
    """Seconds from the start of the command to its first request."""
    fetch(endpoint, "/reset")
    parties = {f"--{role}": f"{role}@{endpoint}" for role in ("target", "simulator", "judge")}
    small = {"-n": "1", "--category": "jailbreak", "--turns": "1"}
    with tempfile.TemporaryDirectory() as folder:
        words = [word for pair in (parties | small | {"--out": folder}).items() for word in pair]
        began = time.time()
        subprocess.run([sys.executable, "-m", "rai_kit", "benchmark", *words], check=True, stdout=subprocess.DEVNULL)
    return float(fetch(endpoint, "/stats")["t_first"]) - began


@dataclass(frozen=True)
class Instant:
    """A model that answers at once, a text of its own to each seed, and as a judge a verdict."""

    async def __call__(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> Reply:
        if json_schema is None:
            return Reply(text=f"Answer {seed}: ".ljust(300, "x"), finish_reason="stop", completion_tokens=75)
        count = json_schema["properties"]["turns"]["maxItems"]
        turns = [{"turn": turn + 1, "reason": f"Reason {turn}.", "score": turn % 5, "refusal": False} for turn in range(count)]
        return Reply(text=json.dumps({"reasoning": f"Weighed {messages[-1].content[:20]}", "turns": turns}), finish_reason="stop")


def memory(count: int) -> None:
    """Streams `count` conversations into a file; one line of JSON with the peak memory (bytes) of this process."""
    (first,) = draw_scenarios("rai5", categories=["jailbreak"], n=1, turns=TURNS, seed=1)
    target = engine.Target("target", Instant())
    plans = [
        engine.Plan(replace(first, id=f"s{number}", seed=number, opening=f"{number}: {first.opening}"), target)
        for number in range(count)
    ]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as file:

        def done(index: int, conversation: Conversation, verdict: Verdict) -> None:
            assert verdict.scored, verdict
            file.write(encode(conversation) + b"\n" + encode(verdict) + b"\n")

        judge = LLMJudge(Instant(), name="judge")
        engine.stream(plans, LLMUser(Instant()), judge, concurrency=TOGETHER, done=done)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"peak": peak, "wall": time.perf_counter() - began}))


PARTS = {"floor": floor, "openai": client, "kit": kit}


def one_part(name: str, endpoint: str) -> None:
    """Measures in this process; one line of JSON for each measurement."""

    @contextmanager
    def measured(what: str) -> Iterator[None]:
        fetch(endpoint, "/reset")
        began, used = time.perf_counter(), time.process_time()
        yield
        seconds, cpu, stats = time.perf_counter() - began, time.process_time() - used, fetch(endpoint, "/stats")
        size = stats.get("bytes", stats.get("bytes_in", 0))
        print(json.dumps({"what": what, "wall": seconds, "cpu": cpu, "calls": stats["total"], "bytes": size}), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        PARTS[name](endpoint, measured, Path(folder))


def child(*arguments: str) -> list[dict[str, Any]]:
    """The lines of a process of this file."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def endpoint_of(given: str | None) -> Iterator[str]:
    """The endpoint given, or one of our own for as long as it is needed."""
    if given is not None:
        yield given.rstrip("/")
        return
    script = Path(__file__).parent.parent / "tests" / "mock_endpoint.py"
    with subprocess.Popen([sys.executable, script, "--latency-ms", "50"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}/v1"
        finally:
            process.kill()


def report(rows: list[dict[str, Any]]) -> None:
    """Medians by measurement, in the order of the first repeat."""
    names = list(dict.fromkeys(row["what"] for row in rows))
    middle = {
        name: {field: median(row[field] for row in rows if row["what"] == name) for field in ("wall", "cpu", "calls", "bytes")}
        for name in names
    }
    calls = CONVERSATIONS * (2 * TURNS + 1)
    print(f"{'':8}{'calls made':>11}{'KB a call':>11}{'wall s':>9}{'CPU ms a call':>15}{'calls/s':>9}{'x floor':>9}")
    for name, row in middle.items():
        served = calls if name == "again" else row["calls"]
        size = row["bytes"] / served / 1000
        ratio = row["wall"] / middle["floor"]["wall"]
        print(
            f"{name:8}{row['calls']:11,.0f}{size:11.1f}{row['wall']:9.2f}{1000 * row['cpu'] / served:15.2f}"
            f"{served / row['wall']:9,.0f}{ratio:9.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of the engine beside bare HTTP.")
    parser.add_argument("--endpoint", help="base URL of a running mock endpoint")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--conversations", type=int, action="append", help="for the memory; may be repeated, 0 leaves it out")
    parser.add_argument("--part", choices=[*PARTS, "memory"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        memory(given.conversations[0]) if given.part == "memory" else one_part(given.part, given.endpoint)
        return
    with endpoint_of(given.endpoint) as endpoint:
        rows, starts = [], []
        for _ in range(given.repeats):
            for part in PARTS:
                rows += child("--part", part, "--endpoint", endpoint)
            starts.append(start(endpoint))
    report(rows)
    print(f"start to first call: {median(starts):.2f} s")
    for count in given.conversations or (5_000, 20_000):
        if count:
            (found,) = child("--part", "memory", "--conversations", str(count))
            print(f"{count:,} conversations: peak {found['peak'] / 1e6:,.0f} MB, {found['wall']:.1f} s")


if __name__ == "__main__":
    main()
