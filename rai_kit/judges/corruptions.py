"""Faithful rewordings of a passage's sentences, and corruptions of them: known answers for the measure of groundedness.

Everything is mechanical and seeded, so that what is wrong with an answer, and how much of it, is known without anybody reading
it. Left out on purpose: free paraphrase, which no rule can make, and inventions that only knowledge of the world could find out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rai_kit.judges.lexicon import STOPWORDS
from rai_kit.judges.tokens import NUMBER_WORDS, sentences

MOST = 4
"""Sentences of an answer, and so the highest dose."""
KINDS = ("negated", "opposite", "opposite, unlisted", "exchanged", "number", "foreign", "invented", "inserted")
"""Contradictions (a negation put in or taken out; an antonym that the measure lists, or one that it does not; a name of the
passage in another's place; another number), additions (a sentence of another passage; one made of the passage's own words), and
a number, date or name
that the passage lacks put into a sentence."""
ADDING = ("foreign", "invented")
_LISTED = (
    "opened/closed open/closed opens/closes more/fewer before/after first/last old/new higher/lower allowed/forbidden north/south "
    "northern/southern eastern/western east/west won/lost summer/winter early/late rise/fall rose/fell built/demolished largest/smallest "
    "warm/cold married/divorced wants/refuses left/right day/night always/never begin/end begins/ends sold/bought under/above "
    "rising/falling public/private inside/outside longer/shorter free/charged"
)
_UNLISTED = (
    "deep/shallow wet/dry slow/fast slowly/quickly full/empty heavy/light dark/pale young/grown front/back morning/afternoon "
    "quiet/noisy known/unknown weekly/yearly above/beneath red/green normal/unusual small/tall asked/ordered good/poor clean/dirty "
    "serious/trifling hard/easy"
)
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|may|can|could|will|would|must|should|has|have|had|do|does|did)\b(?! (?:not|never|no|to|hardly|the|a|an)\b)"
)
_NAMED = r"[A-Z][a-z\u00c0-\u017f]+(?: (?:of )?[A-Z][a-z\u00c0-\u017f]+){0,2}"
_INVENTED = (
    (
        "The {a} was later moved closer to the {b}.",
        "Many people complained about the {a} and the {b}.",
        "A famous visitor paid for the {a} with a {b}.",
        "Critics regard the {a} as a danger to the {b}.",
        "The {a} has since been copied by every {b}.",
    ),
    (
        "Experts praised the {a} because of its {b}.",
        "Plans exist to replace the {a} by a larger {b}.",
        "A {b} nearly destroyed the {a} at the time.",
        "It is the {a} that made the {b} popular abroad.",
        "Thieves once took the {a} from the {b}.",
    ),
)
_PEOPLE = (("Harold Penrose", "Lucia Ferrante", "Dr Wexford"), ("Tomas Adlington", "Greta Nyholm", "Captain Brodie"))


@dataclass(frozen=True, slots=True)
class Planted:
    """An answer with `dose` corruptions of one kind in (or, of an adding kind, beside) `MOST` faithful sentences."""

    passage: str
    kind: str
    dose: int
    answer: str


def series(texts: Sequence[str], place: int, kind: str, seed: int) -> list[Planted]:
    """The same answer about one of the passages at doses 0, 1, ... as far as the kind can be planted, at most `MOST`.

    Args:
        texts: All passages of this half; sentences from elsewhere come from the others.
        place: Which of them the answer is about; its parity chooses among the wordings of inventions.
        kind: One of `KINDS`.
        seed: Another seed gives other sentences and rewordings.
    """
    rng = random.Random(f"{seed} {kind} {texts[place][:60]}")
    text = texts[place]
    usable = [sentence for sentence in sentences(text) if 5 <= len(sentence.split()) <= 45]
    rng.shuffle(usable)
    plant = _planting(kind, texts, place, rng)
    pairs = [(_reworded(sentence, rng), sentence) for sentence in usable]
    wrong = [plant(said) or plant(sentence) for said, sentence in pairs]
    order = sorted(range(len(pairs)), key=lambda number: wrong[number] is None)[:MOST]
    chosen = [(pairs[number][0], wrong[number]) for number in order]
    shuffled = rng.sample(range(len(chosen)), len(chosen))
    layout = rng.choice(_LAYOUTS)
    found = []
    for dose in range(sum(bad is not None for _, bad in chosen) + 1):
        if kind in ADDING:
            parts = [chosen[number][0] for number in shuffled] + [bad for _, bad in chosen[:dose] if bad]
        else:
            parts = [(chosen[number][1] or "") if number < dose else chosen[number][0] for number in shuffled]
        found.append(Planted(text, kind, dose, layout(parts)))
    return found


def faithful(text: str, seed: int, many: int = 1) -> str:
    """An answer of `many` reworded sentences of a passage, and nothing else."""
    rng = random.Random(f"{seed} faithful {text[:60]}")
    usable = [sentence for sentence in sentences(text) if 5 <= len(sentence.split()) <= 45]
    return rng.choice(_LAYOUTS)([_reworded(sentence, rng) for sentence in rng.sample(usable, min(many, len(usable)))])


# --- layouts of a faithful answer

_LAYOUTS: tuple[Callable[[list[str]], str], ...] = (
    " ".join,
    " ".join,
    "\n".join,
    lambda parts: "Here is a summary:\n\n" + "\n".join(f"- {part}" for part in parts),
    lambda parts: "**Main points**\n" + "\n".join(f"{number}. {part}" for number, part in enumerate(parts, 1)),
    lambda parts: (
        parts[0]
        if len(parts) == 1
        else f"{parts[0].rstrip('.')}, and {_small(parts[1])}" + "".join(f" {part}" for part in parts[2:])
    ),
    lambda parts: "Sure! " + "; ".join([parts[0].rstrip("."), *(_small(part).rstrip(".") for part in parts[1:])]) + ".",
)


# --- rewordings


def _reworded(sentence: str, rng: random.Random) -> str:
    for change in rng.sample(_REWORDINGS, 2):
        sentence = change(sentence, rng) or sentence
    return sentence


def _small(sentence: str) -> str:
    first = re.match(r"\w+", sentence)
    ordinary = first is not None and first[0].lower() in STOPWORDS and first[0] != "I"
    return sentence[0].lower() + sentence[1:] if ordinary else sentence


def _large(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _reordered(sentence: str, rng: random.Random) -> str | None:
    front = re.match(
        r"(If|When|Because|Since|After|Before|In|On|At|From|During|For|Between|Until|Under|To) ([^,;:]+), ([^;:]+)\.$", sentence
    )
    if front:
        return f"{_large(front[3])} {front[1].lower()} {front[2]}."
    end = re.match(r"([^,;:]{20,}?),? (because|when|if|after|before|until|since) ([^,;:]{10,})\.$", sentence)
    return f"{_large(end[2])} {end[3]}, {_small(end[1])}." if end else None


def _passive(sentence: str, rng: random.Random) -> str | None:
    active = re.match(r"([^,;:]+?) (?:was|were) (\w+ed)( [^,;:]*?)? by ((?:the|a|an) [^,;:]+?|[A-Z][^,;:]+?)\.$", sentence)
    if active:
        return f"{_large(active[4])} {active[2]} {_small(active[1])}{active[3] or ''}."
    passive = re.match(
        r"((?:The|A|An|[A-Z]\w+)(?: \w+){0,3}) (\w{3,}ed) ((?:the|a|an|its|his|her|their) \w+)( (?:in|for|on) [^;:]+)?\.$",
        sentence,
    )
    if passive and not re.search(r"\b(?:was|were|is|are|had|has|not|be)$", passive[1]):
        return f"{_large(passive[3])} was {passive[2]} by {_small(passive[1])}{passive[4] or ''}."
    return None


def _shortened(sentence: str, rng: random.Random) -> str | None:
    """The sentence without a relative clause, its second half or an opening adverbial; conditions and exceptions stay."""
    cuts = (
        (r", (?:which|who|whose|where) [^,;:]+(?=[,.;])", ""),
        (r"; [^;]+\.$", "."),
        (r", (?:because|since|as|so that) [^,;:]+\.$", "."),
        (r"^(?:In|On|At|For|During) [^,;:]{3,30}, (?=the |a |an |it |they |she |he )", ""),
    )
    options = [_large(re.sub(pattern, put, sentence, count=1)) for pattern, put in cuts if re.search(pattern, sentence)]
    options = [option for option in options if len(option.split()) >= 5]
    return rng.choice(options) if options else None


def _figures(sentence: str, rng: random.Random) -> str | None:
    words = {value: word for word, value in NUMBER_WORDS.items() if value < 100 and word != "dozen"}

    def other(found: re.Match[str]) -> str:
        if found[0].isdigit():
            return words.get(int(found[0]), found[0])
        return str(NUMBER_WORDS[found[0].lower()])

    names = "|".join(word for word in NUMBER_WORDS if word not in ("one", "hundred", "thousand", "million", "dozen"))
    return re.sub(
        rf"(?<![-\d.,:/] )(?<![-\w.,:/])(?:{names}|\d{{1,2}})(?![-\w:/%]|[.,]\d| (?:million|hundred|past))", other, sentence
    )


def _pronoun(sentence: str, rng: random.Random) -> str | None:
    found = re.match(rf"({_NAMED}) (?=[a-z])", sentence)
    if not found or found[1].split()[0].lower() in STOPWORDS or len(found[1].split()) < 2:
        return None
    return f"{'It' if len(sentence) % 2 else 'She'} {sentence[found.end() :]}"


def _capitals(sentence: str, rng: random.Random) -> str | None:
    places = [found.start() for found in re.finditer(r"(?<= )[a-z]{5,}", sentence)]
    for place in rng.sample(places, min(2, len(places))):
        sentence = sentence[:place] + sentence[place].upper() + sentence[place + 1 :]
    return sentence


def _quoted(sentence: str, rng: random.Random) -> str | None:
    return rng.choice(
        (
            f'The passage says: "{sentence}"',
            f"According to the text, {_small(sentence)}",
            f"The text states that {_small(sentence)}",
        )
    )


def _as_it_is(sentence: str, rng: random.Random) -> str | None:
    return None


_REWORDINGS = (_reordered, _passive, _shortened, _shortened, _figures, _pronoun, _capitals, _quoted, _as_it_is, _as_it_is)


# --- corruptions


def _planting(kind: str, texts: Sequence[str], place: int, rng: random.Random) -> Callable[[str], str | None]:
    text, half = texts[place], place % 2
    if kind == "foreign":
        elsewhere = [number for number in range(len(texts)) if number != place]
        other = [
            sentence
            for number in rng.sample(elsewhere, MOST * 3)
            for sentence in sentences(texts[number])
            if len(sentence.split()) >= 6
        ]
        pool = rng.sample(other, 40)
        return lambda sentence: pool.pop()
    if kind == "invented":
        patterns = list(_INVENTED[half])
        rng.shuffle(patterns)
        nouns = re.findall(
            r"\b(?:the|an?) ([a-z]{4,})(?= (?:of|in|on|at|is|are|was|were|for|and|to|by|with|has|that|which|will|may)\b|[.,;:])",
            text,
        )
        nouns = sorted(set(nouns) - STOPWORDS)

        def invented(sentence: str) -> str | None:
            if not patterns or len(nouns) < 2:
                return None
            one, other = rng.sample(nouns, 2)
            return patterns.pop().format(a=one, b=other)

        return invented
    names = sorted(set(re.findall(rf"(?<=[a-z,;] ){_NAMED}", text)))
    return {
        "negated": _negated,
        "opposite": lambda sentence: _opposite(sentence, _LISTED, rng),
        "opposite, unlisted": lambda sentence: _opposite(sentence, _UNLISTED, rng),
        "exchanged": lambda sentence: _exchanged(sentence, names, rng),
        "number": lambda sentence: _other_number(sentence, rng),
        "inserted": lambda sentence: _inserted(sentence, half, rng),
    }[kind]


def _negated(sentence: str) -> str | None:
    for pattern, put in (
        (r"\b(is|are|was|were|may|can|could|will|would|must|should|has|have|had|do|does|did) (?:not|never) ", r"\1 "),
        (r"\bnever ", ""),
        (r"\b([Nn])obody\b", r"everybody"),
        (r"\bno (?!more|longer|less|fewer|higher|later)", "a "),
    ):
        if re.search(pattern, sentence):
            return _large(re.sub(pattern, put, sentence, count=1))
    return _AUXILIARY.sub(r"\1 not", sentence, count=1) if _AUXILIARY.search(sentence) else None


def _opposite(sentence: str, pairs: str, rng: random.Random) -> str | None:
    both = [pair.split("/") for pair in pairs.split()]
    known = [(one, other) for pair in both for one, other in (pair, pair[::-1])]
    fitting = [
        (one, other) for one, other in known if re.search(rf"\b{one}\b", sentence) and not re.search(rf"\b{other}\b", sentence)
    ]
    if not fitting:
        return None
    one, other = rng.choice(fitting)
    return re.sub(rf"\b{one}\b", other, sentence, count=1)


def _exchanged(sentence: str, names: Sequence[str], rng: random.Random) -> str | None:
    here = [name for name in names if re.search(rf"\b{name}\b", sentence)]
    if len(here) >= 2 and not any(one in other for one in here for other in here if one != other):
        one, other = rng.sample(here, 2)
        if not re.search(rf"(?:{one}|{other}) (?:and|or|to) (?:{one}|{other})", sentence):
            return re.sub(rf"\b(?:{one}|{other})\b", lambda found: other if found[0] == one else one, sentence)
    away = [name for name in names if not set(name.split()) & set(re.findall(r"\w+", sentence))]
    if not here or not away:
        return None
    return re.sub(rf"\b{rng.choice(here)}\b", rng.choice(away), sentence, count=1)


def _other_number(sentence: str, rng: random.Random) -> str | None:
    names = [word for word in NUMBER_WORDS if word not in ("one", "hundred", "thousand", "million", "billion", "dozen")]
    places = list(re.finditer(rf"\b(?:{'|'.join(names)})\b|(?<![\d.,:])\d+(?![\d:]|[.,]\d)", sentence))
    if not places:
        return None
    found = rng.choice(places)
    if found[0].isdigit():
        value = int(found[0])
        put = str(max(value + rng.choice([-1, 1]) * rng.randint(1, max(2, value // 5)), value // 2 + 1))
        put = put if put != found[0] else str(value + 3)
    else:
        put = rng.choice([word for word in names if word != found[0].lower() and NUMBER_WORDS[word] < 100])
    return sentence[: found.start()] + put + sentence[found.end() :]


def _inserted(sentence: str, half: int, rng: random.Random) -> str | None:
    what = rng.choice(("number", "date", "name"))
    if what == "number":
        put = f", at a cost of {rng.randint(111, 999)} {rng.choice(('dollars', 'crowns'))}"
    elif what == "date":
        month = rng.choice(("January", "March", "June", "October"))
        put = f" on {rng.randint(1, 28)} {month} {rng.randint(1650, 2020)}"
    else:
        put = f", as {rng.choice(_PEOPLE[half])} reports"
    return re.sub(r"([.!])?(\W*)$", rf"{put}\1\2", sentence, count=1)
