"""All attack strategies by name, and what they are called in figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rai_kit.attacks import scripted
from rai_kit.attacks.actor import ActorAttack
from rai_kit.attacks.best_of_n import BestOfN
from rai_kit.attacks.crescendo import Crescendo
from rai_kit.attacks.encodings import SCHEMES, Encoding
from rai_kit.attacks.goat import Goat
from rai_kit.attacks.many_shot import ManyShot
from rai_kit.attacks.pair import Pair
from rai_kit.attacks.past_tense import PastTense
from rai_kit.attacks.personas import personas
from rai_kit.attacks.session import Attack
from rai_kit.attacks.splitting import PayloadSplitting
from rai_kit.attacks.tap import Tap
from rai_kit.schema import InputError, Model

RAINBOW = "rainbow"
"""The one that is no attack on a goal but a search over all (`rainbow.Archive`)."""

_ALONE: dict[str, Callable[[], Attack]] = {
    "past_tense": PastTense,
    "payload_splitting": PayloadSplitting,
    "many_shot": ManyShot,
    "best_of_n": BestOfN,
}
_LED: dict[str, Callable[[Model], Attack]] = {
    "crescendo": Crescendo,
    "pair": Pair,
    "tap": Tap,
    "goat": Goat,
    "actor_attack": ActorAttack,
}
_TITLES = {
    "past_tense": "Past tense",
    "payload_splitting": "Payload splitting",
    "many_shot": "Many-shot",
    "best_of_n": "Best-of-N",
    "base64": "Base64",
    "leetspeak": "Leetspeak",
    "rot13": "ROT13",
    "reversed": "Reversed letters",
    "crescendo": "Crescendo",
    "pair": "PAIR",
    "tap": "TAP",
    "goat": "GOAT",
    "actor_attack": "ActorAttack",
    RAINBOW: "Rainbow",
}


def strategy_names(*, attacker: bool = False) -> list[str]:
    """Names of the strategies, persona by persona: those that need no attacker model, and with `attacker` the others, too."""
    alone = [name for one in personas().values() for name in one.shares]
    return alone + ([*_LED, RAINBOW] if attacker else [])


def titles() -> dict[str, str]:
    """Name -> title of every strategy."""
    return scripted.titles() | _TITLES


def strategy(name: str, attacker: Model | None = None) -> Attack:
    """The attack of that name, with its usual settings.

    Args:
        name: Such as `crescendo`; `rainbow` is none (`rainbow.Archive`).
        attacker: The model behind those that need one.

    Raises:
        InputError: No such strategy, or it needs an attacker.
    """
    check_names([name], attacker=attacker is not None)
    if attacker is not None and name in _LED:
        return _LED[name](attacker)
    if name in SCHEMES:
        return Encoding(name)
    if name in _ALONE:
        return _ALONE[name]()
    return scripted.Scripted(name)


def persona_of(name: str) -> str:
    """The adversary to whom a strategy belongs."""
    return next(id for id, one in personas().items() if name in one.shares or name in one.with_attacker)


def persona_shares() -> dict[str, dict[str, float]]:
    """Persona -> strategy -> its weight among the persona's attempts; of one that needs an attacker, the mean of the others'."""
    return {id: {**one.shares, **dict.fromkeys(one.with_attacker, 1 / len(one.shares))} for id, one in personas().items()}


def check_names(names: Sequence[str], *, attacker: bool) -> list[str]:
    """Strategy names in a fixed order, each once; all that are possible for none given.

    Raises:
        InputError: One does not exist, is named twice, or needs an attacker and there is none.
    """
    known = strategy_names(attacker=True)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"strategy {unknown[0]!r} does not exist; choose from {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise InputError(f"strategies names one twice ({', '.join(names)}); name each once.")
    if not attacker and (led := [name for name in names if name in (*_LED, RAINBOW)]):
        raise InputError(
            f"strategy {led[0]!r} needs an attacker model; give the address of one (attacker=..., on the command line --attacker)."
        )
    return [name for name in known if name in names] if names else strategy_names(attacker=attacker)
