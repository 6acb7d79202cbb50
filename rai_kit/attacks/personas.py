"""Two adversaries as mixes of strategies, from `data/attacks/personas.yaml`.

Left out on purpose: which strategies can be played here and now (with or without an attacker model), and any drawing from a mix.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from rai_kit.data import data_dir
from rai_kit.data.files import read_yaml
from rai_kit.schema import InputError


class Persona(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An adversary.

    Attributes:
        title: For tables and figures.
        about: Who it is, in one sentence.
        shares: Strategy without an attacker model to its share of the attempts; they sum to 1.
        with_attacker: Strategies that join where there is an attacker model.

    Source: Haider et al. 2024, arXiv 2407.13833; the shares are an assumption of the kit.
    """

    title: str
    about: str
    shares: Mapping[str, float]
    with_attacker: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    personas: dict[str, Persona]


@cache
def load_personas(path: Path) -> dict[str, Persona]:
    """Reads a file of personas.

    Raises:
        InputError: A key is missing, misspelt or mistyped, shares do not sum to 1, or a strategy belongs to two personas.
    """
    personas = read_yaml(path, _File).personas
    for name, persona in personas.items():
        if not math.isclose(sum(persona.shares.values()), 1, abs_tol=1e-9) or min(persona.shares.values()) <= 0:
            raise InputError(
                f"{path}: the shares of `{name}` sum to {sum(persona.shares.values()):g}; make them positive and their sum 1."
            )
    owners = Counter(strategy for persona in personas.values() for strategy in (*persona.shares, *persona.with_attacker))
    twice = sorted(strategy for strategy, count in owners.items() if count > 1)
    if twice:
        raise InputError(f"{path}: {', '.join(twice)} stands in two places; each strategy belongs to exactly one persona.")
    return personas


def personas() -> dict[str, Persona]:
    """The kit's adversaries, by name: `low_skilled` and `intermediate`."""
    return load_personas(data_dir() / "attacks" / "personas.yaml")
