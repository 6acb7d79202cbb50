"""Adaptive concurrency, pauses and the circuit breaker, in virtual time: no test waits."""

import asyncio
import itertools
import random

import pytest

from rai_kit.models.pace import LONGEST_PAUSE, TRIP, Pace, backoff


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer whenever nothing else is to be done."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


def virtual(work):
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work(loop), 1e6))
    finally:
        loop.close()


class Server:
    """Takes `room` calls at a time and turns others away at once; counts what it saw."""

    def __init__(self, room, latency=1.0):
        self.room, self.latency, self.busy, self.served, self.refused, self.most = room, latency, 0, 0, 0, 0

    async def call(self, pace):
        """One call, repeated until it is served."""
        for attempt in range(1, 1000):
            await pace.enter()
            self.busy += 1
            self.most = max(self.most, self.busy)
            overload = self.busy > self.room
            await asyncio.sleep(0.01 if overload else self.latency)
            self.busy -= 1
            pace.leave(overload=overload)
            if not overload:
                self.served += 1
                return
            self.refused += 1
            await asyncio.sleep(backoff(min(attempt, 3), 0.5))
        raise AssertionError("never served")


def many(server, workers, calls):
    async def work(loop):
        pace, left = Pace(), iter(range(calls))

        async def worker():
            for _ in left:
                await server.call(pace)

        await asyncio.gather(*(worker() for _ in range(workers)))
        return pace, loop.time()

    return virtual(work)


def test_an_endpoint_that_takes_all_gets_all():
    server = Server(room=1000)
    pace, seconds = many(server, workers=64, calls=640)
    assert server.most == 64
    assert pace.limit == float("inf")
    assert seconds == pytest.approx(10)


@pytest.mark.parametrize("room", [1, 4, 16, 48])
def test_the_limit_of_an_endpoint_is_found_and_kept(room):
    server = Server(room)
    pace, seconds = many(server, workers=64, calls=100 * room)
    assert server.served == 100 * room
    # Each way of missing it: far too many calls turned away, or slots left empty.
    assert server.refused < 0.35 * server.served + 64 * 6
    assert seconds < 100 * 1.6 + 20
    assert pace.limit < 2 * room + 2


def test_stray_refusals_cost_little():
    chance = random.Random(1)

    async def work(loop):
        pace, left = Pace(), iter(range(4000))

        async def worker():
            for _ in left:
                await pace.enter()
                await asyncio.sleep(0.05)
                pace.leave(overload=chance.random() < 0.05, failure=chance.random() < 0.05)

        await asyncio.gather(*(worker() for _ in range(64)))
        return loop.time()

    assert virtual(work) < 3 * 4000 * 0.05 / 64


def test_all_calls_keep_the_pause_that_an_endpoint_asks_for():
    async def work(loop):
        pace, times = Pace(), []

        async def call():
            await pace.enter()
            times.append(loop.time())
            await asyncio.sleep(0.1)
            pace.leave()

        await pace.enter()
        pace.leave(overload=True, after=7.0)
        await asyncio.gather(*(call() for _ in range(5)))
        return times

    assert min(virtual(work)) >= 7.0


def test_a_silent_endpoint_is_asked_by_one_call_at_a_time_and_ever_less_often():
    async def work(loop):
        pace, asked, busy = Pace(), [], []

        async def call(index):
            while True:
                await pace.enter()
                asked.append(loop.time())
                busy.append(pace.in_flight)
                back = loop.time() > 120
                await asyncio.sleep(0.01)
                pace.leave(failure=not back)
                if back:
                    return

        await asyncio.gather(*(call(index) for index in range(20)))
        return asked, busy, pace

    asked, busy, pace = virtual(work)
    down = [time for time in asked if 0.1 < time <= 120]
    assert len(down) < 15
    assert set(busy[20 + TRIP : 20 + len(down)]) <= {1}
    assert max(later - earlier for earlier, later in itertools.pairwise(down)) <= LONGEST_PAUSE + 0.1
    assert not pace.tripped
    assert pace.silent_since is None
    assert pace.in_flight == 0
    assert max(busy[-10:]) > 1, "after one answer all may ask again"


def test_a_cancelled_waiter_takes_no_place():
    async def work(loop):
        pace = Pace()
        pace.limit = 1
        await pace.enter()
        waiting = [asyncio.ensure_future(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pace.leave()  # gives the place to the second, which is cancelled before it runs
        waiting[1].cancel()
        await asyncio.sleep(0)
        await waiting[2]
        assert pace.in_flight == 1
        pace.leave()
        await pace.enter()
        return pace.in_flight

    assert virtual(work) == 1


def test_pauses_double_up_to_half_a_minute_and_never_vanish():
    assert [backoff(attempt, 1.0) for attempt in (1, 2, 3, 7, 50)] == [0.5, 1, 2, 30, 30]
    assert backoff(3, 0.0) == 1
