"""The parties of a run, from the words that name them: who plays the user, and who judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from rai_kit.cost import Budget, Ledger, Prices
from rai_kit.engine import Plan, Target
from rai_kit.journal import Journal
from rai_kit.models import ChatModel
from rai_kit.schema import Case, InputError, Judge, Reply, Scenario, Simulator, Verdict, digest

if TYPE_CHECKING:
    from rai_kit.judges import LLMJudge, OfflineJudge

SIMULATOR_TOKENS = 200
"""Most new tokens of a simulated user's message."""
ATTACKER_TOKENS = 600
"""Most new tokens of an attacker's reply: its reasoning and the message."""
JUDGE_TOKENS = 1200
"""Most new tokens of a judge's reply."""
POLL_SECONDS = 10.0
"""Seconds between the first two questions after a batch; they grow from there."""

_VERDICT = msgspec.json.Decoder(Verdict)


def simulator_of(address: str, **settings: Any) -> Simulator:
    """The simulated user that a word stands for: `scripted`, or a model's address. Settings are those of `ChatModel`."""
    from rai_kit.simulators import LLMUser, ScriptedUser

    if address == "scripted":
        return ScriptedUser()
    return LLMUser(ChatModel(address, temperature=0.7, max_tokens=SIMULATOR_TOKENS, role="simulator", **settings))


def judge_of(address: str, *, per_turn: bool = False, **settings: Any) -> Judge:
    """The judge that a word stands for: `offline`, `offline-deep`, a model's address, or a panel of these, with commas between them.

    Args:
        address: Such as `gpt-4o` or `gpt-4o,phi-4@http://localhost:8000/v1,offline`.
        per_turn: Have models asked once for each answer, instead of once for all (`LLMJudge`).
        settings: Those of `ChatModel`.

    Raises:
        InputError: An address cannot be used, or a panel names a judge twice or nobody.
    """
    from rai_kit.judges import LLMJudge, Panel

    names = judge_names(address)
    if len(names) > 1:
        return Panel(tuple(judge_of(name, per_turn=per_turn, **settings) for name in names))
    if offline := offline_judge(address):
        journal = settings.get("journal")
        return offline if journal is None else KeptJudge(offline, journal)
    model = ChatModel(address, temperature=0.0, max_tokens=JUDGE_TOKENS, role="judge", **settings)
    return LLMJudge(model, name=address, per_turn=per_turn)


def offline_judge(address: str) -> OfflineJudge | None:
    """The judge without key and network that a word stands for; None for any other word."""
    from rai_kit.judges import DeepJudge, OfflineJudge

    known: dict[str, type[OfflineJudge]] = {"offline": OfflineJudge, "offline-deep": DeepJudge}
    return known[address]() if address in known else None


def judge_names(address: str) -> list[str]:
    """Whom a judge's address names: itself, or the members of a panel, in their order.

    Raises:
        InputError: Nobody stands before, between or after its commas, or a judge twice.
    """
    names = [name.strip() for name in address.split(",")]
    if len(names) > 1 and (not all(names) or len(set(names)) < len(names)):
        raise InputError(f"judge {address!r} is no panel; name its judges with one comma between them, each once: A,B,C.")
    return names


@dataclass(frozen=True)
class KeptJudge:
    """A judge without a model whose verdicts are kept in the journal as calls are, so that a rerun and a merge find them."""

    judge: Judge
    journal: Journal = field(repr=False)

    @property
    def id(self) -> str:
        """The judge's own."""
        return self.judge.id

    async def __call__(self, case: Case) -> Verdict:
        key = digest(self.id, case, length=32)
        kept = self.journal.get(key)
        if kept is not None:
            return _VERDICT.decode(kept.text)
        verdict = await self.judge(case)
        self.journal.put(key, {"judge": self.id, "case": case.id}, Reply(text=msgspec.json.encode(verdict).decode()))
        return verdict


@dataclass(frozen=True)
class Setup:
    """Who takes part in a run, in words and numbers: enough to bring the same parties together in another process."""

    targets: tuple[str, ...]
    simulator: str
    judge: str
    max_tokens: int = 96
    temperature: float = 0.7
    concurrency: int = 32
    timeout: float = 180.0
    budget: str | None = None
    batch: bool = False
    attacker: str | None = None


class Parties:
    """Targets, simulated user and judge over one journal and one ledger.

    Raises:
        InputError: An address, a budget or the price file cannot be used.
    """

    def __init__(self, setup: Setup, journal: Journal) -> None:
        prices = Prices.load()
        self.ledger = Ledger(prices, None if setup.budget is None else Budget.parse(setup.budget, prices.currency))
        common: dict[str, Any] = {"journal": journal, "ledger": self.ledger, "timeout": setup.timeout}
        self.targets = [
            ChatModel(address, temperature=setup.temperature, max_tokens=setup.max_tokens, **common) for address in setup.targets
        ]
        self.user = simulator_of(setup.simulator, **common)
        self.attacker = (
            None
            if setup.attacker is None
            else ChatModel(setup.attacker, temperature=1.0, max_tokens=ATTACKER_TOKENS, role="attacker", **common)
        )
        self.judge = judge_of(setup.judge, **common)
        self.setup = setup
        self.during: Judge = self.judge  # who judges while conversations are held
        if setup.batch:
            self.batched()
            self.during = Later(self.judge.id)
        self.ledger.require_prices([model.address for model in self.models()])
        if self.ledger.budget is not None:
            taken = journal.tokens()
            self.ledger.paid = {model.address: taken.get(model.place, (0, 0)) for model in self.models()}

    def batched(self) -> tuple[LLMJudge, ChatModel]:
        """The judge and its model, for the Batch API.

        Raises:
            InputError: The judge is no model at an endpoint.
        """
        model = getattr(self.judge, "model", None)
        if not isinstance(model, ChatModel) or model.address.endswith("@embedded"):
            raise InputError(
                "batch is for a judge that is a model at an endpoint with a Batch API, and not for a panel; "
                "name one as judge, or leave batch out."
            )
        return cast("LLMJudge", self.judge), model

    def plans(self, scenarios: Sequence[Scenario]) -> list[Plan]:
        """Every scenario with every target, target by target."""
        return [Plan(scenario, Target(model.address, model)) for model in self.targets for scenario in scenarios]

    def models(self) -> list[ChatModel]:
        """Every model that is called: targets, then simulator, attacker and judge (or all of a panel) as far as they are models."""
        judges = getattr(self.judge, "judges", (self.judge,))
        behind = [getattr(self.user, "model", None), self.attacker, *(getattr(judge, "model", None) for judge in judges)]
        return [*self.targets, *(model for model in behind if isinstance(model, ChatModel))]

    def calls(self) -> dict[str, dict[str, int]]:
        """Calls made, calls replayed from the journal, and tokens, by role."""
        roles = [role for role in _ROLES.values() if role != "attacker" or self.attacker is not None]
        totals = {role: dict.fromkeys(("made", "replayed", "prompt_tokens", "completion_tokens"), 0) for role in roles}
        for model in self.models():
            for name, value in model.calls.items():
                totals[_ROLES[model.role]][name] += value
        return totals


_ROLES = {"target": "targets", "simulator": "simulator", "attacker": "attacker", "judge": "judge"}


def check(addresses: Sequence[str], judge: str, self_judging: bool, **positive: float) -> None:
    """Raises an `InputError` for targets that are missing or named twice, a target that is its own judge, or a number below 1."""
    if not addresses:
        raise InputError("target is empty; give at least one model address, such as smollm2-135m@embedded.")
    if len(set(addresses)) != len(addresses):
        raise InputError(f"target names a model twice ({', '.join(addresses)}); name each once.")
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"{name} is {value:g}; it must be at least 1.")
        if name != "timeout" and value != int(value):
            raise InputError(f"{name} is {value:g}; it must be a whole number.")
    own = [name for name in judge_names(judge) if name in addresses]
    if own and not self_judging:
        raise InputError(
            f"judge '{own[0]}' is also a target, and would judge itself; choose another judge or pass self_judging (--self-judging)."
        )


@dataclass(frozen=True)
class Later:
    """Judges nothing: the real judge is asked in batches, after the conversations."""

    id: str

    async def __call__(self, case: Case) -> Verdict:
        return Verdict.unscored(case.id, self.id, "pending")


async def judge_in_batches(
    parties: Parties, cases: Sequence[Case], categories: Sequence[str], done: Callable[[int, Verdict], None]
) -> None:
    """Has cases judged through the Batch API of the judge's endpoint; what it says on the way is printed."""
    from rai_kit.models.batch import stream_in_batches

    judge, model = parties.batched()
    await stream_in_batches(
        cases,
        lambda stand_in: replace(judge, model=stand_in),
        model,
        done=done,
        charged=categories.__getitem__,
        poll_seconds=POLL_SECONDS,
        progress=lambda line: print(line, flush=True),
    )
