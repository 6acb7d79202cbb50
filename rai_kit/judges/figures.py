"""Whether a passage has a figure that an answer gives, or leads to it: rounding, shares, totals, differences, spans of years.

A figure follows from the passage only where the claim says how ("in all", "more", "for 28 years"): two figures of a passage add
up to many others. Left out on purpose: products, conversion of units, and counting what the passage lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise

from rai_kit.judges.tokens import ORDINALS, PARTS, Token, clock_key, number_key, share_key

NUMERIC = ("number", "clock", "share")
_TOTAL = re.compile(r"\b(?:total\w*|altogether|together|both|combined|in all|sum|comes? to|add\w* up|makes)\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\b(?:differ\w*|more|fewer|less|remain\w*|left|margin|cheaper|dearer|extra|another|(?:rose|fell|grew|shrank|increased?|"
    r"decreased?|won|lost|beat\w*) (?:\w+ ){0,3}?by|lost|missing|higher|lower|shallower|deeper|longer|shorter|older|younger)\b",
    re.IGNORECASE,
)
_SPAN = re.compile(r"\b(?:years?|decades?|until|since|later|earlier|lasted)\b", re.IGNORECASE)
_ABOUT = r"(?:about|around|nearly|almost|over|roughly|some|approximately|more than|under|just)"
ROUNDED = 0.05
"""Largest error, as a share, of a figure that is called round."""
NEAR_SHARE, NEAR_PER_CENT = 3, 1
"""Largest error, in points of per cent, of a share in words (`a third`) and of a percentage."""


class Figures:
    """The figures of a passage, read once, and what follows from two of them."""

    def __init__(self, sentences: Sequence[Sequence[Token]]) -> None:
        self.numbers = [token for tokens in sentences for token in tokens if token.kind in NUMERIC]
        words = {token.word.lower() for tokens in sentences for token in tokens}
        self.keys = {token.key for token in self.numbers}
        self.keys |= {number_key(value) for word, value in ORDINALS.items() if word in words}
        self.keys |= {share_key(1 / part) for word, part in PARTS.items() if word in words}
        self.sums: set[float] = set()
        self.alike: set[tuple[float, str]] = set()
        self.differences: set[float] = set()
        self.spans: set[float] = set()
        self.per_cent = [100 * token.value for token in self.numbers if token.kind == "share"]
        self.per_cent += [token.value for token in self.numbers if token.unit == "%"]
        self._combine([[token for token in tokens if token.kind == "number"] for tokens in sentences])

    def _combine(self, sentences: list[list[Token]]) -> None:
        for here, there in pairwise([*sentences, []]):
            for one, other in combinations([*here, *there], 2):
                self.sums.add(one.value + other.value)
                self.differences.add(abs(one.value - other.value))
                if one.unit and one.unit == other.unit:
                    self.alike.add((one.value + other.value, one.unit))
                if one.value and other.value:
                    self.per_cent.append(100 * min(one.value, other.value) / max(one.value, other.value))
                if 1000 <= max(one.value, other.value) <= 2100:
                    self.spans |= {one.value + other.value, abs(one.value - other.value)}
            if len(here) > 2:
                self.sums.add(sum(token.value for token in here))
        years = {token.value for tokens in sentences for token in tokens if 1000 <= token.value <= 2100 and not token.unit}
        self.spans |= {abs(one - other) for one, other in combinations(sorted(years), 2)}

    def lacking(self, token: Token, claim: str) -> str | None:
        """Why the passage does not support a figure of a claim; None where it does."""
        known = [other for other in self.numbers if other.key == token.key]
        if known and token.unit and all(other.unit and other.unit != token.unit for other in known):
            return f"the passage has {token.word} {known[0].unit}, not {token.unit}"
        if known or token.key in self.keys or self._follows(token, claim) or self._rounds(token, claim):
            return None
        return f"the passage lacks the number {token.word}"

    def _follows(self, token: Token, claim: str) -> bool:
        if token.kind == "clock":
            return token.value % 60 == 0 and number_key(token.value // 60 or 12) in self.keys
        if token.kind == "share" or token.unit == "%":
            part = token.value if token.kind == "share" else token.value / 100
            near = NEAR_SHARE if token.kind == "share" else NEAR_PER_CENT
            return share_key(part) in self.keys or any(abs(100 * part - other) <= near for other in self.per_cent)
        return (
            clock_key(token.value * 60) in self.keys
            or (token.value, token.unit) in self.alike
            or (token.value in self.sums and bool(_TOTAL.search(claim)))
            or (token.value in self.differences and bool(_DIFFERENCE.search(claim)))
            or (token.value in self.spans and bool(_SPAN.search(claim)))
        )

    def _rounds(self, token: Token, claim: str) -> bool:
        if token.kind != "number" or token.value < 20 or token.value % (10 if token.value < 100 else 50):
            return False
        word = re.escape(token.word)
        if not re.search(rf"(?i)\b{_ABOUT} (?:\w+ )?{word}\b|\b{word} (?:\w+ )?or so\b", claim):
            return False
        known = [other.value for other in self.numbers] + sorted(self.spans if _SPAN.search(claim) else ())
        return any(value > 20 and abs(value - token.value) <= ROUNDED * value for value in known)
