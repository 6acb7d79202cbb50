"""What a run will take, before it starts, and what a big one needs: closed forms, no model is called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from rai_kit.cost.prices import TOKENS, Prices, money_text
from rai_kit.schema import InputError

CHARACTERS_PER_TOKEN, MESSAGE_TOKENS = 4, 4
"""Of English text, and what a chat template adds to a message. On the kit's own prompts SmolLM2 counted 6-20 % more than this gives."""
JUDGE_TRIES = 3
"""An LLM judge is asked again where an answer of it holds no verdict: `judges.llm.TRIES` times in all."""
CALL_BYTES, UNFILLED, UNFILLED_MOST = 500, 0.3, 800
"""Bytes of a call in the journal beside its text (JSON, key, time), and of all these the share, and the most, that SQLite leaves
unfilled in its pages. Set by journals of 300-2,000 calls of 600-8,200 characters, of which none was further off than 10 %."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How long texts are, in characters, and answers, in tokens: means over the conversations.

    The characters are those of the kit's own scenarios and prompts; `..._most` are the limits that `measure` sets. Of the shares,
    the target's is what SmolLM2 used of 64 tokens (a higher limit is used less); the others follow from what the prompts ask for: one to
    three sentences of the simulator, and of the judge some 60 tokens an answer and 150 besides.

    Attributes:
        opening: First user message.
        system: System prompt of the target.
        line: A later message of the scripted user.
        simulator_prompt: Instructions of the simulator.
        judge_prompt: The judge's prompt beside the conversation: rubric, form, passage.
        frame: Marks that simulator and judge put round each message of the conversation.
        target_most: Most new tokens of a target's answer; likewise `simulator_most`, `judge_most`.
        target_share: Share of these that an answer is expected to take, 0-1; likewise `simulator_share`, `judge_share`.
    """

    opening: float = 374
    system: float = 25
    line: float = 61
    simulator_prompt: float = 1_560
    judge_prompt: float = 4_850
    frame: float = 55
    target_most: int = 96
    simulator_most: int = 200
    judge_most: int = 1_200
    target_share: float = 0.8
    simulator_share: float = 0.25
    judge_share: float = 0.3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf or (name.endswith("_share") and value > 1):
                raise InputError(
                    f"{name} is {value}; give {'a share, 0-1' if name.endswith('_share') else 'a number, 0 or more'}."
                )


@dataclass(frozen=True)
class Part:
    """What one model in one role is expected to take; `..._most` with every answer at its limit."""

    role: str
    model: str
    calls: int
    prompt_tokens: float
    completion_tokens: float
    prompt_tokens_most: float
    completion_tokens_most: float
    money: float | None
    money_most: float | None


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take, and at most."""

    conversations: int
    parts: tuple[Part, ...]
    sizes: Sizes
    prices: Prices = field(repr=False)

    def total(self, name: str) -> float | None:
        """Sum of a field of the parts, such as `calls` or `money_most`; None where a part's is unknown."""
        values = [getattr(part, name) for part in self.parts]
        return None if None in values else math.fsum(values)

    def each(self, unit: str) -> float | None:
        """Expected cost of one conversation, in `tokens` or in the currency; None where a price is unknown."""
        if unit != TOKENS:
            money = self.total("money")
            return None if money is None else money / self.conversations
        return math.fsum(part.prompt_tokens + part.completion_tokens for part in self.parts) / self.conversations

    def __str__(self) -> str:
        by_role: dict[str, int] = {}
        for part in self.parts:
            by_role[part.role] = by_role.get(part.role, 0) + part.calls
        calls = ", ".join(f"{role} {count:,}" for role, count in by_role.items())
        names = ("prompt_tokens", "completion_tokens", "prompt_tokens_most", "completion_tokens_most")
        sent, written, sent_most, written_most = (f"{float(f'{self.total(name):.3g}'):,.0f}" for name in names)
        limits = ", ".join(
            f"{getattr(self.sizes, f'{role}_share'):.0%} of {getattr(self.sizes, f'{role}_most'):,} ({role})" for role in by_role
        )
        return (
            f"{sum(by_role.values()):,} calls ({calls}): about {sent} tokens in and {written} out, "
            f"at most {sent_most} and {written_most}; {self._money_words()}.\n"
            f"Assumed: {CHARACTERS_PER_TOKEN} characters a token, and answers of so many tokens: {limits}. At most: all of these, and "
            f"every verdict asked for {JUDGE_TRIES} times. Repeated tries of failed calls are not in it."
        )

    def _money_words(self) -> str:
        lacking, currency = self.prices.lacking(part.model for part in self.parts), self.prices.currency
        known = [(part.money, part.money_most) for part in self.parts if part.money is not None and part.money_most is not None]
        if not known:
            return f"money unknown: {lacking}"
        money, most = (money_text(math.fsum(column)) for column in zip(*known, strict=True))
        return f"about {money} {currency}, at most {most} {currency}" + (f", and what is unknown: {lacking}" if lacking else "")


def forecast(
    conversations: int,
    turns: int | Sequence[int],
    *,
    target: str | Sequence[str],
    simulator: str | None = None,
    judge: str | Sequence[str] | None = None,
    prices: Prices | None = None,
    sizes: Sizes | None = None,
) -> Forecast:
    """What a run will take.

    Every call sends the conversation so far again, so prompts grow with the square of the turns. In a conversation of T turns the target
    reads T openings and T(T-1)/2 earlier answers and lines; the simulator, whose first message is given, is called T-1 times and
    reads T(T-1)/2 answers and (T-1)(T-2)/2 lines of its own; the judge reads everything once.

    Args:
        conversations: Conversations with each target.
        turns: Target turns of every conversation, or a list with those of each.
        target: Address or addresses of the models under test.
        simulator: Address of the simulator; None for the scripted one, which calls no model.
        judge: Address of the judge, or addresses of all models of a panel; None for the offline one.
        prices: What models cost; by default `Prices.load()`.
        sizes: How long texts and answers are.

    Raises:
        InputError: No conversation, a list of another length, or a conversation without a turn.
    """
    targets = [target] if isinstance(target, str) else list(target)
    lengths = [(turns, conversations)] if isinstance(turns, int) else [(one, 1) for one in turns]
    if not targets or conversations < 1 or sum(times for _, times in lengths) != conversations:
        raise InputError(
            f"conversations is {conversations}, of {len(targets)} targets; give 1 or more of both, and one number of turns or as many."
        )
    if min(lengths)[0] < 1:
        raise InputError(f"turns is {min(lengths)[0]}; give 1 or more.")
    total = sum(one * times for one, times in lengths)
    pairs = sum(one * (one - 1) // 2 * times for one, times in lengths)
    prices, sizes = prices or Prices.load(), sizes or Sizes()
    expected, most = (_tokens(conversations, total, pairs, sizes, simulator is not None, full) for full in (False, True))
    roles = [("target", model, 1) for model in targets]
    judges = [judge] if isinstance(judge, str) else judge or []
    called = [*(("simulator", one) for one in [simulator] if one is not None), *(("judge", one) for one in judges)]
    roles += [(role, model, len(targets)) for role, model in called]
    parts = []
    for role, model, times in roles:
        calls, sent, written = (times * number for number in expected[role])
        _, sent_most, written_most = (times * number for number in most[role])
        price = prices.of(model)
        money = (price.money(sent, written), price.money(sent_most, written_most)) if price else (None, None)
        parts.append(Part(role, model, int(calls), sent, written, sent_most, written_most, *money))
    return Forecast(conversations * len(targets), tuple(parts), sizes, prices)


def _tokens(n: int, total: int, pairs: int, sizes: Sizes, played: bool, full: bool) -> dict[str, tuple[float, float, float]]:
    """Calls, tokens read and tokens written of each role, in n conversations with `total` = sum of T and `pairs` = sum of T(T-1)/2."""
    texts = (sizes.opening, sizes.system, sizes.line, sizes.simulator_prompt, sizes.judge_prompt, sizes.frame)
    opening, system, line, simulator_prompt, judge_prompt, frame = (text / CHARACTERS_PER_TOKEN for text in texts)
    answer = sizes.target_most * (1 if full else sizes.target_share)
    verdict = sizes.judge_most * (1 if full else sizes.judge_share)
    line = sizes.simulator_most * (1 if full else sizes.simulator_share) if played else line
    lines = total - n
    tries = JUDGE_TRIES if full else 1
    target = total * (system + opening) + pairs * (answer + line) + MESSAGE_TOKENS * (total + 2 * pairs)
    simulator = lines * (simulator_prompt + opening) + pairs * (answer + frame) + (pairs - lines) * line
    simulator += MESSAGE_TOKENS * 2 * (pairs + lines)
    judge = n * (judge_prompt + system + opening) + total * (answer + 2 * frame) + lines * line + MESSAGE_TOKENS * 2 * n
    return {
        "target": (total, target, total * answer),
        "simulator": (lines, simulator, lines * line),
        "judge": (n, tries * judge, tries * n * verdict),
    }


@dataclass(frozen=True)
class Needs:
    """What a big run needs; `money` and `hours` are None where they are unknown, `storage` is the journal in bytes."""

    forecast: Forecast
    concurrency: int
    calls: int
    prompt_tokens: float
    completion_tokens: float
    money: float | None
    hours: float | None
    storage: float

    def __str__(self) -> str:
        hours = (
            "hours unknown without latency_seconds or tokens_per_second"
            if self.hours is None
            else f"about {self.hours:,.1f} hours"
        )
        size = f"{self.storage / 1e9:,.1f} GB" if self.storage >= 1e9 else f"{self.storage / 1e6:,.1f} MB"
        head = f"{self.forecast.conversations:,} conversations, {self.concurrency:,} side by side"
        return f"{head}: {hours}, a journal of about {size}.\n{self.forecast}"


def needs(
    conversations: int = 1_000_000,
    turns: int = 3,
    *,
    target: str,
    simulator: str | None = None,
    judge: str | None = None,
    concurrency: int = 64,
    latency_seconds: float | None = None,
    tokens_per_second: float | None = None,
    prices: Prices | None = None,
    sizes: Sizes | None = None,
) -> Needs:
    """What a big run needs: calls, tokens and money (as `forecast`), hours and storage.

    Hours: the calls of a conversation follow one another and `concurrency` conversations run side by side, so those of ceil(conversations
    / concurrency) conversations follow one another. What is written, over what the serving writes in a second, is the other
    bound; the greater holds. Neither has a default: only a measurement of one's own endpoint tells.

    Storage: the journal keeps each request with all its messages, and its reply: the text (a byte a character, as in English),
    `CALL_BYTES`, and the unfilled part of pages. The run's other files hold each conversation once.

    Args:
        conversations: How many.
        turns: Target turns of each.
        target: Address of the model under test.
        simulator: Address of the simulator, or None.
        judge: Address of the judge, or None.
        concurrency: Conversations side by side.
        latency_seconds: Seconds of a call, at that concurrency.
        tokens_per_second: New tokens that the serving writes in a second, over all conversations.
        prices: What models cost; by default `Prices.load()`.
        sizes: How long texts and answers are.

    Raises:
        InputError: A number that is not above 0.
    """
    given = {"concurrency": concurrency, "latency_seconds": latency_seconds, "tokens_per_second": tokens_per_second}
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value}; give a number above 0.")
    found = forecast(conversations, turns, target=target, simulator=simulator, judge=judge, prices=prices, sizes=sizes)
    calls = sum(part.calls for part in found.parts)
    sent, written = (math.fsum(getattr(part, name) for part in found.parts) for name in ("prompt_tokens", "completion_tokens"))
    bounds = []
    if latency_seconds is not None:
        bounds.append(math.ceil(conversations / concurrency) * (calls // conversations) * latency_seconds)
    if tokens_per_second is not None:
        bounds.append(written / tokens_per_second)
    return Needs(
        forecast=found,
        concurrency=concurrency,
        calls=calls,
        prompt_tokens=sent,
        completion_tokens=written,
        money=found.total("money"),
        hours=max(bounds) / 3600 if bounds else None,
        storage=math.fsum(part.calls * _stored(part) for part in found.parts),
    )


def _stored(part: Part) -> float:
    """Bytes of one call in the journal."""
    call = CALL_BYTES + CHARACTERS_PER_TOKEN * (part.prompt_tokens + part.completion_tokens) / max(part.calls, 1)
    return call + min(UNFILLED * call, UNFILLED_MOST)
