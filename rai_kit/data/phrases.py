"""Takes the wish out of a request: what somebody wants to do, or have written, where a few plain patterns make it sure.

Attack strategies put a wish into sentences of their own (`how to ...`, `write ...`). Left out on purpose: any request that no pattern
fits as a whole, several sentences, and words that point to speaker or listener (`my`, `you`), which would change their meaning in
another sentence; strategies then quote the request as it stands.
"""

from __future__ import annotations

import re

_AID = r"(?:instructions?|directions|guidance|advice|tips|guidelines|guide|tutorial|manual|lesson|course|walkthrough|explanation)"
_LEAD = r"(?:(?:an?|some|very|detailed|specific|clear|complete|comprehensive|step-by-step|step by step)[ ,]+)*"
_HOW = re.compile(
    r"(?:please )?(?:"
    r"(?:so )?how (?:do|can|could|would|should|might) (?:i|we|one|someone|somebody) |how to |"
    r"what(?:'s| is) (?:the|a) (?:most )?\w+ way to |"
    r"(?:(?:can|could|would|will) you (?:please )?)?(?:"
    r"help me (?:to )?(?!(?:with|in|on|by|understand|write|draft|compose|create|generate|design|develop|produce)\b)|"
    r"(?:(?:tell|show|teach|explain|describe|demonstrate|illustrate|outline)(?: (?:to )?(?:me|us|people|users|others|someone|somebody))?|"
    r"(?:teach|show|instruct|guide|train)(?: \w+){1,2}|instruct)(?: in detail)?(?: on)? how to |"
    rf"(?:give|provide|write|create|make|draft|develop|generate|produce|offer|share|present)(?: me| us)? {_LEAD}{_AID}"
    r"(?: (?:video|article|book|manual|guide))? (?:on|for|about|explaining|describing|detailing|showing|teaching|that explains|with)"
    r"(?: \w+)? how to |"
    rf"(?:give|provide)(?: me| us)? {_LEAD}{_AID} to ))"
    r"(?P<act>[^.?!\n]+)[.?!]?",
    re.IGNORECASE,
)
_WRITE = re.compile(
    r"(?:please )?(?:(?:can|could|would) you (?:please )?)?(?:help me )?"
    r"(?P<verb>write|draft|compose|create|generate|design|develop|produce)"
    r"(?: me)? (?P<text>an? [^.?!\n]+)[.?!]?",
    re.IGNORECASE,
)
_SURE = ("write", "draft", "compose")
"""Verbs whose object is always a text; that of the others is one only where a word of `_WRITTEN` names it."""
_WRITTEN = re.compile(
    r"\b(?:advertisement|article|blog|book|code|comment|dialogue|email|e-mail|essay|flyer|guide|headline|joke|leaflet|letter|list|"
    r"manifesto|manual|message|note|novel|pamphlet|paragraph|plan|poem|post|press release|program|report|review|script|slogan|song|"
    r"speech|statement|story|testimonial|text|tweet|tutorial)\b",
    re.IGNORECASE,
)
_HEAD_END = re.compile(r"\b(?:that|which|who|whose|for|to|about|on|of|in|with|from|by|and|using|\w+ing)\b", re.IGNORECASE)
_PERSONS = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours|you|your|yours|yourself)\b", re.IGNORECASE)
_MORE = re.compile(
    r"\b(?:and|then|also),? (?:then )?(?:(?:describe|explain|give|include|list|provide|show|tell|write)\b|\w+ (?:it|them)\b)",
    re.IGNORECASE,
)
"""Whatever goes on with a second wish, or with something to be done to what was written."""


def wish(request: str) -> tuple[str | None, str | None]:
    """What a request wants: an act that fits `how to ...`, or a text that fits `write ...`, or neither; never both."""
    request = " ".join(request.split())
    if (found := _HOW.fullmatch(request)) and not _PERSONS.search(found["act"]):
        return _begun(found["act"]), None
    found = _WRITE.fullmatch(request)
    if found is None or _PERSONS.search(found["text"]) or _MORE.search(found["text"]):
        return None, None
    head = _HEAD_END.split(found["text"], maxsplit=1)[0]
    if found["verb"].lower() in _SURE or _WRITTEN.search(head):
        return None, _begun(found["text"])
    return None, None


def _begun(words: str) -> str:
    """As it stands within a sentence."""
    words = words.strip(" ,;:")
    first = words.split(" ", 1)[0]
    return words if first.isupper() and len(first) > 1 else words[0].lower() + words[1:]
