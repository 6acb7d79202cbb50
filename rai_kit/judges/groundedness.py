"""How far an answer goes beyond the passage that it should be grounded in.

The answer is cut into claims (sentences and their main clauses). A claim is unsupported where it brings a number, a unit or a
name that the passage lacks, puts one name or number of the passage in another's place, says the opposite of the passage's closest
sentence, consists mostly of words that the passage lacks, or strings together words that the passage never brings together. Left
out on purpose: knowledge of the world and inference beyond sums, differences and shares of two figures. A correct but freely
worded paraphrase may count as partly unsupported, and an invention made wholly of one sentence's words is not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import combinations, pairwise

from rai_kit.judges.claims import claims, clauses, means, own_tokens
from rai_kit.judges.figures import NUMERIC, Figures
from rai_kit.judges.tokens import LIGHT_WORDS, Token, read, sentences

STEPS = ((0.8, 4), (0.5, 3), (0.15, 2), (0.03, 1))
"""Share of unsupported claims above which each ungroundedness is reached: most of all 4, more than half 3, one in six 2, a trace
1."""
DECIDED = 0.5
"""Unsupportedness from which a claim matters; where none reaches it, trifles alone give at most 1."""
FULL, NONE = 0.75, 0.35
"""Share of a claim's words found in the passage from which it counts as supported, and below which as unsupported."""
ENOUGH = 3
"""Words that carry meaning from which on those that the passage lacks weigh in full."""
TOGETHER, APART = 0.45, 0.1
"""The same for the share of neighbouring words of the claim that stand in one sentence of the passage."""
CLOSE = 0.6
"""How alike a claim and a sentence are (0-1) from which an ordinary word put for another tells that they differ."""
HEARSAY = 0.5
"""How unsupported a claim is whose name comes from the user alone: it may be the subject asked about, or a false premise
taken over."""
COUNTS = (2, 3)
"""Numbers that may be counted from what the passage lists; the claim is as unsupported as hearsay."""
TRIFLE = 0.25
"""How unsupported a claim is that follows a sentence of the passage with one word of its own, or as certain what was only
likely."""
_HEDGE = re.compile(
    r"\b(?:may|might|perhaps|probably|possibly|said to|one theory|unclear|thought|seems?|apparently|suspect\w*|likely|would|could|"
    r"whether|estimate\w*|about|some|planned|expected|hold it|reckon\w*|believed?|infer)\b",
    re.IGNORECASE,
)
_REAL_HEDGE = re.compile(
    r"\b(?:might|perhaps|probably|possibly|said to|one theory|unclear|apparently|likely|may be due|reckon)\b", re.I
)
_ABSENCE = re.compile(
    r"\b(?:missing|absent|lack\w*|gone|cancelled|empty|refus\w+|fail\w*|avoid\w*|prevent\w*|except|unless|banned|no longer|any more|"
    r"instead|rather than|otherwise|apart from)\b"
)


@dataclass(frozen=True, slots=True)
class Groundedness:
    """What of an answer the passage supports.

    Attributes:
        claims: Number of claims found; one that is repeated counts once.
        unsupported: Sum over claims of how unsupported each is, 0-1 apiece.
        share: `unsupported` over `claims`, 0-1; 0 where there are no claims.
        score: Ungroundedness 0-4 by `STEPS`.
        worst: The least supported claim, if any is unsupported.
        reason: Why, in words.
    """

    claims: int
    unsupported: float
    share: float
    score: int
    worst: str | None = None
    reason: str | None = None


def groundedness(answer: str, context: str, question: str = "") -> Groundedness:
    """Measures ungroundedness of `answer` in `context`, 0 (every claim supported) to 4 (none).

    Saying that the passage does not tell, greetings, questions, talk about the conversation and refusals make no claim. Words
    that only the question has neither support a claim nor speak against it, unless the claim has no others; a name that only the
    question has counts half.
    """
    passage = _passage(context)
    asked = {token.key for sentence in sentences(question) for token in read(sentence) if token.kind in ("content", "name")}
    findings = [(claim, *_unsupported(claim, passage, asked)) for claim in claims(answer, passage.has)]
    if not findings:
        return Groundedness(claims=0, unsupported=0.0, share=0.0, score=0)
    total = sum(finding[1] for finding in findings)
    share = total / len(findings)
    worst = max(findings, key=lambda finding: finding[1])
    score = next((step for above, step in STEPS if share > above), 0)
    if worst[1] < DECIDED:
        score = min(score, 1)
    found = worst[1] >= TRIFLE
    return Groundedness(len(findings), total, share, score, worst[0] if found else None, worst[2] if found else None)


class _Passage:
    """A passage, read once."""

    def __init__(self, text: str) -> None:
        self.texts = sentences(text)
        self.tokens = [read(sentence) for sentence in self.texts]
        self.keys = [{token.key for token in tokens if means(token)} for tokens in self.tokens]
        self.stems = set().union(*self.keys) if self.keys else set()
        self.prefixes = {key[:5] for key in self.stems if len(key) >= 5}
        self.figures = Figures(self.tokens)

    def has(self, key: str) -> bool:
        return key in self.stems or (len(key) >= 5 and key[:5] in self.prefixes)


@lru_cache(maxsize=256)
def _passage(text: str) -> _Passage:
    return _Passage(text)


def _unsupported(claim: str, passage: _Passage, asked: set[str]) -> tuple[float, str]:
    """How unsupported a claim is, 0-1, and why."""
    tokens = own_tokens(claim, passage.has)
    findings = []
    for token in tokens:
        if token.kind in NUMERIC and token.word.lower() != "one":
            reason = passage.figures.lacking(token, claim)
            if reason and (token.unit or token.value not in COUNTS):
                return 1.0, reason
            findings.append((HEARSAY if reason else 0.0, reason or ""))
    names = [token for token in tokens if token.kind == "name" and not passage.has(token.key)]
    strange = [token.word for token in names if token.key not in asked]
    if strange:
        return 1.0, f"the passage lacks the name {strange[0]}"
    said = {token.key: token for token in tokens if token.kind in ("content", "name")}
    words = [token for token in said.values() if token.key not in LIGHT_WORDS or passage.has(token.key)]
    keys = [token.key for token in words]
    counted = [key for key in keys if passage.has(key) or key not in asked] or keys
    findings.append(_at_closest(tokens, claim, passage))
    if names:
        findings.append((HEARSAY, f"only the user named {names[0].word}"))
    if counted:
        coverage = sum(map(passage.has, counted)) / len(counted)
        missing = [token.word for token in words if not passage.has(token.key)]
        strange_words = _falling(coverage, FULL, NONE) * min(1.0, len(counted) / ENOUGH)
        apart, reason = _apart([key for key in keys if passage.has(key)], passage)
        if len(keys) < 4 and coverage == 1:
            apart = 0.0
        findings.append(
            (min(1.0, strange_words + apart), f"the passage lacks {', '.join(missing[:3])}" if strange_words else reason)
        )
    return max(findings, key=lambda finding: finding[0])


def _falling(share: float, full: float, none: float) -> float:
    return min(1.0, max(0.0, (full - share) / (full - none)))


def _apart(keys: Sequence[str], passage: _Passage) -> tuple[float, str]:
    """How far the claim brings together what the passage keeps apart."""
    links = []
    for one, other in pairwise(keys):
        if one != other:
            mine = [place for place, stems in enumerate(passage.keys) if one in stems]
            theirs = [place for place, stems in enumerate(passage.keys) if other in stems]
            if mine and theirs:
                near = min(abs(here - there) for here in mine for there in theirs)
                links.append((1.0 if near == 0 else 0.5 if near == 1 else 0.0, f"{one} and {other}"))
    if not links:
        return 0.0, ""
    share = sum(link for link, _ in links) / len(links)
    return _falling(share, TOGETHER, APART), f"the passage does not bring together {min(links)[1]}"


def _at_closest(tokens: Sequence[Token], claim: str, passage: _Passage) -> tuple[float, str]:
    """What speaks against the claim in the sentences closest to it: the least of those that are as close as the closest."""
    mine = [token for token in tokens if means(token)]
    keys = {token.key for token in mine}
    shared = [len(keys & theirs) for theirs in passage.keys]
    if not shared or max(shared) < max(1, 0.5 * len(keys)):
        return 0.0, ""
    near = [place for place, count in enumerate(shared) if count >= max(shared) - (max(shared) > 4)]
    return min((_against(tokens, claim, passage, place) for place in near), key=lambda finding: finding[0])


def _against(tokens: Sequence[Token], claim: str, passage: _Passage, place: int) -> tuple[float, str]:
    """What speaks against a claim in one sentence of the passage."""
    theirs = passage.tokens[place]
    # "All singers were missing" says what "without singers" says: such words deny in ways that are not read here.
    absent = set(_ABSENCE.findall(claim.lower()))
    for token in tokens:
        if token.kind not in ("function", "not"):
            same = [other for other in theirs if other.key == token.key]
            heads = token.head or any(other.head for other in same)
            antonym = all(other.opposite != token.opposite for other in same)
            if same and all(other.denied != token.denied for other in same) and (heads or antonym):
                part = next((each for each in clauses(passage.texts[place]) if same[0].word in each), passage.texts[place])
                if absent ^ set(_ABSENCE.findall(part.lower())):
                    continue
                return 1.0, f"the passage says the opposite ({same[0].word}, not {token.word})"
    return max(_exchanged(tokens, theirs, passage, place), _surer(claim, tokens, passage, place), key=lambda finding: finding[0])


def _surer(claim: str, tokens: Sequence[Token], passage: _Passage, place: int) -> tuple[float, str]:
    said = {token.key for token in tokens if means(token)}
    for clause in clauses(passage.texts[place]):
        hedge = _REAL_HEDGE.search(clause)
        follows = len(said) >= 3 and len(said & {token.key for token in read(clause)}) >= 0.75 * len(said)
        if follows and hedge and not _HEDGE.search(claim):
            return TRIFLE, f"the passage says {hedge[0].lower()}, and the answer says it is so"
    return 0.0, ""


def _exchanged(tokens: Sequence[Token], theirs: Sequence[Token], passage: _Passage, place: int) -> tuple[float, str]:
    """Whether something stands where a sentence that the claim follows has something else."""
    mine = [token for token in tokens if token.word not in ",;:()"]
    theirs = [token for token in theirs if token.word not in ",;:()"]
    matcher = SequenceMatcher(None, [token.key for token in mine], [token.key for token in theirs], autojunk=False)
    steps = matcher.get_opcodes()
    held = {token.key for token in theirs}
    worst = (0.0, "")
    swaps = []
    for number, (step, start, end, their_start, their_end) in enumerate(steps):
        if step != "replace":
            continue
        before = number > 0 and steps[number - 1][0] == "equal"
        after = number + 1 < len(steps) and steps[number + 1][0] == "equal"
        sides = [steps[side] for side in (number - 1, number + 1) if 0 <= side < len(steps) and steps[side][0] == "equal"]
        anchors = sum(1 + means(token) for side in sides for token in mine[side[1] : side[2]])
        if not before:
            their_start = max(their_start, their_end - (end - start) - 1)
        elif not after:
            their_end = min(their_end, their_start + (end - start) + 1)
        said = [token for token in mine[start:end] if means(token)]
        meant = [token for token in theirs[their_start:their_end] if means(token)]
        if not said or not meant or anchors < 2 or not (before or after):
            continue
        swaps.append(({token.key for token in said}, {token.key for token in meant}))
        fresh = [token for token in said if token.key not in held or (token.kind == "number" and before and after)]
        if not fresh or len(said) > 3 or len(meant) > 4:
            continue
        kinds = [
            token for token in fresh if token.kind == "name" or (token.kind in NUMERIC and token.key in passage.figures.keys)
        ]
        alike = [token for token in meant if any(token.kind == kind.kind for kind in kinds)]
        if alike:
            return 1.0, f"the passage says {alike[0].word} where the answer says {kinds[0].word}"
        if before and after and matcher.ratio() > CLOSE and fresh[0].kind == "content" and fresh[0].key not in LIGHT_WORDS:
            away = passage.has(fresh[0].key)
            found = (DECIDED if away else TRIFLE, f"the passage says {meant[0].word} where the answer says {fresh[0].word}")
            worst = max(worst, found, key=lambda finding: finding[0])
    for (one, its), (other, others) in combinations(swaps, 2):
        if one & others and its & other:
            return 1.0, "the passage has it the other way round"
    return max(worst, _turned(mine, theirs), key=lambda finding: finding[0])


def _turned(mine: Sequence[Token], theirs: Sequence[Token]) -> tuple[float, str]:
    """Whether two names change places around the same words."""
    for one, other in combinations(
        [(at, token) for at, token in enumerate(mine) if token.kind == "name" or token.kind == "number"], 2
    ):
        there = [at for at, token in enumerate(theirs) if token.key == one[1].key]
        then = [at for at, token in enumerate(theirs) if token.key == other[1].key]
        if len(there) != 1 or len(then) != 1 or there[0] < then[0] or one[1].key == other[1].key:
            continue
        between = [token.key for token in mine[one[0] + 1 : other[0]] if token.kind != "name"]
        if set(between) - {"and", "or", "to"} and between == [
            token.key for token in theirs[then[0] + 1 : there[0]] if token.kind != "name"
        ]:
            return 1.0, f"{one[1].word} and {other[1].word} have changed places"
    return 0.0, ""
