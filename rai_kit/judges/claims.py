"""What an answer claims of a passage: its sentences, cut at main clauses, without talk and without saying that the passage is
silent.

Left out on purpose: whether the passage is silent indeed. An answer that wrongly says so claims nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rai_kit.judges.figures import NUMERIC
from rai_kit.judges.tokens import TALK_WORDS, Token, read, sentences

SAYS_NOTHING = re.compile(
    r"\b(?:passage|text|context|article|document|information|source|report|story|letter|author|writer|it|this|they)\b[^.!?;]{0,40}?"
    r"\b(?:does not|doesn't|did not|didn't|do not|don't|never)\b (?:\w+ly )?"
    r"(?:say|state|mention|specif|tell|give|provide|reveal|contain|include|indicat|explain|answer|name|discuss|address|know|offer|"
    r"describe)|"
    r"\b(?:is|are|was|were) (?:not|never) (?:\w+ly )?(?:(?:mentioned|stated|specified|said|told|possible to (?:say|tell)|"
    r"in the (?:passage|text))|(?:given|provided|clear|known|named)"
    r"(?= *(?:[.,;]|$|in the|here|from|who|what|whether|how|when|where|why|which)))|"
    r"\b(?:is|are|was) unknown\b|\bno (?:information|mention|details?)\b|"
    r"\bcannot (?:be (?:determined|answered|said)|tell|say|answer|find)\b|\bcan't (?:tell|say|answer|find)\b|"
    r"\bi (?:do not|don't) know\b|\bunanswerable\b|\bnothing (?:is said|about)\b|\bleaves? (?:it |this |that )?open\b",
    re.IGNORECASE,
)
TALK = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|okay|yes|no|hello|hi|thanks?|thank you|you(?:'re| are) (?:welcome|right|correct)|"
    r"let me|let's|let us|to summari[sz]e|dear|is there anything|feel free|please (?:note|let|go|find|share)|"
    r"in (?:summary|conclusion|short)|(?:i'm|i am) sorry|sorry|as an ai)\b|here(?:'s| is| are)\b[^.!?]{0,80}:|"
    r"i(?:'ll|'d|'m|'ve| am| will| can| can't| cannot| would| hope| have| apologi[sz]e| think| understand| don't| do not| won't|"
    r" added)\b)",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^\W*(?:(?:sure|certainly|yes|no|okay|of course)[,.!:]\s+|"
    r"(?:according to|based on|as per) (?:the|this) (?:passage|text|article|document|report)\W+|"
    r"(?:the|this) (?:passage|text|article|document|report|author) (?:says|states|mentions|explains|tells us|notes|describes)"
    r"(?: that)?\W+|(?:the )?answer(?: to (?:the|your) question[^:]*?)? is(?: that)?\W+|in summary,\s+|"
    r"(?:it is (?:said|stated|mentioned|noted) that)\W+)",
    re.IGNORECASE,
)
_CLAUSES = re.compile(
    r";\s+|,\s+(?=(?:and|but|while|whereas|although|though|so|because|since|which|who|whose|where|as)\s)|\s+[\u2013\u2014]\s+|:\s+"
)
_MARK = re.compile(r"^\s*(?:#+\s*|\(?\d{1,2}[.)]\s+|[-*\u2022\u2013]\s+|>\s*)+")
_LONGEST_HEADING = 5
_LEAST = 3


def claims(answer: str, known: Callable[[str], bool]) -> list[str]:
    """The claims of an answer, in order, each once.

    Args:
        answer: What was said; list marks, emphasis, headings, questions, and talk about the conversation are passed over.
        known: Whether the passage has a word, by its `Token.key`.
    """
    lines = [_MARK.sub("", line).strip() for line in answer.replace("**", "").splitlines() if line.strip()]
    kept = [line for line in lines if line and not (len(lines) > 1 and _is_heading(line) and not _quotes(line, known))]
    found: dict[str, None] = {}
    for sentence in sentences("\n".join(kept)):
        stripped = _LEAD.sub("", sentence)
        talk = stripped == sentence and TALK.match(sentence) and not _quotes(sentence, known)
        if talk or sentence.endswith(("?", ":")):
            continue
        for clause in clauses(stripped):
            if not SAYS_NOTHING.search(clause) and any(map(means, own_tokens(clause, known))):
                found.setdefault(clause)
    return list(found)


def clauses(sentence: str) -> list[str]:
    """The parts of a sentence that say something by themselves: at least three words that carry meaning each."""
    parts: list[str] = []
    for part in _CLAUSES.split(sentence):
        if parts and min(_weight(part), _weight(parts[-1])) < _LEAST:
            parts[-1] = f"{parts[-1]}, {part}"
        else:
            parts.append(part)
    return parts


def means(token: Token) -> bool:
    """Whether a token carries meaning: a word of content, a name or a figure."""
    return token.kind in ("content", "name", *NUMERIC)


def own_tokens(claim: str, known: Callable[[str], bool]) -> list[Token]:
    """The tokens of a claim without the words by which it speaks of the passage."""
    return [token for token in read(claim) if token.key not in TALK_WORDS or known(token.key)]


def _is_heading(line: str) -> bool:
    return line[-1].isalpha() and len(line.split()) <= _LONGEST_HEADING


def _quotes(sentence: str, known: Callable[[str], bool]) -> bool:
    """Whether a sentence that sounds like talk tells of the passage all the same."""
    said = [token for token in own_tokens(sentence, known) if means(token)]
    return len(said) >= _LEAST and sum(known(token.key) or token.kind in NUMERIC for token in said) >= 0.5 * len(said)


def _weight(text: str) -> int:
    return sum(map(means, read(text)))
