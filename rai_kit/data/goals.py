"""Goals of a red team: which are drawn, and which are kept for testing.

Goals for finding weaknesses (and for training on what was found) and goals held out share no wish; the division is fixed, so that
whatever draws or trains keeps to it, and strategies are divided likewise. Left out on purpose: closeness of meaning; one wish in quite
other words is found only where its plain words are the same.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

from rai_kit.data.goal_files import GOAL_SOURCES, OTHER, every_kit_goal, family_of_category, load_goals, taxonomy_goals
from rai_kit.data.similar import NEAR_DUPLICATE, grams, near
from rai_kit.data.taxonomy import taxonomy
from rai_kit.schema import AttackGoal, InputError, digest

Part = Literal["finding", "held_out"]
Item = TypeVar("Item")

HELD_OUT = 0.3
"""Share of goals, and of strategies, that is kept for testing."""
RELATED = (
    ("base64", "leetspeak", "reversed", "rot13"),
    ("novel", "roleplay"),
    ("authority", "persuasion"),
    ("pair", "tap"),
    ("crescendo", "foot_in_the_door"),
)
"""Strategies that stand on one side together, because what is learnt against one carries over to the others: a disguise of letters, a
frame of fiction, reasons to comply, an attacker that rewrites what failed, a ladder of small steps."""
_SALT = "goals-320"
"""Chosen so that every category of the taxonomy has goals on both sides, and every source about the share."""
_STRATEGY_SALT = "strategies-26"
"""Chosen so that about the share of the kit's strategies is held out, of those with an attacker model and of those without."""


def draw_goals(
    sources: str | Path | Sequence[str | Path] = ("taxonomy",),
    n: int | None = None,
    *,
    categories: Iterable[str] | None = None,
    part: Part | None = None,
    seed: int = 0,
) -> list[AttackGoal]:
    """Goals without near-duplicates, in turn from each family and within it from each category; fewer are a prefix of more.

    Args:
        sources: As for `load_goals`.
        n: How many; all when None.
        categories: Only these harm categories, `other` among them if wanted.
        part: Only goals for `finding`, or those `held_out` (`part_of`); both when None.
        seed: Decides which, and in which order.

    Raises:
        InputError: A source, category or part does not exist, two sources give one id to two goals, or there are fewer than `n` goals.
    """
    if part not in (None, *get_args(Part)):
        raise InputError(f"part is {part!r}; give 'finding', 'held_out' or None.")
    wanted = None if categories is None else {id if id == OTHER else taxonomy().category(id).id for id in categories}
    pool: dict[str, AttackGoal] = {}
    for source in _listed(sources):
        for goal in (taxonomy_goals() if source == "taxonomy" else load_goals(source)).goals:
            if pool.setdefault(goal.id, goal).request != goal.request:
                raise InputError(f"{source}: the id {goal.id!r} is that of another goal in {pool[goal.id].source}; rename one.")
    sides = part_of(pool.values()) if part else {}
    goals = [
        goal
        for goal in sorted(pool.values(), key=lambda goal: digest(seed, goal.id))
        if (wanted is None or goal.category in wanted) and (part is None or sides[goal.id] == part)
    ]
    nearest = defaultdict(set)
    for earlier, later in _near_pairs(goals):
        nearest[later].add(earlier)
    kept: set[int] = set()
    queues: dict[str, dict[str, list[AttackGoal]]] = defaultdict(lambda: defaultdict(list))
    for place, goal in enumerate(goals):
        if not nearest[place] & kept:
            kept.add(place)
            queues[family_of_category().get(goal.category, OTHER)][goal.category].append(goal)
    families = [_in_turn([queues[family][id] for id in _shuffled(queues[family], seed)]) for family in _shuffled(queues, seed)]
    drawn = _in_turn(families)
    if not drawn or (n is not None and not 1 <= n <= len(drawn)):
        what = (
            f"{', '.join(map(str, _listed(sources)))} has {len(drawn)} different {part or ''} goals of these categories".replace(
                "  ", " "
            )
        )
        raise InputError(f"n is {n}, and {what}; give {f'1 to {len(drawn)}, or ' if drawn else ''}more sources or categories.")
    return drawn[:n]


def _listed(sources: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [sources] if isinstance(sources, str | Path) else sources


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: digest(seed, name))


def _in_turn(queues: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of each, then the second of each, and so on; who has no more is passed over."""
    return [item for turn in zip_longest(*queues) for item in turn if item is not None]


def part_of(goals: Iterable[AttackGoal], held_out: float = HELD_OUT) -> dict[str, Part]:
    """Whether each goal is for finding or held out, by id.

    Goals that are near-duplicates, by their requests or by the plain wishes in them and across all sources, are on one side. The side
    follows from a digest of the smallest id among them, and so does not depend on what else is drawn. The user's goals go where the
    kit's near-duplicates of them are; one that has some on both sides is held out.

    Args:
        goals: Of any sources; every goal of the kit is considered with them.
        held_out: About this share of each source is held out; what a smaller share holds out, a larger one does too.

    Raises:
        InputError: `held_out` is no share.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out is {held_out}; give a share between 0 and 1, such as {HELD_OUT}.")
    goals = list(goals)
    parts = _kit_parts(held_out)
    own = [goal for goal in goals if goal.id not in parts]
    if own:
        parts = _parts([*every_kit_goal(), *own], held_out, parts)
    return {goal.id: parts[goal.id] for goal in goals}


def held_out_goal_ids(sources: str | Path | Sequence[str | Path] = GOAL_SOURCES) -> frozenset[str]:
    """Ids of all held-out goals of the sources: those that no training may see. The sources are as for `load_goals`."""
    goals = chain.from_iterable(load_goals(source).goals for source in _listed(sources))
    return frozenset(id for id, part in part_of(goals).items() if part == "held_out")


@cache
def _kit_parts(held_out: float) -> Mapping[str, Part]:
    return MappingProxyType(_parts(every_kit_goal(), held_out, {}))


def _parts(goals: Sequence[AttackGoal], held_out: float, settled: Mapping[str, Part]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for group in _groups(goals):
        ids = [goals[place].id for place in group]
        sides = {settled[id] for id in ids if id in settled}
        new = "held_out" in sides or (not sides and _fraction(_SALT, min(ids)) < held_out)
        found |= {id: settled.get(id, "held_out" if new else "finding") for id in ids}
    return found


def _fraction(*what: object) -> float:
    """A number from 0 to below 1 that follows from the digest."""
    return int(digest(*what), 16) / 16**12


def _groups(goals: Sequence[AttackGoal]) -> list[list[int]]:
    """Places of goals that hang together by near-duplicates."""
    group = {place: [place] for place in range(len(goals))}
    for one, other in _near_pairs(goals):
        if group[one] is not group[other]:
            group[one] += group[other]
            group |= dict.fromkeys(group[other], group[one])
    return [members for place, members in group.items() if members[0] == place]


def _near_pairs(goals: Sequence[AttackGoal]) -> set[tuple[int, int]]:
    """Places of near-duplicates, the smaller first: by the requests, and by the wishes without `Write a tutorial on how to` or the like."""
    wishes = [goal.act or goal.text or goal.request for goal in goals]
    return {*_near_texts([goal.request for goal in goals]), *_near_texts(wishes)}


def _near_texts(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    # Two sets above the similarity share at least that share of each; so the rarest of the rest, and one more, cannot be all different.
    sets = [grams(text) for text in texts]
    count = Counter(chain.from_iterable(sets))
    seen: dict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(sets):
        rare = sorted(own, key=lambda gram: (count[gram], gram))[: len(own) - math.ceil(NEAR_DUPLICATE * len(own)) + 1]
        for earlier in {earlier for gram in rare for earlier in seen[gram]}:
            if near(sets[earlier], own):
                yield earlier, place
        for gram in rare:
            seen[gram].append(place)


def split_strategies(names: Iterable[str], held_out: float = HELD_OUT) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of strategies for finding, and those held out, each in their order.

    It follows from the names: `direct` is always for finding, `RELATED` ones stay together. Where the digests would leave a side empty, the
    name nearest to the other side goes there; but where there are no three names nothing has to be held out.

    Raises:
        InputError: `held_out` is no share.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out is {held_out}; give a share between 0 and 1, such as {HELD_OUT}.")
    kin = {name: next((group[0] for group in RELATED if name in group), name) for name in names}
    rank = sorted({_fraction(_STRATEGY_SALT, group): group for group in kin.values() if group != "direct"}.items())
    most = len(set(kin.values())) - 1
    least = 1 if len(kin) >= 3 else 0
    number = min(max(sum(fraction < held_out for fraction, _ in rank), least), most)
    chosen = {group for _, group in rank[: max(number, 0)]}
    return tuple(name for name in kin if kin[name] not in chosen), tuple(name for name in kin if kin[name] in chosen)
