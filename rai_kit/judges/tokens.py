"""Reads a sentence as a list of things that can be compared: numbers by value, names, words by stem, and what is denied.

`nine`, `9` and `9.0` are one number, `half past nine` and `09:30` one time, `50 %`, `50 per cent` and `half` one share; `not
forbidden` and `allowed` are one statement. Left out on purpose: grammar. A negation is taken to deny the next word or two that
carry meaning.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from rai_kit.judges.features import stem
from rai_kit.judges.lexicon import STOPWORDS

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
NUMBER_WORDS = {word: value for value, word in enumerate(_ONES.split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)}
NUMBER_WORDS |= {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 10**9, "dozen": 12}
_TIMES = {"hundred", "thousand", "million", "billion", "dozen"}
PARTS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5, "tenth": 10}
_ORDINALS_TEXT = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
)
ORDINALS = {word: value for value, word in enumerate(_ORDINALS_TEXT.split(), 1)}
_UNITS_TEXT = (
    "km:kilometre kilometer km/m:metre meter/cm:centimetre centimeter/mm:millimetre millimeter/mile/foot:feet ft/inch:inches/"
    "kg:kilo kilogram kilogramme/g:gram gramme/t:tonne ton/pound:lb/l:litre liter/ml/degree:degrees/second:sec/minute:min/"
    "hour:hr/day/night/week/month/year/decade/century:centuries/crown/mark/florin/penny:pence/dollar:usd/euro:eur/cent/krona/oere/"
    "knot/bar/hertz:hz/megabyte:mb/point/acre/hectare"
)
UNITS = {
    form + plural: group.split(":")[0]
    for group in _UNITS_TEXT.split("/")
    for form in group.replace(":", " ").split()
    for plural in ("", "s")
}
_NEGATIONS_TEXT = (
    "not no never none nobody nothing neither nor without cannot cant wont didnt doesnt dont isnt wasnt arent werent hasnt havent "
    "hadnt couldnt wouldnt shouldnt mustnt nowhere hardly scarcely barely seldom rarely unable"
)
NEGATIONS = frozenset(_NEGATIONS_TEXT.split())
_OPPOSITES_TEXT = (
    "increas/decreas rise/fall rose/fell rising/fall grew/shrank more/less more/fewer higher/lower before/after first/last open/clos "
    "north/south northern/southern east/west eastern/western win/los won/lost succeed/fail allow/forbid permit/forbid accept/reject "
    "approv/reject old/new largest/smallest larg/small big/small early/late earlier/later warm/cold hot/cold safe/dangerous true/false "
    "alive/dead buy/sell bought/sold male/female men/women married/divorc built/demolish "
    "cheap/expensiv legal/illegal support/oppos public/private day/night left/right best/worst begin/end began/ended start/stop "
    "summer/winter inside/outside longer/shorter above/under above/below upper/lower includ/exclud want/refus possible/impossible "
    "lock/unlock free/charg free/paid agree/disagree like/dislike happy/unhappy known/unknown strong/weak majority/minority "
    "maximum/minimum tall/short rich/poor gain/loss visible/invisible present/absent sunrise/sunset"
)
OPPOSITES = tuple((pair.split("/")[0], pair.split("/")[1]) for pair in _OPPOSITES_TEXT.split())
_SAME_TEXT = (
    "begin start commence began/end finish stop ceas/buy purchase bought/sell sold/child children kid/cost price/big large/quick fast/"
    "rise rose increas grow grew/fall fell drop declin decreas/choose chose pick select/house home/need require requir/give gave grant/"
    "get got receiv obtain/allow permit/forbid forbidden ban bann prohibit/keep kept/leave left depart/make made/build built construct/"
    "hold held/find found discover/lose lost/pay paid/say said state told tell/think thought believ/show shown/know knew known/"
    "come came/go went gone/take took taken/see saw seen/write wrote written/speak spoke spoken/draw drew drawn/fly flew flown/"
    "run ran/stand stood/catch caught/teach taught/bring brought/send sent/win won/lead led/feed fed/break broke broken/wear worn/"
    "hang hung/lie lay lain laid/burn burnt/cut chopp/man men/woman women/foot feet/person people/mouse mice/"
    "roughly about around approximately nearly almost/car automobil vehicle/help assist/fix repair mend/town city/sick ill illness/"
    "happen occur/reason cause/forest wood/ship boat vessel/trip journey/film movie/doctor physician/author writer/"
    "picture photo photograph"
)
_SAME = {
    form: group.split()[0]
    for group in _SAME_TEXT.split("/")
    for word in group.split()
    for form in dict.fromkeys((word, stem(word)))
}
_TALK_TEXT = (
    "passage text article document mention mentions mentioned states stated says said according author answer question summary describes "
    "described provided given sentence paragraph information explain explains means mean quote"
)
_TOKEN = re.compile(r"\d{1,2}:\d\d|\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*|[,;:.!?()\u2013\u2014]|%")
_SCOPE = 2
_BREAKS_TEXT = ", ; : . ! ? ( ) \u2013 \u2014 but although while whereas and or because which who that"
_BREAKS = frozenset(_BREAKS_TEXT.split())


class Token(NamedTuple):
    """One thing said.

    Attributes:
        word: As written.
        key: What is compared: a stem, a number's value, or the word.
        kind: `number`, `clock`, `share`, `name`, `content`, `turn` (a function word that has an opposite), `function` or `not`.
        value: Of a number; of a clock in minutes after midnight or noon; of a share 0-1.
        unit: Unit of a number, if it has one.
        denied: Whether it is denied; an antonym counts as its counterpart denied.
        head: Whether it is the word next to the negation.
        opposite: Whether it is an antonym of its `key`.
    """

    word: str
    key: str
    kind: str
    value: float = 0.0
    unit: str = ""
    denied: bool = False
    head: bool = False
    opposite: bool = False


@lru_cache(maxsize=1 << 10)
def sentences(text: str) -> tuple[str, ...]:
    """Sentences, list items and lines; a title (`Mr.`) or an initial ends none."""
    parts = re.split(
        r"(?<=[.!?])(?<!\bMr\.)(?<!\bDr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)(?<!\b[A-Z]\.)[\"'\u201d)*]*\s+|\n+", text
    )
    return tuple(part.strip() for part in parts if re.search(r"\w", part))


@lru_cache(maxsize=1 << 15)
def root(word: str) -> str:
    """Stem of a lower-case word, the same for a few common synonyms and irregular forms."""
    plain = stem(word)
    return _SAME.get(word) or _SAME.get(plain) or plain


TALK_WORDS = frozenset(root(word) for word in _TALK_TEXT.split())
"""Words by which an answer speaks of the passage itself; they make no claim, unless the passage has them."""
_LIGHT_TEXT = (
    "get got make take give keep use put let want need come go look become happen people person thing lot way time everyone everybody "
    "somebody someone anyone anybody something anything still even also yet already too enough really actually quite rather almost always "
    "ever usually often again now today then however therefore thus instead many much several like able around within without another "
    "each every either whether since unless though although because besides called named kind sort part place show found seem try work "
    "since while whereas whose where upon along cause reason due thanks result order first second last next new good well far long certain "
    "different important including especially mainly mostly only one two three well known unlike apart total different altogether together "
    "any all both few more most less least fewer"
)
LIGHT_WORDS = frozenset(root(word) for word in _LIGHT_TEXT.split())
"""Words that carry so little that a claim may bring them along."""


@lru_cache(maxsize=1 << 15)
def _side(word: str) -> tuple[str, bool] | None:
    """The common name of the pair of opposites that a word belongs to, and whether it is on the far side of it."""
    plain = stem(word)
    for entry, side in _SIDES.items():
        if word == entry or plain == entry or (len(entry) >= 5 and word.startswith(entry)):
            return side
    return None


def _sides() -> dict[str, tuple[str, bool]]:
    """Side of every word of `OPPOSITES`; pairs that share a word are one (`warm`, `hot` against `cold`)."""
    found: dict[str, tuple[str, bool]] = {}
    for one, other in OPPOSITES:
        if other in found:
            found.setdefault(one, (found[other][0], not found[other][1]))
        else:
            found.setdefault(one, (one, False))
            found[other] = (found[one][0], not found[one][1])
    return found


_SIDES = _sides()


@lru_cache(maxsize=1 << 12)
def read(sentence: str) -> tuple[Token, ...]:
    """The tokens of a sentence, numbers put together and negations applied."""
    words = _TOKEN.findall(re.sub(r"['\u2019]s\b", "", sentence))
    words = [word.replace("'", "").replace("\u2019", "") for word in words]
    shouted = sum(word.isupper() for word in words if len(word) > 2) * 2 > len(words)
    ordinary = shouted or _headline(words)
    tokens: list[Token] = []
    place, start = 0, True
    while place < len(words):
        token, used = _number(words, place)
        if token is None:
            token = _word(words[place], name=not start and words[place][0].isupper() and not ordinary)
        start = words[place] in ".!?:" or (start and not words[place][0].isalnum())
        place += used
        tokens.append(token)
        if token.unit and place < len(words) and UNITS.get(words[place].lower()) == token.unit:
            tokens.append(Token(words[place], token.unit, "function"))  # the number tells it
            place += 1
    return tuple(_denied(tokens))


def _headline(words: list[str]) -> bool:
    """Whether a line is written in title case, so that capitals do not mark names."""
    long = [word for word in words if len(word) > 3 and word.isalpha()]
    return len(long) >= 4 and words[-1] not in ".!?" and sum(word[0].isupper() for word in long) > 0.7 * len(long)


def _word(word: str, name: bool) -> Token:
    low = word.lower()
    if low in NEGATIONS:
        return Token(word, low, "not")
    if not low[0].isalpha() or len(low) == 1 or low in ("mr", "mrs", "ms", "dr"):
        return Token(word, low, "function")
    kind = "function" if low in STOPWORDS else "name" if name else "content"
    side = _side(low)
    if side is not None:
        return Token(word, side[0], "turn" if kind == "function" else "content", denied=side[1], opposite=side[1])
    return Token(word, low if kind == "function" else root(UNITS.get(low, low)), kind)


def _number(words: list[str], place: int) -> tuple[Token | None, int]:
    """The number, time or share that begins at a place, and how many words it takes; (None, 1) where none does."""
    word, low = words[place], words[place].lower()
    after = [follower.lower() for follower in words[place + 1 : place + 4]] + ["", "", ""]
    if low in ("half", "quarter") and after[0] in ("past", "to") and place + 2 < len(words):
        hour, used = _number(words, place + 2)
        if hour is not None and hour.kind == "number":
            minutes = {"half": 30, "quarter": 15}[low] * (1 if after[0] == "past" else -1)
            return _clock(word, hour.value * 60 + minutes), 2 + used
    if low in NUMBER_WORDS and after[0] == "past" and after[1] in NUMBER_WORDS:
        return _clock(word, NUMBER_WORDS[after[1]] * 60 + NUMBER_WORDS[low]), 3
    if ":" in word and len(word) > 1:
        hours, minutes = map(int, word.split(":"))
        return _clock(word, hours * 60 + minutes), 1
    if low == "half" or (low in ("third", "quarter") and place and words[place - 1].lower() in ("a", "one")):
        return Token(word, share_key(1 / PARTS[low]), "share", 1 / PARTS[low]), 1
    if word[0].isdigit():
        value, used = float(word.replace(",", "")), 1
        used += after[0] in ("st", "nd", "rd", "th")
    elif low in NUMBER_WORDS and low not in _TIMES:
        value, used = float(NUMBER_WORDS[low]), 1
        if value >= 20 and NUMBER_WORDS.get(after[0], 99) < 10:
            value, used = value + NUMBER_WORDS[after[0]], 2
    elif low in _TIMES and place and words[place - 1].lower() in ("a", "some", "several"):
        value, used = 1.0, 0
    else:
        return None, 1
    part = words[place + used].lower() if used and place + used < len(words) else ""
    if part in PARTS and value < 10 and (value == 1 or part.endswith("s")):
        return Token(word, share_key(value / PARTS[part]), "share", value / PARTS[part]), used + 1
    while place + used < len(words) and words[place + used].lower() in _TIMES:
        value, used = value * NUMBER_WORDS[words[place + used].lower()], used + 1
        if (
            value >= 100
            and [each.lower() for each in words[place + used : place + used + 1]] == ["and"]
            and place + used + 1 < len(words)
        ):
            more, taken = _number(words, place + used + 1)
            if more is not None and more.kind == "number" and more.value < 100 and not words[place + used + 1][0].isdigit():
                value, used = value + more.value, used + 1 + taken
    unit = _unit(words[place + used : place + used + 2])
    if unit == "%":
        used += 2 if words[place + used].lower() == "per" else 1
    return Token(word, number_key(value), "number", value, unit), used


def _unit(following: list[str]) -> str:
    if following and (following[0] in ("%", "percent") or [word.lower() for word in following] == ["per", "cent"]):
        return "%"
    for word in map(str.lower, following):
        if word in UNITS:
            return UNITS[word]
        if not word.isalpha():
            break
    return ""


def number_key(value: float) -> str:
    """What numbers of one value share."""
    return f"={value:.10g}"


def share_key(value: float) -> str:
    """What shares of one value (0-1) share."""
    return f"={value:.3g} of all"


def clock_key(minutes: float) -> str:
    """What times of one place on the dial share."""
    return f"@{minutes % 720:g}"


def _clock(word: str, minutes: float) -> Token:
    return Token(word, clock_key(minutes), "clock", minutes % 720)


def _denied(tokens: list[Token]) -> list[Token]:
    """Marks what each negation denies: the next words that carry meaning, as far as the clause goes."""
    found = list(tokens)
    for place, token in enumerate(tokens):
        if token.kind != "not":
            continue
        following = [after.word.lower() for after in tokens[place + 1 : place + 3]]
        compares = following[1:] == ["than"] and following[0] in ("more", "less", "later", "fewer", "higher", "earlier")
        if compares or following[:1] in (["only"], ["until"], ["just"]):
            continue
        left, first = _SCOPE, place + 1
        if following[:1] == [","]:  # "not, as they used to be, set afloat"
            first = next((where + 1 for where in range(place + 2, len(tokens)) if tokens[where].word == ","), len(tokens))
        for where in range(first, len(tokens)):
            other = found[where]
            if not left or other.word.lower() in _BREAKS:
                break
            if other.kind not in ("function", "not"):
                found[where] = other._replace(denied=not other.denied, head=left == _SCOPE)
                left -= 1
    return found
