"""How many calls an endpoint gets at a time, and when it gets none: adaptive concurrency, pauses and a circuit breaker in one.

There is no limit until the endpoint says that it has too much (429, 503, a timeout). From then on the limit follows the
share of calls that were turned away, so that a few stray refusals cost little and a real limit is found within a few rounds:
`limit x (1 - share/2)` for a window of calls with refusals, a tenth more for one without.

Source: the control law of Data Center TCP (Alizadeh et al., SIGCOMM 2010, section 3.1), with refusals in place of marked packets.
"""

from __future__ import annotations

import asyncio
from collections import deque

_GAIN = 0.5
"""Weight of the last window in the running share of refusals."""
TRIP = 5
"""Failures in a row, without any answer between, after which calls go one at a time, with growing pauses."""
LONGEST_PAUSE = 30.0


class Pace:
    """The gate of one endpoint in one event loop. `enter` before a call, `leave` after it.

    Attributes:
        in_flight: Calls under way.
        limit: Most calls at a time; infinite until the endpoint turned one away.
        failures: Failures in a row.
        silent_since: When the first of these failures happened, in the loop's time; None while answers come.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.limit = float("inf")
        self.failures = 0
        self.silent_since: float | None = None
        self._share = 1.0
        self._seen = self._refused = self._peak = 0
        self._closed_until = 0.0
        self._pause = 0.5
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def tripped(self) -> bool:
        """Whether the circuit is open: one call at a time finds out whether the endpoint is back."""
        return self.failures >= TRIP

    def _open(self, now: float) -> bool:
        return now >= self._closed_until and self.in_flight < (1 if self.tripped else int(min(self.limit, 1e9)))

    async def enter(self) -> None:
        """Waits until the endpoint may get another call."""
        loop = asyncio.get_running_loop()
        if self._waiting or not self._open(loop.time()):
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.in_flight -= 1  # the place was given already
                    self._wake()
                raise
        else:
            self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)

    def leave(self, *, overload: bool = False, failure: bool = False, after: float | None = None) -> None:
        """Ends a call.

        Args:
            overload: The endpoint turned it away for having too much to do.
            failure: The endpoint did not answer, or not with anything sensible.
            after: The pause (s) that it asked for; all calls keep it.
        """
        now = asyncio.get_running_loop().time()
        self.in_flight -= 1
        if failure:
            self.failures += 1
            self.silent_since = self.silent_since or now
            if self.tripped and now >= self._closed_until:  # of many that fail at once, one counts
                self._closed_until = now + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
        elif not overload:
            self.failures, self.silent_since, self._pause = 0, None, 0.5
        if after is not None:
            self._closed_until = max(self._closed_until, now + after)
        self._adapt(overload)
        self._wake()

    def _adapt(self, overload: bool) -> None:
        self._seen += 1
        self._refused += overload
        window = self._peak if self.limit == float("inf") else int(self.limit)
        if self._seen < window:
            return
        share = self._refused / self._seen
        self._share += _GAIN * (share - self._share)
        if self._refused:
            self.limit = max(1.0, min(self.limit, self._peak) * (1 - self._share / 2))
        elif self.limit != float("inf"):
            self.limit += max(1.0, self.limit / 10)
        self._seen = self._refused = 0
        self._peak = self.in_flight

    def _wake(self) -> None:
        """Lets in whom there is room for; while the endpoint is paused, comes back when the pause is over."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._open(now):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
        if self._waiting and now < self._closed_until and (self._timer is None or self._timer.when() < now):
            self._timer = loop.call_at(self._closed_until, self._again)

    def _again(self) -> None:
        self._timer = None
        self._wake()


def backoff(attempt: int, random: float) -> float:
    """Seconds before try `attempt` + 1 (from 1): doubling from half a second to half a minute, the upper half of it left to chance."""
    return min(0.5 * 2.0 ** (attempt - 1), 30.0) * (0.5 + random / 2)
