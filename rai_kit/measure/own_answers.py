"""A target's own answers as training material: what it says today, and what it says when told what harm it is dealing with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rai_kit import engine
from rai_kit.cost import Budget, Ledger, Prices
from rai_kit.journal import Journal
from rai_kit.measure.parties import judge_of
from rai_kit.models import ChatModel
from rai_kit.progress import steps
from rai_kit.schema import Example

if TYPE_CHECKING:
    from rai_kit.corpus import Filled, OnPolicy

T = TypeVar("T")


def own_answers(
    examples: Sequence[Example],
    target: str,
    *,
    journal: str | Path,
    judge: str = "offline",
    own_refusals: bool = False,
    seed: int = 0,
    samples: int = 1,
    concurrency: int = 32,
    max_tokens: int = 96,
    beginnings: bool = False,
    temperature: float = 0.7,
    budget: str | None = None,
    timeout: float = 180.0,
) -> Filled:
    """Fills the missing sides of examples with what a model says (`corpus.OnPolicy`); finished calls are read back from the journal.

    Harmful prompts are asked as they are, for the side to be avoided, and harmless ones for the side to be preferred. With `own_refusals`
    harmful prompts are also asked wrapped with their category, for a safe answer in the model's own words; where it gives none, the one
    that the example has stays. Of 20 such answers of the embedded SmolLM2 the offline judge let 7 pass, and at most 2 of these held a
    reason and a way on: leave it to larger models.

    Args:
        examples: What is to be filled.
        target: Address of the model.
        journal: File of finished calls.
        judge: `offline`, or the address of the model that finds refusals and harm.
        own_refusals: Let the model write safe answers, too.
        seed: Of the calls.
        samples: Most tries for each side.
        concurrency: Most calls in flight.
        max_tokens: Most new tokens of an answer.
        beginnings: Take answers that were cut off as they are, instead of up to their last whole sentence.
        temperature: Of the target.
        budget: What may be used up: `5 USD` or `200k tokens`; prompts that are left are counted under `budget`.
        timeout: Most seconds of one try of a call.

    Returns:
        The examples in their order, and the tally of outcomes: of the wrapped prompts under `harmful, told why`, of the plain ones under
        their kind.

    Raises:
        InputError: An address, a budget or a number cannot be used.
    """
    from rai_kit.corpus import Filled  # not needed by a benchmark, whose start would wait for it

    harmful = [example for example in examples if example.kind == "harmful" and own_refusals]

    async def both(policy: OnPolicy) -> tuple[Filled, Filled]:
        with steps(len(harmful) + len(examples), "answers") as step:
            safe = await policy.safe_answers(harmful, progress=step)
            better = {example.id: example for example in safe.examples}
            return safe, await policy.answers([better.get(example.id, example) for example in examples], progress=step)

    settings: dict[str, Any] = {"seed": seed, "samples": samples, "concurrency": concurrency, "beginnings": beginnings}
    safe, own = _asked(both, target, Path(journal), judge, max_tokens, temperature, budget, timeout, settings)
    told = {"harmful, told why": safe.tally["harmful"]} if harmful else {}
    return Filled(own.examples, told | own.tally)


def own_mistakes(
    examples: Sequence[Example],
    target: str,
    *,
    journal: str | Path,
    judge: str = "offline",
    seed: int = 0,
    concurrency: int = 32,
    max_tokens: int = 96,
    beginnings: bool = False,
    temperature: float = 0.7,
    budget: str | None = None,
    timeout: float = 180.0,
) -> Filled:
    """Asks a model prompts whose right answers are known, and keeps its mistakes as rejected sides: pairs for DPO on its own policy.

    Args:
        examples: With a chosen answer each.
        target: Address of the model.
        journal: File of finished calls; the other arguments are those of `own_answers`.

    Returns:
        All examples; those with a rejected side are the mistakes (`corpus.OnPolicy.mistakes`).

    Raises:
        InputError: An address, a budget or a number cannot be used.
    """

    async def wrong(policy: OnPolicy) -> Filled:
        with steps(len(examples), "answers") as step:
            return await policy.mistakes(examples, progress=step)

    settings: dict[str, Any] = {"seed": seed, "concurrency": concurrency, "beginnings": beginnings}
    return _asked(wrong, target, Path(journal), judge, max_tokens, temperature, budget, timeout, settings)


def _asked(
    work: Callable[[OnPolicy], Coroutine[Any, Any, T]],
    target: str,
    journal: Path,
    judge: str,
    max_tokens: int,
    temperature: float,
    budget: str | None,
    timeout: float,
    settings: dict[str, Any],
) -> T:
    from rai_kit.corpus import OnPolicy

    prices = Prices.load()
    ledger = Ledger(prices, None if budget is None else Budget.parse(budget, prices.currency))
    store = Journal(journal)
    try:
        common: dict[str, Any] = {"journal": store, "ledger": ledger, "timeout": timeout}
        model = ChatModel(target, temperature=temperature, max_tokens=max_tokens, **common)
        finder = judge_of(judge, **common)
        return engine.in_own_loop(engine.closing([model, finder], work(OnPolicy(model, finder, target, **settings))))
    finally:
        store.close()
