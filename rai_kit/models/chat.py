"""A chat model at an address: messages in, a `Reply` out, through the journal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rai_kit.journal import Journal, call_key
from rai_kit.models.address import parse_address
from rai_kit.models.endpoint import Endpoint
from rai_kit.schema import InputError, Message, Reply

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from rai_kit.cost import Ledger


@dataclass(frozen=True)
class ChatModel:
    """A chat model at an address: messages in, a `Reply` out. What shapes its replies is part of every call's key.

    Attributes:
        address: `MODEL[@WHERE]` (`rai_kit.models.address`).
        temperature: Sampling temperature.
        max_tokens: Most new tokens of a reply.
        journal: Where finished calls are kept and looked up; None calls anew each time.
        role: `target`, `simulator`, `judge`: under what its calls are charged.
        ledger: Where its calls are charged; when the ledger's budget is used up, replies have the cause `budget`.
        timeout: Most seconds of one try of a call; the embedded model, which nothing can lose, is given ten minutes at least.

    Raises:
        InputError: The address cannot be used (unknown form, no such weights, missing key), at construction; and, at a call, an
            error that no repetition would mend (nobody answers, wrong key, unknown model, quota used up).
    """

    address: str
    temperature: float = 0.7
    max_tokens: int = 96
    journal: Journal | None = field(default=None, repr=False, compare=False)
    role: str = field(default="target", repr=False, compare=False)
    ledger: Ledger | None = field(default=None, repr=False, compare=False)
    timeout: float = field(default=180.0, repr=False, compare=False)
    _endpoint: Endpoint = field(init=False, repr=False, compare=False)
    calls: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:  # NaN fails, too
            raise InputError(f"temperature is {self.temperature}; it must be a number, 0 or more.")
        for name, value in {"max_tokens": self.max_tokens, "timeout": self.timeout}.items():
            if not value > 0:
                raise InputError(f"{name} is {value}; it must be above 0.")
        endpoint = Endpoint(parse_address(self.address))
        object.__setattr__(self, "_endpoint", endpoint)
        object.__setattr__(self, "calls", {"made": 0, "replayed": 0, "prompt_tokens": 0, "completion_tokens": 0})
        if endpoint.weights is not None:
            object.__setattr__(self, "timeout", max(self.timeout, 600.0))

    @property
    def name(self) -> str:
        """The model's name at its endpoint."""
        return self._endpoint.address.name

    @property
    def identity(self) -> str:
        """What answers: the base URL, or the hash of the embedded weights and how they are served."""
        return self._endpoint.identity

    @property
    def place(self) -> tuple[str, str]:
        """Endpoint and model as they stand in the journal's requests."""
        return self._endpoint.identity, self._endpoint.address.name if self._endpoint.weights is None else ""

    @property
    def left_out(self) -> list[str]:
        """Parameters that the endpoint refused, and that its replies were therefore made without."""
        return sorted(self._endpoint.dropped)

    def request(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call as the journal keeps it: everything that shapes the answer."""
        endpoint, model = self.place
        return {
            "endpoint": endpoint,
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": seed,
            "json_schema": json_schema,
        }

    async def __call__(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> Reply:
        request = self.request(messages, seed=seed, json_schema=json_schema)
        key = call_key(request)
        reply = self.journal.get(key) if self.journal is not None else None
        if reply is not None:
            self.charge(reply, replayed=True)
            return reply
        if self.ledger is not None and not await self.ledger.admits():
            return Reply(cause="budget")
        reply = await self._endpoint.ask(request, self.timeout)
        self.charge(reply, replayed=False)
        return reply if self.journal is None else self.journal.put(key, request, reply)

    def charge(self, reply: Reply, *, replayed: bool) -> None:
        """Counts a finished call."""
        calls = self.calls
        if replayed:
            calls["replayed"] += 1
        else:
            calls["made"] += 1
            calls["prompt_tokens"] += reply.prompt_tokens or 0
            calls["completion_tokens"] += reply.completion_tokens or 0
        if self.ledger is not None:
            self.ledger.add(self.role, self.address, reply, replayed=replayed)

    def openai_client(self) -> AsyncOpenAI:
        """An `openai` client for this endpoint, for what goes beyond chat completions; the caller closes it."""
        return self._endpoint.client()

    async def close(self) -> None:
        """Closes the connections that belong to the running event loop."""
        await self._endpoint.close()
