"""Best-of-N: the same request again and again, its letters perturbed, until one of the answers gives way.

The baseline for every success@k: it shows what mere repetition brings. The first query is the request as it stands.
Left out on purpose: other perturbations than of letters, and any reading of the answers.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from rai_kit.attacks.session import Session
from rai_kit.schema import AttackGoal


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """Asks outright, and then with perturbed letters in a new conversation each time; it never gives up by itself.

    Attributes:
        scrambled: Share of the words longer than three letters whose inner letters are shuffled.
        capitals: Share of the letters whose case is turned.
        swapped: Share of the letters that change places with the next one.

    Source: Hughes et al. 2024, arXiv 2412.03556; there, characters are replaced by their neighbours in ASCII where here two change places.
    """

    scrambled: float = 0.6
    capitals: float = 0.6
    swapped: float = 0.06
    name: ClassVar[str] = "best_of_n"

    async def __call__(self, goal: AttackGoal, session: Session) -> None:
        message = goal.request
        while True:
            await session.ask(message, plain=goal.request)
            message = self.perturbed(goal.request, session.rng)

    def perturbed(self, text: str, rng: random.Random) -> str:
        """The text with the same letters and the same words' places, but for their order within a word and their case."""
        text = re.sub(r"[^\W\d_]{4,}", lambda word: _scrambled(word[0], rng) if rng.random() < self.scrambled else word[0], text)
        letters, n = list(text), 0
        while n < len(letters) - 1:
            if letters[n].isalpha() and letters[n + 1].isalpha() and rng.random() < self.swapped:
                letters[n], letters[n + 1] = letters[n + 1], letters[n]
                n += 1
            n += 1
        # Beyond ASCII a letter's other case may be two letters.
        return "".join(
            one.swapcase() if one.isascii() and one.isalpha() and rng.random() < self.capitals else one for one in letters
        )


def _scrambled(word: str, rng: random.Random) -> str:
    inner = list(word[1:-1])
    rng.shuffle(inner)
    return word[0] + "".join(inner) + word[-1]
