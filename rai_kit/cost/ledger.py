"""Tokens and money of model calls as they happen, and the budget that stops them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from rai_kit.cost.prices import TOKENS, Budget, Price, Prices, money_text
from rai_kit.schema import InputError, Reply

BLIND = 20
"""Under a budget, so many new answers of a model of which none has token counts end the run: nobody would see the budget passed."""

charged_to: ContextVar[str] = ContextVar("charged_to", default="")
"""Category to which the calls of the running task are charged."""


@dataclass(slots=True)
class _Account:
    """A model: its price, the tokens of its new and of its replayed calls, and its new answers without token counts."""

    price: Price | None
    prompt: int = 0
    completion: int = 0
    prompt_replayed: int = 0
    completion_replayed: int = 0
    blind: int = 0


@dataclass(slots=True)
class _Cell:
    """Calls of one role, model and category; `..._now` are those that this invocation made."""

    account: _Account
    made: int = 0
    replayed: int = 0
    uncounted: int = 0
    prompt: int = 0
    completion: int = 0
    prompt_now: int = 0
    completion_now: int = 0


@dataclass(slots=True, eq=False)
class _Conversation:
    """A conversation in flight; `admitted` says whether it may make new calls, and is None until that is decided."""

    cost: float = 0.0
    charged: bool = False
    waits: bool = False
    admitted: bool | None = None


_current: ContextVar[_Conversation | None] = ContextVar("conversation", default=None)


class Ledger:
    """Sums up calls by role, model and category, and keeps a budget. To be used from one thread.

    A replayed call counts too, since a budget is that of the whole run folder: the same command again does not spend it twice. But it costs
    nothing more, and so the budget stops new calls only. A failed call is no answer in the journal, and counts in its own run only.

    Args:
        prices: What models cost.
        budget: Where to stop; None never stops.
        expected: What a conversation will probably cost, in the budget's unit (`Forecast.each`); used until one has ended.
        paid: Tokens (read, written) by model that the journal's answers took before this invocation. Without it the budget learns of them
            only as they are replayed, and new calls that come first may pass it by as much.
    """

    def __init__(
        self,
        prices: Prices,
        budget: Budget | None = None,
        expected: float | None = None,
        paid: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.prices, self.budget, self.expected, self.paid = prices, budget, expected or 0.0, paid or {}
        self._in_money = budget is not None and budget.unit != TOKENS
        self._cells: dict[tuple[str, str, str], _Cell] = {}
        self._accounts: dict[str, _Account] = {}
        self._in_flight: set[_Conversation] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._ended, self._ended_cost = 0, 0.0
        self._fault: str | None = None

    def require_prices(self, addresses: Iterable[str | None]) -> None:
        """Refuses a budget in money where a model has no price; None, for no model, is passed over.

        Raises:
            InputError: It names all such models, and the file to edit.
        """
        lacking = self.prices.lacking(address for address in addresses if address is not None)
        if self._in_money and lacking:
            raise InputError(
                f"a budget of {self.budget} cannot be kept: {lacking}; add it there (RAI_KIT_PRICES names another file), "
                "or give the budget in tokens."
            )

    def add(self, role: str, model: str, reply: Reply, *, replayed: bool) -> None:
        """Charges one finished call to role, model and the category of `charged_to`."""
        key = (role, model, charged_to.get())
        cell = self._cells.get(key)
        if cell is None:
            account = self._accounts.setdefault(model, _Account(self.prices.of(model)))
            cell = self._cells[key] = _Cell(account)
        account = cell.account
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None or completion is None:
            cell.uncounted += 1
            account.blind += reply.cause is None and not replayed
            prompt, completion = prompt or 0, completion or 0
        cell.prompt += prompt
        cell.completion += completion
        if replayed:
            cell.replayed += 1
            account.prompt_replayed += prompt
            account.completion_replayed += completion
        else:
            cell.made += 1
            account.prompt += prompt
            account.completion += completion
            cell.prompt_now += prompt
            cell.completion_now += completion
        if self.budget is not None:
            conversation = self._conversation()
            if conversation is not None:
                conversation.charged = True
                conversation.cost += self._cost(account.price, prompt, completion)
            if self._in_money and account.price is None:
                self._fault = f"{self.prices.lacking([model])}; add it there, or give the budget in tokens."
            elif (
                account.blind >= BLIND
                and not account.prompt + account.prompt_replayed
                and not (self._in_money and account.price == Price(0, 0))
            ):
                self._fault = f"{model} reports no token counts; let it report `usage`, or run without a budget."

    def _cost(self, price: Price | None, prompt: int, completion: int) -> float:
        """In the budget's unit; a model without a price, under a budget in money, is a fault that ends the run."""
        return prompt + completion if not self._in_money else price.money(prompt, completion) if price else 0.0

    @property
    def spent(self) -> float:
        """All that was spent so far, replayed calls included, in the budget's unit (tokens without a budget)."""
        accounts = self._accounts.values()
        now = math.fsum(self._cost(one.price, one.prompt, one.completion) for one in accounts)
        replayed = math.fsum(self._cost(one.price, one.prompt_replayed, one.completion_replayed) for one in accounts)
        paid = math.fsum(self._cost(self.prices.of(model), *tokens) for model, tokens in self.paid.items())
        return now + max(replayed, paid)

    def exhausted(self) -> bool:
        """Whether all is spent: then no new call may be made; a replayed one costs nothing more.

        Raises:
            InputError: The budget cannot be kept: a model has no price, or never reports token counts.
        """
        if self.budget is None:
            return False
        if self._fault is not None:
            raise InputError(f"a budget of {self.budget} cannot be kept: {self._fault}")
        return self.spent >= self.budget.amount

    async def admits(self) -> bool:
        """Whether a new call may be made. To be asked before each.

        A conversation is let in with its first new call, when the budget holds what is spent, and what it and the others that
        were let in still lack of the mean cost: so that what is begun can probably be finished. Where it does not, the conversation waits
        until others have ended and shown what they cost, and is turned away when there is none to wait for. As long as none has ended,
        one is let in to find out what they cost.

        Raises:
            InputError: As `exhausted`.
        """
        conversation = self._conversation()
        if self.budget is not None and conversation is not None and conversation.admitted is None:
            while not self._fits(conversation) and self._will_tell(conversation):
                if not conversation.waits:  # whoever waited for this one knows now
                    conversation.waits = True
                    self._wake()
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await turn
            conversation.admitted = self._ended == 0 or self._fits(conversation)
        return not self.exhausted() and (conversation is None or conversation.admitted is not False)

    def _will_tell(self, one: _Conversation) -> bool:
        """Whether another conversation is under way that will show what one costs: let in, or replayed as long as none has ended."""
        others = (other for other in self._in_flight if other is not one)
        return any(other.admitted or (not self._ended and other.charged and not other.waits) for other in others)

    def _wake(self) -> None:
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()

    def _fits(self, one: _Conversation) -> bool:
        """Whether the budget holds what is spent, and what this conversation and those let in still lack of the mean cost."""
        mean = self._ended_cost / self._ended if self._ended else self.expected
        lacking = (max(mean - each.cost, 0.0) for each in {one, *(other for other in self._in_flight if other.admitted)})
        return self.budget is None or math.fsum([self.spent, *lacking]) <= self.budget.amount

    def _conversation(self) -> _Conversation | None:
        """The running task's conversation, if it has begun here."""
        conversation = _current.get()
        return conversation if conversation in self._in_flight else None

    def begin(self) -> None:
        """Marks the beginning of a conversation; its calls and its end belong into the same task."""
        conversation = _Conversation()
        self._in_flight.add(conversation)
        _current.set(conversation)

    def end(self) -> None:
        """Marks the end of the task's conversation. A replayed one is worth a new one in the mean; one without room is left out."""
        conversation = self._conversation()
        if conversation is None:
            raise RuntimeError("Ledger.end() needs a begin() in the same task")
        _current.set(None)
        self._in_flight.discard(conversation)
        if conversation.charged and conversation.admitted is not False:
            self._ended += 1
            self._ended_cost += conversation.cost
        self._wake()

    @contextmanager
    def conversation(self, category: str) -> Iterator[None]:
        """One conversation from its beginning to its end, its calls charged to a category."""
        token = charged_to.set(category)
        self.begin()
        try:
            yield
        finally:
            self.end()
            charged_to.reset(token)

    def rows(self) -> list[dict[str, Any]]:
        """One row a role, model and category, sorted.

        `prompt_tokens`, `completion_tokens` and `money` are those of all calls, made and replayed; `..._now` those of the calls made by
        this invocation. `money` is None without a price; where `uncounted` is above 0, tokens and money are lower bounds.
        """
        rows = []
        for (role, model, category), cell in sorted(self._cells.items(), key=lambda item: item[0]):
            price = cell.account.price
            rows.append(
                {"role": role, "model": model, "category": category}
                | {"made": cell.made, "replayed": cell.replayed, "uncounted": cell.uncounted}
                | {"prompt_tokens": cell.prompt, "completion_tokens": cell.completion}
                | {"prompt_tokens_now": cell.prompt_now, "completion_tokens_now": cell.completion_now}
                | {"money": price and price.money(cell.prompt, cell.completion)}
                | {"money_now": price and price.money(cell.prompt_now, cell.completion_now)}
                | {"currency": self.prices.currency}
            )
        return rows

    def totals(self) -> dict[str, Any]:
        """Sums of the rows; `money` is None where a model has no price, and `money_known` is what the others cost."""
        rows = self.rows()
        counts = (
            "made",
            "replayed",
            "uncounted",
            "prompt_tokens",
            "completion_tokens",
            "prompt_tokens_now",
            "completion_tokens_now",
        )
        sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in counts}
        unpriced = sorted({row["model"] for row in rows if row["money"] is None})
        for name in ("money", "money_now"):
            known = math.fsum(row[name] or 0.0 for row in rows)
            sums |= {name: None if unpriced else known, name.replace("money", "money_known"): known}
        budget = None if self.budget is None else asdict(self.budget)
        return sums | {"unpriced": unpriced, "currency": self.prices.currency, "budget": budget}

    def brief(self) -> str:
        """A few words for a progress bar: all tokens, and the money of the models that have a price."""
        sums = [
            (one.price, one.prompt + one.prompt_replayed, one.completion + one.completion_replayed)
            for one in self._accounts.values()
        ]
        text = f"{sum(read + written for _, read, written in sums):,} tokens"
        priced = [price.money(read, written) for price, read, written in sums if price is not None]
        return f"{text}, {money_text(math.fsum(priced))} {self.prices.currency}" if any(priced) else text

    def summary(self) -> str:
        """One line for people."""
        sums = self.totals()
        if not sums["made"] + sums["replayed"]:
            return "no calls"
        replayed = f" ({sums['replayed']:,} from the journal)" if sums["replayed"] else ""
        least, without = ("at least ", f" (calls without counts: {sums['uncounted']:,})") if sums["uncounted"] else ("", "")
        return (
            f"{sums['made'] + sums['replayed']:,} calls{replayed}, {least}{sums['prompt_tokens']:,} tokens in and "
            f"{sums['completion_tokens']:,} out{without}, {self._money_words(sums)}"
        )

    def _money_words(self, sums: dict[str, Any]) -> str:
        known: dict[str, list[float]] = {}
        unknown: dict[str, None] = {}
        least = bool(sums["unpriced"])
        for row in sorted(self.rows(), key=lambda row: (row["role"] != "target", row["role"] == "simulator")):
            if row["money"] is None:
                unknown[row["role"]] = None
            else:
                known.setdefault(row["role"], []).append(row["money"])
                least |= row["uncounted"] > 0 and self.prices.of(row["model"]) != Price(0, 0)
        lacking = self.prices.lacking(sums["unpriced"])
        if not known:
            return f"money unknown: {lacking}"
        by_role = ", ".join(f"{role} {money_text(math.fsum(money))}" for role, money in known.items())
        others = (
            f"; {' and '.join('part of ' * (role in known) + role for role in unknown)} unknown: {lacking}" if unknown else ""
        )
        now = f", of which {money_text(sums['money_known_now'])} now" if sums["replayed"] else ""
        return f"{'at least ' * least}{money_text(sums['money_known'])} {self.prices.currency}{now} ({by_role}{others})"
