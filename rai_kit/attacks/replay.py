"""Sends a recorded attack again, word for word, to whatever target there is now.

A replay does not read the answers: it says what was said to another model, and so understates what an attacker would reach who does.
Replayed and adaptive attacks are therefore reported apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from rai_kit.attacks.session import Session
from rai_kit.schema import AttackGoal, Query, digest


@dataclass(frozen=True)
class Replay:
    """The messages of a recorded attempt, in their order and in the same conversations.

    Attributes:
        strategy: Name of the strategy that made them.
        queries: What was sent.
    """

    strategy: str
    queries: tuple[Query, ...]

    @property
    def name(self) -> str:
        """The strategy's."""
        return self.strategy

    def __repr__(self) -> str:
        said = digest([(query.message, query.after) for query in self.queries])
        return f"Replay(strategy={self.strategy!r}, {len(self.queries)} messages, said='{said}')"

    async def __call__(self, goal: AttackGoal, session: Session) -> None:
        reached: list[int | None] = []  # for each recorded query: the query by which its conversation has come that far
        for query in self.queries:
            before = None if query.after is None else reached[query.after]
            sent = await session.ask(query.message, after=before, plain=query.plain)
            reached.append(len(session.queries) - 1 if sent.answer else before)
