"""Work that is cheaper together: what is asked for while one batch is at work waits, and is the next batch.

Nothing waits without cause: a lone call is worked on at once. Left out on purpose: any delay in the hope of company.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")

MOST = 64
"""Items of a batch at most, so that the first of them need not wait for very many."""


class Together(Generic[Asked, Found]):
    """Turns a function of many items into a coroutine of one, for one event loop. The function runs in a thread, once at a time.

    Args:
        work: Items -> results, in their order. Results must not depend on what else is in the batch.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Found]]) -> None:
        self._work = work
        self._waiting: list[tuple[Asked, asyncio.Future[Found]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, item: Asked) -> Found:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._all())
        return await future

    async def _all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOST]
                del self._waiting[: len(batch)]
                try:
                    results = await asyncio.to_thread(self._work, [item for item, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():  # whoever asked may have been cancelled
                        future.set_result(result)
        finally:
            self._worker = None
