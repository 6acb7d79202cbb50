"""Judging by the Batch API: half the price and no rate limits, within a day instead of at once.

The journal is the meeting point. A judge that is given `Collecting` in place of its model finds stored answers and leaves the other
calls pending; `settle` has them answered in batches, into the journal under the calls' own keys; asked again, the judge finds
them. What was judged in batches and what was judged live are therefore the same result, and either completes the other.
"""

from __future__ import annotations

import asyncio
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rai_kit.cost import charged_to
from rai_kit.journal import call_key
from rai_kit.models.chat import ChatModel
from rai_kit.models.settling import journal_of, settle
from rai_kit.schema import Case, Judge, Message, Model, Reply, Verdict

__all__ = ["Collecting", "Requests", "judge_in_batches", "settle", "stream_in_batches"]

_DEPTH = 8  # rounds of a judge whose next call depends on the last one's answer


class Requests(Mapping[str, dict[str, Any]]):
    """Calls by key, in the order they were added. They lie in a nameless temporary file; only their places are in memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - the finalizer below closes it
        weakref.finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, key: str, request: Mapping[str, Any]) -> None:
        """Adds a call unless it is there."""
        if key not in self._places:
            text = msgspec.json.encode(request)
            self._places[key] = self._file.seek(0, 2), len(text)
            self._file.write(text)

    def clear(self) -> None:
        """Forgets all calls."""
        self._places.clear()
        self._file.truncate(0)

    def __getitem__(self, key: str) -> dict[str, Any]:
        start, length = self._places[key]
        self._file.seek(start)
        request: dict[str, Any] = msgspec.json.decode(self._file.read(length))
        return request

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Collecting:
    """Stands in for a model: gives what its journal holds, and notes every other call, with a reply whose cause is `pending`.

    Its `repr`, `identity` and all else are the model's, so that a judge has the same id with either. Calls are charged once each and
    as the model charges them, to the category that first asked. The price is that of a live call, so that the ledger says at most too
    much; for a judge that is only ever asked in batches, write the price of batches into the file of prices. Where a budget
    is used up, calls have the cause `budget`; one round of batches may pass it.

    Attributes:
        requests: Calls to be settled.
        failed: Calls that were settled without an answer, with the cause.
        pending: How often a call was left pending.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._journal = journal_of(model)
        self._category: dict[str, str] = {}
        self.requests = Requests()
        self.failed: dict[str, Reply] = {}
        self.pending = 0

    def __repr__(self) -> str:
        return repr(self._model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def __call__(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> Reply:
        request = self._model.request(messages, seed=seed, json_schema=json_schema)
        key = call_key(request)
        reply = self.failed.get(key) or self._journal.get(key)
        new = key not in self._category
        if reply is None and new and self._model.ledger is not None and self._model.ledger.exhausted():
            return Reply(cause="budget")
        self._category.setdefault(key, charged_to.get())
        if reply is None:
            self.requests.add(key, request)
            self.pending += 1
            return Reply(cause="pending")
        if new:
            self._model.charge(reply, replayed=True)
        return reply

    def take(self, key: str, reply: Reply) -> None:
        """Takes the reply to a call that was pending."""
        token = charged_to.set(self._category[key])
        self._model.charge(reply, replayed=False)
        charged_to.reset(token)
        if reply.cause is not None:
            self.failed[key] = reply


async def stream_in_batches(
    cases: Sequence[Case],
    judge_of: Callable[[Model], Judge],
    model: ChatModel,
    *,
    done: Callable[[int, Verdict], None],
    charged: Callable[[int], str] = lambda index: "",
    poll_seconds: float = 10.0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Judges cases by the Batch API: collects what the judge would ask, settles it, and judges again, until nothing is pending.

    A reply that the judge cannot use is asked for again with another seed; that is a second round of batches. Neither calls nor
    verdicts are kept in memory, and a case is looked up whenever it is judged.

    Args:
        cases: What is to be judged.
        judge_of: Makes the judge around a model; it is given a stand-in for `model`.
        model: The judge's model; it must have a journal.
        done: Takes a case's index and its verdict, the same as with live calls, as soon as it is found.
        charged: The category to which the calls of the case with an index are charged.
        poll_seconds: Seconds between the first two questions after a batch; they grow to twelve times that.
        progress: Called with a line of words whenever there is something new.

    Raises:
        InputError: As `settle`. What is finished is in the journal.
    """
    stand_in = Collecting(model)
    judge = judge_of(stand_in)
    left: Sequence[int] = range(len(cases))
    for depth in range(_DEPTH + 1):
        still = []
        for index in left:
            before = stand_in.pending
            token = charged_to.set(charged(index))
            verdict = await judge(cases[index])
            charged_to.reset(token)
            if stand_in.pending > before and depth < _DEPTH:
                still.append(index)
            else:
                done(index, verdict)
            await asyncio.sleep(0)  # so that Ctrl-C is heard between two cases
        left = still
        await settle(model, stand_in.requests, finished=stand_in.take, poll_seconds=poll_seconds, progress=progress)
        stand_in.requests.clear()
        if not left:
            break


async def judge_in_batches(
    cases: Sequence[Case],
    judge_of: Callable[[Model], Judge],
    model: ChatModel,
    *,
    charged: Callable[[int], str] = lambda index: "",
    poll_seconds: float = 10.0,
    progress: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """`stream_in_batches` with everything kept: verdicts in the order of the cases."""
    kept: dict[int, Verdict] = {}
    await stream_in_batches(
        cases, judge_of, model, done=kept.__setitem__, charged=charged, poll_seconds=poll_seconds, progress=progress
    )
    return [kept[index] for index in range(len(cases))]
