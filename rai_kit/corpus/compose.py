"""Training material made without a model: templates x parameters, drawn by seed.

A goal of the taxonomy and its harmless twin are asked in the same ways, so that only what is wanted tells them apart. The harmful prompt
gets a composed answer that declines, gives a reason and offers something else; the same kind of answer is what the twin must not get. What
needs a model (answers to harmless prompts, answers that a target gives today) is left empty here: `rai_kit.corpus.on_policy` fills it.
The texts lie in `data/corpus/`. Left out on purpose: frames of the scenario bank, which are for testing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice, zip_longest
from typing import Any, Literal, TypeVar

import msgspec

from rai_kit.data.files import data_dir, read_yaml
from rai_kit.data.similar import grams, near
from rai_kit.data.taxonomy import Goal, HarmCategory, taxonomy
from rai_kit.schema import Example, InputError, Message, digest

SOURCE, LICENCE = "in-house", "MIT"
LEAST_WORDS, MOST_WORDS = 25, 70
"""Length of a composed answer, in words."""
ATTEMPTS = 20
"""Draws of an answer until its length is right; fillings in a row that come too near to earlier ones until a template is used up."""

SLOT = re.compile(r"\{(\w+)\}")
T = TypeVar("T")


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way of asking for an act or a text; `before` is what was said earlier, by user and assistant in turn."""

    id: str
    kind: Literal["act", "text"]
    strategy: str
    ask: str
    form: Literal["question", "instruction"] | None = None
    before: tuple[str, ...] = ()

    def __call__(self, words: str) -> tuple[Message, ...]:
        """The conversation that ends with the request."""
        return _turns([*self.before, fill(self.ask, lambda _: words)])


class _Ways(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ways: tuple[Way, ...]


class _Manner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    arrangements: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]


class _Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    manner_of: Mapping[str, str]
    manners: Mapping[str, _Manner]


class _Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    asks: Mapping[str, str] = {}
    talks: Mapping[str, tuple[str, ...]] = {}
    pools: Mapping[str, tuple[str, ...]] = {}


class _Ordinary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tasks: Mapping[str, _Task]
    pools: Mapping[str, tuple[str, ...]]


def fill(pattern: str, value: Callable[[str], str]) -> str:
    """Puts `value(name)` into every `{name}`; in place of `{Name}` it begins with a capital letter."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        text = value(name[0].lower() + name[1:])
        return text[:1].upper() + text[1:] if name[0].isupper() else text

    return SLOT.sub(one, pattern)


@cache
def ways() -> tuple[Way, ...]:
    """All ways of asking, in the order of their file."""
    return read_yaml(data_dir() / "corpus" / "prompts.yaml", _Ways).ways


@cache
def _answers() -> _Answers:
    return read_yaml(data_dir() / "corpus" / "answers.yaml", _Answers)


@cache
def _ordinary() -> _Ordinary:
    return read_yaml(data_dir() / "corpus" / "ordinary.yaml", _Ordinary)


def compose_pairs(
    per_goal: int = 3,
    *,
    goals: int | None = None,
    seed: int = 0,
    categories: Sequence[HarmCategory] | None = None,
    opening: str | None = None,
) -> list[Example]:
    """Harmful prompts with safe answers, each followed by its harmless twin with a refusal to be avoided.

    Every goal is asked in `per_goal` ways: questions, instructions and disguises in turn. A prefix of the draw is balanced over the
    goals, a larger `per_goal` only extends it, and what is drawn for a category does not depend on the others.

    Args:
        per_goal: Ways of asking for each goal, at least 1.
        goals: Goals of each category, at least 1, the first ones; all when None.
        seed: Decides which ways and which answers; it is no part of the ids, which follow from the prompts.
        categories: Harm categories, in this order; all active ones when None.
        opening: Sentence with which every answer begins; the openings vary when None.

    Returns:
        `harmful` examples (chosen, none rejected) and `lookalike` ones (rejected, none chosen) in turn. Twins share goal and template.

    Raises:
        InputError: goals or per_goal is below 1, per_goal is above the number of ways there are, or a category has no reasons or nothing
            to offer.
    """
    most = min(sum(way.kind == kind for way in ways()) for kind in ("act", "text"))
    if not 1 <= per_goal <= most:
        raise InputError(f"per_goal is {per_goal}; there are {most} ways of asking, so give 1 to {most}.")
    if goals is not None and goals < 1:
        raise InputError(f"goals is {goals}; give 1 or more, or None for all.")
    chosen = taxonomy().categories if categories is None else categories
    wanted = [(category, goal, _order(goal, seed)) for category in chosen for goal in category.goals[:goals]]
    made: dict[str, Example] = {}
    for turn in range(per_goal):
        for category, goal, order in wanted:
            for example in _twins(category, goal, order[turn], seed, opening):
                made.setdefault(example.id, example)
    return list(made.values())


def _order(goal: Goal, seed: int) -> list[Way]:
    """The ways of asking for a goal, shuffled, forms in turn."""
    rng = _rng("ways", seed, goal.id, goal.words)
    fitting = [way for way in ways() if way.kind == goal.kind]
    decks = [
        rng.sample(deck, len(deck))
        for form in ("question", "instruction", None)
        if (deck := [w for w in fitting if w.form == form])
    ]
    return [way for row in zip_longest(*rng.sample(decks, len(decks))) for way in row if way is not None]


def _twins(category: HarmCategory, goal: Goal, way: Way, seed: int, opening: str | None) -> Iterator[Example]:
    about: dict[str, Any] = {"goal": goal.id, "strategy": way.strategy, "template": way.id, "harm_categories": (category.id,)}
    framed = way.form is None

    def answer(words: str) -> str:
        return safe_answer(category, seed=digest(seed, way.id), framed=framed, opening=opening, **{goal.kind: words})

    yield _example(
        "harmful", way(goal.words), chosen=answer(goal.words), chosen_by=SOURCE, chosen_safe=True, imitate=True, **about
    )
    yield _example("lookalike", way(goal.like), rejected=answer(goal.like), rejected_by=SOURCE, rejected_safe=True, **about)


def safe_answer(
    category: HarmCategory,
    *,
    seed: int | str,
    act: str | None = None,
    text: str | None = None,
    framed: bool = False,
    opening: str | None = None,
) -> str:
    """An answer that declines, says whom it would harm, and offers something harmless; warm where somebody may be in need.

    Args:
        category: Gives the reasons and the offers.
        seed: The same arguments always give the same answer.
        act: What was to be done, if the answer may name it.
        text: What was to be written, if the answer may name it.
        framed: Whether the request came in some disguise.
        opening: Its first sentence; one is drawn when None.

    Returns:
        25 to 70 words; where long phrases of the category make that impossible, as near to it as could be drawn.

    Raises:
        InputError: The category has no reasons or nothing to offer, as those that are left out on purpose.
    """
    if not category.why or not category.instead:
        raise InputError(
            f"harm category {category.id!r} has no `why` or no `instead`, so no answer can be composed; leave it out."
        )
    manner = _answers().manners[_answers().manner_of.get(category.id, "plain")]
    rng = _rng("answer", seed, category.id, act, text)
    given = {name: words for name, words in (("act", act), ("text", text), ("opening", opening)) if words is not None}
    arrangements = [one for one in manner.arrangements if opening is None or one.startswith("{opening}")]
    missing = {"act", "text", *([] if framed else ["framed"])} - set(given)

    def draw(name: str) -> str:
        if name in given:
            return given[name]
        if name in ("why", "instead"):
            return rng.choice(category.why if name == "why" else category.instead)
        return fill(_choose(rng, manner.parts[name], missing), draw)

    best = ""
    for _ in range(ATTEMPTS):
        found = fill(_choose(rng, arrangements, missing), draw)
        if not best or _off(found) < _off(best):
            best = found
        if not _off(best):
            break
    return best


def _choose(rng: random.Random, options: Sequence[str], missing: set[str]) -> str:
    return rng.choice([option for option in options if missing.isdisjoint(map(str.lower, SLOT.findall(option)))])


def _off(answer: str) -> int:
    """By how many words an answer is too short or too long."""
    words = len(answer.split())
    return max(LEAST_WORDS - words, words - MOST_WORDS, 0)


def compose_ordinary(n: int, *, seed: int = 0) -> list[Example]:
    """Ordinary requests, spread evenly over everyday tasks, without near-duplicates; a smaller `n` gives a prefix.

    Args:
        n: Number of requests, at least 1.
        seed: Decides which; it is no part of the ids.

    Returns:
        Examples with no answers. `template` is task and template; some have earlier turns.

    Raises:
        InputError: n is below 1, or above what there is for this seed.
    """
    if n < 1:
        raise InputError(f"n is {n}; give 1 or more.")
    found = list(islice(_rounds(seed), n))
    if len(found) < n:
        raise InputError(
            f"n is {n}, but there are {len(found)} distinct ordinary requests for seed {seed}; give {len(found)} or less."
        )
    return found


def _rounds(seed: int) -> Iterator[Example]:
    rng = _rng("ordinary", seed)
    tasks = [_requests(name, task, seed) for name, task in _ordinary().tasks.items()]
    while tasks:
        for task in rng.sample(tasks, len(tasks)):
            example = next(task, None)
            if example is None:
                tasks.remove(task)
            else:
                yield example


def _requests(name: str, task: _Task, seed: int) -> Iterator[Example]:
    """Requests of one task, every template once in each round, until none gives anything new."""
    rng = _rng("ordinary", seed, name)
    templates = [*((id, (ask,)) for id, ask in task.asks.items()), *task.talks.items()]
    decks = {pool: _dealt(items, rng) for pool, items in {**_ordinary().pools, **task.pools}.items()}
    accepted: list[frozenset[str]] = []
    while templates:
        for id, patterns in rng.sample(templates, len(templates)):
            for _ in range(ATTEMPTS):
                filled = _filled(patterns, decks)
                own = grams(" ".join(filled))
                if not any(near(own, seen) for seen in accepted):
                    accepted.append(own)
                    yield _example("ordinary", _turns(filled), template=f"{name}/{id}")
                    break
            else:
                templates.remove((id, patterns))


def _filled(patterns: Sequence[str], decks: Mapping[str, Iterator[str]]) -> list[str]:
    dealt: dict[str, str] = {}

    def value(name: str) -> str:
        if name not in dealt:
            dealt[name] = next(decks[name])
        return dealt[name]

    return [fill(pattern, value) for pattern in patterns]


def _dealt(items: Sequence[T], rng: random.Random) -> Iterator[T]:
    """The items in shuffled order, without end, each once before any comes again."""
    while True:
        yield from rng.sample(items, len(items))


def _turns(texts: Sequence[str]) -> tuple[Message, ...]:
    return tuple(Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts))


def _example(kind: Literal["harmful", "lookalike", "ordinary"], prompt: tuple[Message, ...], **rest: Any) -> Example:
    return Example(id=f"{SOURCE}/{kind}/{digest(prompt)}", source=SOURCE, licence=LICENCE, prompt=prompt, kind=kind, **rest)


def _rng(*parts: object) -> random.Random:
    return random.Random(int(digest(*parts, length=32), 16))
