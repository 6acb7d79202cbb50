"""The chat API on the wire, as pure functions: what is sent, and what an answer means.

Every answer of an endpoint is one of four things: a `Reply` (also one with a cause: filtered, empty, refused by the endpoint), a
`Passing` fault that is worth another try, the name of an optional parameter that this endpoint does not know, or an
`InputError` that no repetition would mend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from rai_kit.schema import InputError, Reply

OPTIONAL = ("json_schema", "response_format", "max_tokens", "temperature", "seed")
"""Parameters that some endpoints refuse: left out (or renamed) from the first refusal on, for all further calls."""


class MalformedError(ValueError):
    """A 200 that is no chat completion."""


@dataclass(frozen=True, slots=True)
class Passing:
    """A fault that may pass: its cause, the endpoint's words, whether it asked for less, and the pause that it asked for (s)."""

    cause: str
    detail: str
    overload: bool = False
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An optional parameter that the endpoint does not know."""

    parameter: str


def arguments(request: Mapping[str, Any], model: str, dropped: Collection[str] = ()) -> dict[str, Any]:
    """The JSON body of `POST /chat/completions` for a call as the journal keeps it."""
    body = {
        "model": model,
        "messages": request["messages"],
        "temperature": request["temperature"],
        "max_tokens": request["max_tokens"],
        "seed": request["seed"],
    }
    if request["json_schema"] is not None and "json_schema" not in dropped:
        schema = {"name": "answer", "schema": request["json_schema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "max_tokens" in dropped:  # newer OpenAI models know it under this name only
        body["max_completion_tokens"] = body["max_tokens"]
    for name in dropped:
        body.pop(name, None)
    return body


def completion(body: Any) -> Reply:
    """The reply in the decoded body of a 200.

    Raises:
        MalformedError: The body is no chat completion.
    """
    try:
        usage = body.get("usage") or {}
        counts: dict[str, Any] = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
        if not all(count is None or (isinstance(count, int) and count >= 0) for count in counts.values()):
            raise MalformedError("token counts that are no numbers")
        if not body["choices"]:
            return Reply(cause="empty", detail="the endpoint sent no choice", **counts)
        choice = body["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message.get("content") or message.get("refusal") or ""
        if not isinstance(text, str) or not isinstance(finish, str | None):
            raise MalformedError("a content that is no text")
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise MalformedError(f"no chat completion ({type(error).__name__}: {error})") from None
    text = text.strip()
    if finish == "content_filter":
        return Reply(cause="filtered", detail=text, finish_reason=finish, **counts)
    if not text:
        return Reply(cause="empty", finish_reason=finish, **counts)
    return Reply(text=text, finish_reason=finish, **counts)


def read(
    status: int,
    headers: Mapping[str, str],
    data: bytes,
    *,
    who: str,
    key_variable: str,
    dropped: Collection[str] = (),
    secrets: Collection[str] = (),
) -> Reply | Passing | Refused:
    """What an endpoint's answer means.

    Args:
        status: HTTP status.
        headers: Its headers, looked up in lower case.
        data: Its body.
        who: Model and place, for the sentences.
        key_variable: The environment variable that holds the key.
        dropped: Optional parameters that are left out already.
        secrets: What must not be handed on even if the endpoint repeats it: the key. Very short ones are placeholders.

    Raises:
        InputError: The error is permanent: wrong key, unknown model, quota used up, redirect, a wait beyond `PATIENCE`.
    """

    # As they are, and as JSON of PHP and .NET quotes them.
    variants = [kind for one in secrets if len(one) >= 8 for kind in (one, one.replace("/", "\\/"), one.replace("+", "\\u002b"))]

    def hidden(text: str) -> str:
        for variant in variants:
            text = text.replace(variant, "[key]")
        return text

    try:
        found = _read(status, headers, data, who, key_variable, dropped, hidden)
    except InputError as error:
        raise InputError(hidden(str(error))) from None
    if isinstance(found, Reply):
        text, detail = hidden(found.text), found.detail and hidden(found.detail)
        return found if (text, detail) == (found.text, found.detail) else replace(found, text=text, detail=detail)
    return replace(found, detail=hidden(found.detail)) if isinstance(found, Passing) else found


def _read(
    status: int,
    headers: Mapping[str, str],
    data: bytes,
    who: str,
    key_variable: str,
    dropped: Collection[str],
    hidden: Callable[[str], str],
) -> Reply | Passing | Refused:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if status == 200:
        try:
            return completion(body)
        except MalformedError as problem:
            return Passing("malformed", f"{problem}: {_words(data, hidden)}")
    error = body.get("error", body) if isinstance(body, dict) else None
    code = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
    said = hidden(str(error.get("message") or error)) if isinstance(error, dict) else _words(data, hidden)
    words = f"HTTP {status}: {' '.join(said.split())[:400]}"
    about = f"{code} {said}".lower()
    if status in (401, 403):
        raise InputError(f"{who} refused the key ({status}); set {key_variable} in the environment.")
    if "insufficient_quota" in about or status == 402:
        raise InputError(
            f"{who}: the quota of this key is used up ({words}); what is finished is kept: run the same command later."
        )
    if status in (404, 405) or "model_not_found" in about or (status == 400 and _UNKNOWN_MODEL.search(about)):
        raise InputError(f"{who} knows no such model or path: {words}")
    if 300 <= status < 400:
        raise InputError(f"{who} redirects to {headers.get('location', 'another place')}; give that address if it is yours.")
    if status in (408, 409, 425, 429) or status >= 500:
        after = retry_after(headers)
        if after is not None and after > PATIENCE:
            raise InputError(
                f"{who} asks to come back in {after:.0f} s ({words}); run the same command then: it goes on from here."
            )
        overload = status in (429, 503)
        return Passing("rate_limited" if status == 429 else "error", words, overload, after)
    if _FILTERED.search(about):
        return Reply(cause="filtered", detail=words)
    if "context" in about and ("exceed" in about or "length" in about):  # such sentences may name max_tokens, too
        return Reply(cause="context_exceeded", detail=words)
    refused = next((name for name in OPTIONAL if name in about and name not in dropped), None)
    return Reply(cause="error", detail=words) if refused is None else Refused(refused)


_FILTERED = re.compile(r"content_filter|content_policy|content management policy|content policy|usage polic(?:y|ies)")
_UNKNOWN_MODEL = re.compile(r"model\b.{0,120}?\b(?:does not exist|not found|not exist)|(?:invalid|unknown) model")
PATIENCE = 600.0
"""The longest pause (s) that an endpoint may ask for; and how long one that does not answer is waited for."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
            except (ValueError, TypeError):
                continue
        if seconds == seconds:  # NaN is a float, too
            return max(0.0, seconds)
    return None


def _words(data: bytes, hidden: Callable[[str], str]) -> str:
    """The beginning of a body; what is to be hidden is hidden first, since half a key is one still."""
    return " ".join(hidden(data.decode("utf-8", "replace"))[:2000].split())[:400]
