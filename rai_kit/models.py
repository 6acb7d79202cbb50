"""Chat models over any OpenAI-compatible endpoint, each call kept in a journal.

An address is `MODEL[@WHERE]`: `gpt-4o` (the OpenAI API, or Azure's where its variables are set), `NAME@http://HOST:PORT/v1` (any
compatible endpoint), `smollm2-135m@embedded` or `FILE.gguf@embedded` (in this process). Keys come from the environment only:
`OPENAI_API_KEY` for the OpenAI API, `AZURE_OPENAI_API_KEY` for Azure, `RAI_KIT_API_KEY` for an address of one's own, so that the
OpenAI key is never sent anywhere else.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from rai_kit.journal import Journal, call_key
from rai_kit.schema import InputError, Message, Reply

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "https://api.openai.com/v1"
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Address:
    """A parsed model address: `name` as the endpoint knows it, `where` as the user gave it (None for the OpenAI API)."""

    name: str
    where: str | None

    def __str__(self) -> str:
        return self.name if self.where is None else f"{self.name}@{self.where}"


def parse_address(text: str) -> Address:
    """Parses `MODEL[@WHERE]`.

    Raises:
        InputError: An empty name, or a place that is neither `embedded` nor an http(s) URL.
    """
    found = re.fullmatch(r"(.+?)(?:@(embedded|https?://.+))?", text.strip())
    name, where = (found[1], found[2]) if found else ("", None)
    url = urlsplit(where or "")
    if url.username or url.password:
        raise InputError("a model address must not hold a user name or a password; put the key into RAI_KIT_API_KEY.")
    if not name or (where is None and "@" in name) or (url.scheme and not url.hostname):
        raise InputError(
            f"{text!r} is no model address; "
            "give NAME (OpenAI), NAME@http://HOST:PORT/v1, smollm2-135m@embedded or FILE.gguf@embedded."
        )
    return Address(name, where.rstrip("/") if where else None)


class _Endpoint:
    """Where a model is: its identity in the journal's keys, and one client for each event loop."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.weights: Path | None = None
        self.identity: str
        self.reached = False
        self.dropped: set[str] = set()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[AsyncOpenAI]] = WeakKeyDictionary()
        if address.where == EMBEDDED:
            from rai_kit import embedded

            self.weights = embedded.weights(address.name)
            self.identity = f"embedded:{embedded.fingerprint(self.weights)}:{embedded.SERVING}"
        elif address.where is None:
            self.identity = os.environ.get("AZURE_OPENAI_ENDPOINT") or os.environ.get("OPENAI_BASE_URL") or OPENAI
            _check_environment(address)
        else:
            self.identity = address.where

    async def client(self) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:  # one task connects for all who wait, so that a server is started once
            self._clients[loop] = loop.create_task(asyncio.to_thread(self._connect))
        return await asyncio.shield(self._clients[loop])

    def _connect(self) -> AsyncOpenAI:
        import openai

        settings: dict[str, Any] = {"max_retries": 5, "timeout": openai.Timeout(300, connect=10)}
        if self.weights is not None:
            from rai_kit import embedded

            server = embedded.serve(self.weights)
            return openai.AsyncOpenAI(base_url=server.base_url, api_key=server.api_key, **settings)
        if self.address.where is not None:
            key = os.environ.get("RAI_KIT_API_KEY") or "none"
            return openai.AsyncOpenAI(base_url=self.address.where, api_key=key, **settings)
        if os.environ.get("AZURE_OPENAI_ENDPOINT"):
            return openai.AsyncAzureOpenAI(**settings)
        return openai.AsyncOpenAI(**settings)

    async def close(self) -> None:
        connecting = self._clients.pop(asyncio.get_running_loop(), None)
        if connecting is not None and not connecting.cancelled() and connecting.exception() is None:
            await connecting.result().close()


def _check_environment(address: Address) -> None:
    """All missing variables at once, before anything is started."""
    needed = ["OPENAI_API_KEY"]
    if os.environ.get("AZURE_OPENAI_ENDPOINT"):
        needed = ["AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"]
    missing = [name for name in needed if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"model '{address}' needs {' and '.join(missing)} in the environment; set {'it' if len(missing) == 1 else 'them'}, "
            f"or give an address such as {address.name}@http://localhost:8000/v1 or smollm2-135m@embedded."
        )


@dataclass(frozen=True)
class ChatModel:
    """A chat model at an address: messages in, a `Reply` out. Its settings are part of every call's key.

    Attributes:
        address: `MODEL[@WHERE]`.
        temperature: Sampling temperature.
        max_tokens: Most new tokens of a reply.
        journal: Where finished calls are kept and looked up; None calls anew each time.

    Raises:
        InputError: The address cannot be used (unknown form, no such weights, missing key), at construction; and, at a call, an
            error that no repetition would mend (unreachable endpoint, wrong key, unknown model).
    """

    address: str
    temperature: float = 0.7
    max_tokens: int = 96
    journal: Journal | None = field(default=None, repr=False, compare=False)
    _endpoint: _Endpoint = field(init=False, repr=False, compare=False)
    calls: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_endpoint", _Endpoint(parse_address(self.address)))
        object.__setattr__(self, "calls", {"made": 0, "replayed": 0, "prompt_tokens": 0, "completion_tokens": 0})

    @property
    def identity(self) -> str:
        """What answers: the base URL, or the hash of the embedded weights and how they are served."""
        return self._endpoint.identity

    async def __call__(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> Reply:
        request: dict[str, Any] = {
            "endpoint": self.identity,
            "model": self._endpoint.address.name if self._endpoint.weights is None else "",
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": seed,
            "json_schema": json_schema,
        }
        key = call_key(request)
        reply = self.journal.get(key) if self.journal is not None else None
        if reply is not None:
            self.calls["replayed"] += 1
            return reply
        reply = await self._call(request)
        self.calls["made"] += 1
        self.calls["prompt_tokens"] += reply.prompt_tokens or 0
        self.calls["completion_tokens"] += reply.completion_tokens or 0
        if self.journal is not None:
            self.journal.put(key, request, reply)
        return reply

    async def _call(self, request: dict[str, Any]) -> Reply:
        import openai

        endpoint = self._endpoint
        client = await endpoint.client()
        for _ in range(len(_OPTIONAL) + 1):
            try:
                response = await client.chat.completions.create(**_arguments(request, endpoint))
            except openai.APITimeoutError as error:
                return Reply(cause="timeout", detail=str(error))
            except openai.APIConnectionError as error:
                if not endpoint.reached:
                    raise InputError(
                        f"model '{self.address}': nothing answers at {endpoint.identity}; start the server or correct the address."
                    ) from None
                return Reply(cause="unreachable", detail=str(error))
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise InputError(
                    f"model '{self.address}': {endpoint.identity} refused the key ({error.status_code}); "
                    f"set {_key_variable(endpoint.address)} in the environment."
                ) from None
            except openai.NotFoundError as error:
                raise InputError(
                    f"model '{self.address}': {endpoint.identity} knows no such model or path: {_words(error)}"
                ) from None
            except openai.BadRequestError as error:
                endpoint.reached = True
                words = _words(error)
                refused = next((name for name in _OPTIONAL if name in words and name not in endpoint.dropped), None)
                if getattr(error, "code", None) == "content_filter" or "content_filter" in words:
                    return Reply(cause="filtered", detail=words)
                if refused is None:
                    too_long = "context" in words and ("exceed" in words or "length" in words)
                    return Reply(cause="context_exceeded" if too_long else "error", detail=words)
                endpoint.dropped.add(refused)
            except openai.OpenAIError as error:
                return Reply(cause="error", detail=_words(error))
            else:
                endpoint.reached = True
                return _reply(response)
        return Reply(cause="error", detail="the endpoint refused one optional parameter after the other")

    async def close(self) -> None:
        """Closes the connections that belong to the running event loop."""
        await self._endpoint.close()


_OPTIONAL = ("json_schema", "response_format", "max_tokens", "temperature", "seed")
"""Parameters that some endpoints refuse: left out (or renamed) from the first refusal on, for all further calls."""


def _arguments(request: dict[str, Any], endpoint: _Endpoint) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": endpoint.address.name,
        "messages": request["messages"],
        "temperature": request["temperature"],
        "max_tokens": request["max_tokens"],
        "seed": request["seed"],
    }
    if request["json_schema"] is not None:
        schema = {"name": "answer", "schema": request["json_schema"], "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "max_tokens" in endpoint.dropped:  # newer OpenAI models know it under this name only
        arguments["max_completion_tokens"] = arguments["max_tokens"]
    if "json_schema" in endpoint.dropped:
        arguments.pop("response_format", None)
    return {name: value for name, value in arguments.items() if name not in endpoint.dropped}


def _reply(response: Any) -> Reply:
    usage = response.usage
    counts: dict[str, Any] = {
        "prompt_tokens": getattr(usage, "prompt_tokens", None),
        "completion_tokens": getattr(usage, "completion_tokens", None),
    }
    if not response.choices:
        return Reply(cause="empty", detail="the endpoint sent no choice", **counts)
    choice = response.choices[0]
    text = (choice.message.content or getattr(choice.message, "refusal", None) or "").strip()
    if choice.finish_reason == "content_filter":
        return Reply(cause="filtered", detail=text, finish_reason=choice.finish_reason, **counts)
    if not text:
        return Reply(cause="empty", finish_reason=choice.finish_reason, **counts)
    return Reply(text=text, finish_reason=choice.finish_reason, **counts)


def _key_variable(address: Address) -> str:
    if address.where is not None:
        return "RAI_KIT_API_KEY"
    return "AZURE_OPENAI_API_KEY" if os.environ.get("AZURE_OPENAI_ENDPOINT") else "OPENAI_API_KEY"


def _words(error: Exception) -> str:
    """An endpoint's own words, on one line and shortened."""
    return " ".join(str(error).split())[:500]
