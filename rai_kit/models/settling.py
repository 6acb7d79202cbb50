"""Has calls answered by the Batch API: submit, poll, collect, resume.

Nothing is paid twice: an uploaded file is noted in the journal before a batch is made of it, the batch as soon as it has a name, and the
next process takes up both. Only two processes that settle the same calls at the same time would each submit them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rai_kit.journal import Journal
from rai_kit.models import wire
from rai_kit.models.batch_api import BatchAPI, Line, definite, encoded
from rai_kit.models.chat import ChatModel
from rai_kit.schema import InputError, Reply

if TYPE_CHECKING:
    from openai.types import Batch

MOST_REQUESTS = 10_000
"""Most calls of a batch. 50,000 are allowed; what a smaller one brings can be read at once."""
MOST_BYTES = 100_000_000
"""Most bytes of a batch's file. 200 MB are allowed at OpenAI, 100 MB at others."""
ROUNDS = 3
"""How often a call is submitted whose batches end without it."""
PATIENCE = 26 * 3600.0
"""Seconds for which batches are asked after: the window of 24 hours, and a margin."""
_SILENCE = 30  # rounds of polls without an answer; the client has tried each several times
_MISSING = 3  # polls that say that there is no such batch, before it is believed
_FILE = "file:"  # begins the journal's note of a file of which a batch may or may not have been made
_ENDED = ("completed", "failed", "expired", "cancelled")


async def settle(
    model: ChatModel,
    requests: Mapping[str, dict[str, Any]],
    *,
    finished: Callable[[str, Reply], None],
    poll_seconds: float = 10.0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Has calls answered by the Batch API, into the model's journal. Cancelled at any moment, it goes on when called again.

    Batches of an earlier process are taken up, and only what they do not hold is submitted. A parameter that the endpoint refuses is left
    out from then on, as with live calls, but each costs a round of its batch; one live call before teaches that in seconds.

    Args:
        model: The model; it must have a journal.
        requests: Calls as `ChatModel.request` makes them, by `call_key`; none of them is in the journal.
        finished: Called with each call's key and reply when it is in the journal: an answer, or a cause as live calls have it
            (`timeout` where batches ended without it). Nothing is charged here.
        poll_seconds: Seconds between the first two questions after a batch; they grow to twelve times that.
        progress: Called with a line of words whenever there is something new.

    Raises:
        InputError: There is no Batch API, or it did not take the batch (wrong key, model, form), or it does not end. Batches under way go
            on at the endpoint, and the next call collects them.
    """
    import openai

    journal = journal_of(model)
    for id, keys in journal.batches(model.identity).items():
        if all(journal.get(key) for key in keys):  # a process ended between storing and forgetting
            journal.drop_batch(id)
    if not requests:
        return
    api = BatchAPI(model, poll_seconds)
    settling = _Settling(model, journal, api, requests, finished, poll_seconds, progress or (lambda words: None))
    try:
        await settling.run()
    except openai.APIError as error:
        raise api.explained(error) from None
    finally:
        await api.close()


def journal_of(model: ChatModel) -> Journal:
    """The journal of a model, without which there are no batches."""
    if model.journal is None:
        raise InputError(f"model '{model.address}' has no journal, in which batches leave their answers; give it one.")
    return model.journal


@dataclass
class _Settling:
    """The state of one `settle`: every call is waiting, in an open batch, or finished."""

    model: ChatModel
    journal: Journal
    api: BatchAPI
    requests: Mapping[str, dict[str, Any]]
    finished: Callable[[str, Reply], None]
    poll_seconds: float
    progress: Callable[[str], None]
    waiting: deque[str] = field(default_factory=deque)
    open: dict[str, list[str]] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    most: int = field(default_factory=lambda: MOST_REQUESTS)
    one_by_one: bool = False
    silent: int = 0
    said: str = ""

    async def run(self) -> None:
        await self.take_up()
        pause, until = self.poll_seconds, time.monotonic() + PATIENCE
        while self.waiting or self.open:
            if await self.submit():
                pause, until = self.poll_seconds, time.monotonic() + PATIENCE
            counts = [await self.look(id) for id in list(self.open)]
            done = len(self.requests) - len(self.waiting) - sum(map(len, self.open.values())) + sum(counts)
            self.say(f"batches: {done:,} of {len(self.requests):,} calls answered")
            if not self.open:
                continue
            if time.monotonic() > until:
                raise InputError(
                    f"{self.api.who} has not ended {', '.join(self.open)} within {PATIENCE / 3600:.0f} hours; "
                    "run the same command later to collect it, or cancel it there and run the same command."
                )
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 12 * self.poll_seconds)

    def say(self, words: str) -> None:
        if words != self.said:
            self.progress(words)
        self.said = words

    async def take_up(self) -> None:
        """Finds what earlier processes have under way; all else is waiting."""
        place, under_way = self.model.identity, set[str]()
        for id, keys in self.journal.batches(place).items():
            ours = [key for key in keys if key in self.requests and key not in under_way]
            if not ours:
                continue
            if id.startswith(_FILE):
                found = await self.api.find(id.removeprefix(_FILE))
                if found is not None:
                    self.journal.add_batch(found, place, keys)
                self.journal.drop_batch(id)
                if found is None:
                    continue
                id = found
            self.open[id] = ours
            under_way.update(ours)
            self.say(f"{id}: under way already, calls: {len(ours):,}")
        self.waiting.extend(key for key in self.requests if key not in under_way)

    async def submit(self) -> bool:
        """Makes batches of what waits; whether there was any."""
        import openai

        some = False
        place = self.model.identity
        while self.waiting and not (self.one_by_one and self.open):
            keys, data = self.pack()
            note = _FILE + (file := await self.api.upload(data))
            self.journal.add_batch(note, place, keys)
            try:
                id = await self.api.create(file)
            except openai.APIError as error:
                if definite(error):
                    self.journal.drop_batch(note)
                raise
            self.journal.add_batch(id, place, keys)
            self.journal.drop_batch(note)
            self.open[id] = keys
            self.tries.update(keys)
            self.say(f"{id}: submitted, calls: {len(keys):,}; it goes on there if this ends, and the same command collects it")
            some = True
        return some

    def pack(self) -> tuple[list[str], bytes]:
        """Takes as many waiting calls as one file holds."""
        keys: list[str] = []
        data = bytearray()
        while self.waiting and len(keys) < self.most:
            line = encoded(self.waiting[0], self.requests[self.waiting[0]], self.model)
            if keys and len(data) + len(line) > MOST_BYTES:
                break
            keys.append(self.waiting.popleft())
            data += line
        return keys, bytes(data)

    async def look(self, id: str) -> int:
        """Asks after a batch, and collects it if it has ended; the number of calls that are answered in it, while it is open."""
        import openai

        try:
            batch = await self.api.retrieve(id)
            lines, unreadable = await self.api.lines(batch) if batch.status in _ENDED else ([], 0)
        except openai.NotFoundError:
            self.missing[id] += 1
            if self.missing[id] >= _MISSING:
                self.journal.drop_batch(id)
                self.again(self.open.pop(id), f"{id} is not known any more")
            return 0
        except openai.APIError as error:
            self.silent += 1
            if definite(error) or self.silent >= _SILENCE * len(self.open):
                raise
            return 0
        self.silent = 0
        if batch.status not in _ENDED:
            counts = batch.request_counts
            return min(counts.completed + counts.failed, len(self.open[id])) if counts else 0
        if batch.status == "failed" and not lines:
            self.turned_down(batch)
        else:
            self.collect(batch, lines, unreadable)
        return 0

    def turned_down(self, batch: Batch) -> None:
        """A batch that was not begun: too much at a time is split, all else is for the user."""
        keys = self.open.pop(batch.id)
        self.journal.drop_batch(batch.id)
        errors = (batch.errors.data if batch.errors else None) or []
        words = "; ".join(" ".join((error.message or error.code or "").split())[:400] for error in errors[:3])
        if not (any(error.code == "token_limit_exceeded" for error in errors) and (self.open or len(keys) > 1)):
            raise InputError(
                f"{self.api.who} turned the batch down ({words or 'without a reason'}); "
                "mend that and run the same command, or judge live."
            )
        if not self.open:
            self.most = max(1, len(keys) // 2)
        self.one_by_one = True
        self.tries.subtract(keys)
        self.waiting.extend(keys)
        self.say(f"{batch.id} was too much at a time ({words}); the calls follow in one batch after another")

    def collect(self, batch: Batch, lines: list[Line], unreadable: int) -> None:
        """Stores what an ended batch has brought, and then forgets it; calls that it left out wait again."""
        place, left = self.model.identity, dict.fromkeys(self.open.pop(batch.id))
        others = set(self.journal.batches(place).get(batch.id, ())) - left.keys()
        known = others | left.keys()
        dropped = tuple(self.model.left_out)  # as it was, for all lines alike
        permanent: InputError | None = None
        strange = unreadable
        for line in lines:
            key = line.custom_id
            strange += key not in known
            if key not in left:
                continue
            try:
                found = self.api.read(line, dropped)
            except InputError as error:  # the others are stored first
                permanent = error
                continue
            if isinstance(found, wire.Refused):
                self.model._endpoint.dropped.add(found.parameter)
                self.tries[key] -= 1
            elif found is not None:
                self.finish(key, found)
                del left[key]
        if strange:
            self.say(f"{batch.id}: {strange:,} lines belong to no call and were passed over")
        rest = sorted(key for key in others if self.journal.get(key) is None)
        if rest:  # a run that asks for them will find them
            self.journal.add_batch(batch.id, place, rest)
        else:
            self.journal.drop_batch(batch.id)
        if permanent is not None:
            raise permanent
        self.again(list(left), f"{batch.id} ended without it ({batch.status})")

    def finish(self, key: str, reply: Reply) -> None:
        self.finished(key, self.journal.put(key, self.requests[key], reply))

    def again(self, keys: list[str], why: str) -> None:
        """Lets calls wait again, a bounded number of times."""
        for key in keys:
            if self.tries[key] < ROUNDS:
                self.waiting.append(key)
            else:
                self.finish(key, Reply(cause="timeout", detail=why, prompt_tokens=0, completion_tokens=0))
        if keys:
            self.say(f"{why}, calls: {len(keys):,}")
