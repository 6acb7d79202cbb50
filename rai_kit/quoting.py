"""Texts of others in a prompt: a mark that none of them holds, and wording that can act neither on the model nor on its server.

Left out on purpose: rewording what a text says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rai_kit.schema import digest

UNSEEN = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e01ef]")
"""Zero-width and bidirectional controls, tags and variation selectors: invisible, and a way to hide a text or to break up a word. The
joiners of emoji and of Persian are not among them."""
UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufff9-\ufffb]+")
BRACKETS = re.compile(r"[<\[＜﹤［]")  # the wide forms, too, which some tokenizers fold into the others


def inert(text: str) -> str:
    """A text as a model is shown it: it reads as before, and nothing in it can act on the model or its server.

    A blank follows each opening bracket, so that no text can hold a token of a chat template (`<|im_end|>`, `[/INST]`), which servers of
    open models take for the real one wherever it stands. Invisible characters are gone, control characters and halves of surrogate
    pairs are replaced by U+FFFD.
    """
    text = UNREADABLE.sub("\ufffd", UNSEEN.sub("", text.replace("\r\n", "\n")))
    return BRACKETS.sub(r"\g<0> ", text)


def mark_for(texts: Sequence[str]) -> str:
    """A code that follows from the texts alone and that none of them holds."""
    held = "\n".join(texts).lower()
    attempt = 0
    while (mark := digest("mark", attempt, texts)) in held:
        attempt += 1
    return mark
