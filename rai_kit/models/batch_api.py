"""The Batch API of an endpoint, as far as chat completions need it: files up, batches made and asked after, lines down.

A batch is made of a file once: where the reply to its making was lost, it is looked for before another one is made. Deleting
files is left out on purpose; an endpoint forgets those of batches by itself after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rai_kit.models import wire
from rai_kit.models.chat import ChatModel
from rai_kit.schema import InputError, Reply

if TYPE_CHECKING:
    from openai import APIError
    from openai.types import Batch

_PATH: Final = "/v1/chat/completions"
_CREATIONS = 5  # tries of making a batch of a file
_NEWEST = 1000  # batches among which one is looked for
_NOT_DONE = ("batch_expired", "batch_cancelled")


class _Problem(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Answer(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class Line(msgspec.Struct):
    """One line of an output or error file."""

    custom_id: str
    response: _Answer | None = None
    error: _Problem | None = None


_LINE = msgspec.json.Decoder(Line)


class BatchAPI:
    """The files and batches of the endpoint of a model.

    Args:
        model: The model; its key and address are used.
        pause: Seconds before a lost batch is looked for.
    """

    def __init__(self, model: ChatModel, pause: float) -> None:
        self._client = model.openai_client().with_options(max_retries=5)
        self._pause = pause
        self._key_variable = model._endpoint.address.key_variable
        self._secrets = [self._client.api_key] if isinstance(self._client.api_key, str) else []
        self.who = f"model '{model.address}': {model.identity}"

    async def close(self) -> None:
        await self._client.close()

    async def upload(self, data: bytes) -> str:
        """Uploads a file of `encoded` lines; its id."""
        file = await self._client.files.create(file=("calls.jsonl", data, "application/jsonl"), purpose="batch")
        return file.id

    async def create(self, file: str) -> str:
        """Makes a batch of a file; its id.

        Raises:
            openai.APIError: `definite` says whether there is certainly no such batch.
        """
        import openai

        once = self._client.with_options(max_retries=0)
        for attempt in range(1, _CREATIONS + 1):
            try:
                batch = await once.batches.create(
                    completion_window="24h", endpoint=_PATH, input_file_id=file, metadata={"made_by": "rai_kit"}
                )
                return batch.id
            except openai.APIError as error:
                if definite(error) or attempt == _CREATIONS:
                    raise
            found = await self.find(file)
            if found is not None:
                return found
        raise AssertionError("the last try returns or raises")

    async def find(self, file: str) -> str | None:
        """The id of the batch that was made of a file, if there is one; a new one may not be listed at once."""
        found = await self._listed(file)
        if found is None:
            await asyncio.sleep(self._pause)
            found = await self._listed(file)
        return found

    async def _listed(self, file: str) -> str | None:
        import openai

        count = 0
        try:
            async for batch in self._client.batches.list(limit=100):
                count += 1
                if batch.input_file_id == file:
                    return batch.id
                if count >= _NEWEST:
                    break
        except openai.APIStatusError as error:
            if error.status_code not in (404, 405, 501):  # some endpoints have no list
                raise
        return None

    async def retrieve(self, id: str) -> Batch:
        return await self._client.batches.retrieve(id)

    async def lines(self, batch: Batch) -> tuple[list[Line], int]:
        """What an ended batch has brought, answers first, and the number of lines that could not be read."""
        import openai

        lines: list[Line] = []
        unreadable = 0
        for file in (batch.output_file_id, batch.error_file_id):
            if not file:
                continue
            try:
                data = (await self._client.files.content(file)).content
            except openai.NotFoundError:  # it is not kept for ever
                continue
            for text in data.split(b"\n"):
                try:
                    lines.append(_LINE.decode(text))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    unreadable += bool(text.strip())
        return lines, unreadable

    def read(self, line: Line, dropped: Iterable[str]) -> Reply | wire.Refused | None:
        """What a line says of its call; None where the call was not carried out.

        Args:
            line: A line of a file of the endpoint.
            dropped: Optional parameters that were left out of the call.

        Raises:
            InputError: As a live call: wrong key, unknown model, quota used up.
        """
        if line.response is not None:
            status, body = line.response.status_code, bytes(line.response.body)
        elif line.error is None or line.error.code in _NOT_DONE:
            return None
        elif line.error.code == "request_timeout":
            return Reply(cause="timeout", detail=line.error.message)
        else:
            status, body = 400, msgspec.json.encode({"error": line.error})
        found = wire.read(
            status, {}, body, who=self.who, key_variable=self._key_variable, dropped=tuple(dropped), secrets=self._secrets
        )
        return Reply(cause=found.cause, detail=found.detail) if isinstance(found, wire.Passing) else found

    def explained(self, error: Exception) -> InputError:
        """An error of the client as one sentence."""
        import openai

        kept = "what is finished is kept, and batches go on there: run the same command again"
        if not isinstance(error, openai.APIStatusError):
            return InputError(f"{self.who} does not answer ({' '.join(str(error).split())[:400]}); {kept}.")
        if error.status_code in (404, 405, 501):
            return InputError(f"{self.who} has no Batch API (HTTP {error.status_code}); judge live, without batches.")
        response = error.response
        try:
            found = wire.read(
                error.status_code,
                response.headers,
                response.content,
                who=self.who,
                key_variable=self._key_variable,
                secrets=self._secrets,
            )
        except InputError as told:
            return told
        return InputError(f"{self.who} did not take it ({getattr(found, 'detail', None) or error}); {kept}, or judge live.")


def encoded(key: str, request: Mapping[str, Any], model: ChatModel) -> bytes:
    """The line of a call in a file."""
    body = wire.arguments(request, model.name, model.left_out)
    return msgspec.json.encode({"custom_id": key, "method": "POST", "url": _PATH, "body": body}) + b"\n"


def definite(error: APIError) -> bool:
    """Whether the endpoint has refused, rather than failed or been out of reach."""
    status = getattr(error, "status_code", 500)
    return bool(status < 500 and status not in (408, 409, 425, 429))
