"""How far an answer goes beyond the passage that it should be grounded in.

The answer is cut into claims (sentences). A claim is unsupported where it brings a number or a name that the passage lacks,
says the
opposite of the passage's closest sentence, or consists mostly of words that the passage lacks. Left out on purpose:
world knowledge and inference; a correct but freely worded paraphrase may count as partly unsupported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rai_kit.judges.features import stem
from rai_kit.judges.lexicon import STOPWORDS

STEPS = ((0.75, 4), (0.5, 3), (0.25, 2), (0.06, 1))
"""Share of unsupported claims above which each ungroundedness is reached: any but a trace gives 1, above a quarter 2, half 3,
three quarters 4."""
FULL, NONE = 0.75, 0.35
"""Share of a claim's words found in the passage from which it counts as supported, and below which as unsupported."""
HEARSAY = 0.5
"""How unsupported a claim is whose name comes from the user alone: it may be the subject asked about, or a false premise
taken over."""
SAYS_NOTHING = re.compile(
    r"\b(?:(?:passage|text|context|article|document|information|source|report|story|it|"
    r"author)\b[^.!?]{0,60}?\b(?:does not|doesn't|did not|didn't|do not|don't|is not|isn't|never|no)\b|"
    r"not (?:mentioned|stated|specified|given|provided|said|clear|known|possible to (?:say|tell))|"
    r"no (?:information|mention|details?)|cannot (?:be (?:determined|answered|said)|tell|say|answer|find)|"
    r"can't (?:tell|say|answer|find)|i (?:do not|don't) know|unanswerable|nothing (?:is said|about))",
    re.IGNORECASE,
)
TALK = re.compile(
    r"^\W*(?:sure|certainly|of course|okay|yes|no|hello|hi|thanks?|you're welcome|here(?:'s| is|"
    r" are)[^.!?]{0,80}:|let me know|is there anything|i hope|feel free|"
    r"i(?:'m| am) sorry|sorry|i (?:can't|cannot|won't|will not|am unable)|as an ai)\b",
    re.IGNORECASE,
)
_NEGATIONS_TEXT = (
    "not no never none nobody nothing neither nor without cannot cant wont didnt doesnt dont isnt wasnt arent "
    "werent hasnt havent hadnt couldnt wouldnt "
)
NEGATIONS = frozenset(_NEGATIONS_TEXT.split())
_OPPOSITES_TEXT = (
    "increas/decreas rise/fall rose/fell grew/shrank more/less higher/lower before/after first/last open/clos "
    "north/south east/west win/los won/lost succeed/fail allow/forbid accept/reject approv/reject old/young "
    "larg/small big/small early/late warm/cold hot/cold safe/dangerous true/false alive/dead buy/sell bought/sold "
    "male/female married/divorc built/demolish found/abolish arriv/depart always/never all/none cheap/expensiv "
    "legal/illegal support/oppos public/private day/night left/right best/worst begin/end began/ended summer/winter "
)
OPPOSITES = tuple(tuple(pair.split("/")) for pair in _OPPOSITES_TEXT.split())
_UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_UP_TO_TWENTY.split())}
NUMBER_WORDS |= {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80"}
NUMBER_WORDS |= {"ninety": "90", "hundred": "100", "dozen": "12"}


@dataclass(frozen=True, slots=True)
class Groundedness:
    """What of an answer the passage supports.

    Attributes:
        claims: Number of claims found.
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

    Saying that the passage does not tell, greetings, questions and refusals make no claim. Words that only the question has
    neither support a claim nor speak against it, unless the claim has no others; a name that only the question has counts half.
    """
    passage = _Passage(context)
    asked = set(_stems(question))
    findings = [(sentence, *_unsupported(sentence, passage, asked)) for sentence in _claims(answer)]
    if not findings:
        return Groundedness(claims=0, unsupported=0.0, share=0.0, score=0)
    total = sum(finding[1] for finding in findings)
    share = total / len(findings)
    score = next((step for above, step in STEPS if share > above), 0)
    worst = max(findings, key=lambda finding: finding[1])
    found = worst[1] >= 0.5
    return Groundedness(len(findings), total, share, score, worst[0] if found else None, worst[2] if found else None)


class _Passage:
    """A passage, read once: stems, numbers and negation of each sentence, and of the whole."""

    def __init__(self, text: str) -> None:
        self.sentences = [set(_stems(sentence)) for sentence in _sentences(text)]
        self.negated = [_negated(sentence) for sentence in _sentences(text)]
        self.stems = set(_stems(text))
        self.prefixes = {word[:5] for word in self.stems if len(word) >= 5}
        self.numbers = _numbers(text)

    def has(self, word: str) -> bool:
        return word in self.stems or (len(word) >= 6 and word[:5] in self.prefixes)


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])[\"'\u201d)]*\s+|\n+", text) if re.search(r"\w", part)]


def _claims(answer: str) -> list[str]:
    found = []
    for sentence in _sentences(answer):
        if (
            sentence.endswith("?")
            or (TALK.match(sentence) and len(sentence.split()) < 12)
            or sentence.endswith(":")
            or SAYS_NOTHING.search(sentence)
        ):
            continue
        if _stems(sentence) or _numbers(sentence):
            found.append(sentence)
    return found


def _stems(text: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", text.lower().replace("'", "").replace("\u2019", ""))
    return [
        stem(word)
        for word in words
        if word not in STOPWORDS and word not in NEGATIONS and word not in NUMBER_WORDS and len(word) > 1
    ]


def _numbers(text: str) -> set[str]:
    text = re.sub(r"(?m)^\s*(?:\(?\d{1,2}[.)]|[-*•])\s", " ", text.lower())
    digits = {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    return digits | {NUMBER_WORDS[word] for word in re.findall(r"[a-z]+", text) if word in NUMBER_WORDS and word != "one"}


def _negated(text: str) -> bool:
    words = re.findall(r"[a-z]+", text.lower().replace("'", "").replace("\u2019", ""))
    return sum(word in NEGATIONS for word in words) % 2 == 1


def _names(sentence: str) -> list[str]:
    words = re.findall(r"[^\W\d_]+", sentence)
    return [
        word
        for place, word in enumerate(words)
        if place and word[0].isupper() and word.lower() not in STOPWORDS and len(word) > 1
    ]


def _unsupported(sentence: str, passage: _Passage, asked: set[str]) -> tuple[float, str]:
    """How unsupported a claim is, 0-1, and why."""
    numbers = sorted(_numbers(sentence) - passage.numbers)
    if numbers:
        return 1.0, f"the passage lacks the number {numbers[0]}"
    names = [name for name in _names(sentence) if not passage.has(stem(name.lower())) and stem(name.lower()) not in asked]
    if names:
        return 1.0, f"the passage lacks the name {names[0]}"
    stems = list(dict.fromkeys(_stems(sentence)))
    counted = [word for word in stems if passage.has(word) or word not in asked] or stems
    if not counted:
        return 0.0, ""
    coverage = sum(map(passage.has, counted)) / len(counted)
    closest, shared, denied = _closest(stems, passage, _negated(sentence))
    if closest is not None and denied >= 0.5 and denied > shared:
        return 1.0, "the passage says the opposite"
    if closest is not None and shared >= 0.5:
        theirs = passage.sentences[closest]
        for one, other in OPPOSITES:
            for said, meant in ((one, other), (other, one)):
                if _any(stems, said) and not _any(theirs, said) and _any(theirs, meant):
                    return 1.0, f"the passage says the opposite ({meant}, not {said})"
    echoed = [name for name in _names(sentence) if not passage.has(stem(name.lower()))]
    if coverage >= FULL:
        return (HEARSAY, f"only the user named {echoed[0]}") if echoed else (0.0, "")
    share = min(1.0, (FULL - coverage) / (FULL - NONE))
    missing = [word for word in counted if not passage.has(word)]
    return share, f"the passage lacks {', '.join(missing[:3])}"


def _any(stems: list[str] | set[str], start: str) -> bool:
    return any(word == start or (len(start) >= 5 and word.startswith(start)) for word in stems)


def _closest(stems: list[str], passage: _Passage, negated: bool) -> tuple[int | None, float, float]:
    """The closest sentence of the passage, the share of the claim's words in the closest that agrees in negation, and in the
    closest that does not."""
    shares = [sum(word in sentence for word in stems) / max(len(stems), 1) for sentence in passage.sentences]
    if not shares:
        return None, 0.0, 0.0
    agreeing = max((share for share, no in zip(shares, passage.negated, strict=True) if no == negated), default=0.0)
    denying = max((share for share, no in zip(shares, passage.negated, strict=True) if no != negated), default=0.0)
    return max(range(len(shares)), key=shares.__getitem__), agreeing, denying
