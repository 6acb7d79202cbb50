"""Prices from a file that the user edits, and budgets from a word."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rai_kit.data import data_dir
from rai_kit.schema import InputError

TOKENS = "tokens"


@dataclass(frozen=True)
class Price:
    """Price of a model, in currency per million tokens."""

    input: float
    output: float

    def money(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Prices:
    """What models cost.

    Attributes:
        currency: Three capital letters.
        models: Address, or pattern of addresses (`*`, `?`), to price; the first that matches holds.
        file: What messages call the file.
    """

    currency: str = "USD"
    models: Mapping[str, Price] = field(default_factory=dict)
    file: str = "data/prices.yaml"

    @classmethod
    def load(cls, path: Path | None = None) -> Prices:
        """Reads a file of prices: the one given, else that named by `RAI_KIT_PRICES`, else `data/prices.yaml`.

        Raises:
            InputError: The file cannot be read, or a key or value in it is wrong; file, key and value are named.
        """
        path = Path(path or os.environ.get("RAI_KIT_PRICES") or data_dir() / "prices.yaml").expanduser()
        root = data_dir().parent
        file = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        found = _mapping(file, "the file", _read(path, file), ("currency", "models"))
        currency = found["currency"]
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
            raise InputError(f"{file}: currency is {currency!r}; give three capital letters, such as USD.")
        models = {}
        for pattern, entry in _mapping(file, "models", found["models"]).items():
            if not isinstance(pattern, str) or not pattern:
                raise InputError(f"{file}: models has the key {pattern!r}; give a model's address, or a pattern of addresses.")
            where = f"models[{pattern!r}]"
            price = _mapping(file, where, entry, ("input", "output"))
            for name, value in price.items():
                if type(value) not in (int, float) or not 0 <= value < math.inf:
                    raise InputError(
                        f"{file}: {where}.{name} is {value!r}; give a number, 0 or more, of {currency} a million tokens."
                    )
            models[pattern] = Price(price["input"], price["output"])
        return cls(currency, models, file)

    def of(self, address: str) -> Price | None:
        """The price of the model at an address; None where it is unknown, which is not 0."""
        address = address.strip().rstrip("/")
        patterns = ((pattern.strip().rstrip("/"), price) for pattern, price in self.models.items())
        return next((price for pattern, price in patterns if address == pattern or fnmatchcase(address, pattern)), None)

    def lacking(self, models: Iterable[str]) -> str:
        """Words that say which of these models have no price; empty where all have one."""
        missing = sorted({model for model in models if self.of(model) is None})
        return f"no price for {', '.join(missing)} in {self.file}" if missing else ""


def _read(path: Path, file: str) -> Any:
    import yaml

    try:
        text = path.read_bytes()
        tree, found = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); give a file of prices (RAI_KIT_PRICES names one).") from None
    except (yaml.YAMLError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{file} is no YAML ({words}); write every address between quotation marks.") from None
    if twice := _repeated(tree):
        raise InputError(f"{file}: key {twice!r} stands twice; keep one.")
    return found


def _repeated(tree: Any) -> str | None:
    """A key that stands twice in a mapping of a YAML tree; YAML itself lets the last one win, without a word."""
    pairs = [pair for pair in getattr(tree, "value", ()) if isinstance(pair, tuple)]
    keys = [key.value for key, _ in pairs]
    return next((key for key in keys if keys.count(key) > 1), None) or next(
        filter(None, (_repeated(value) for _, value in pairs)), None
    )


def _mapping(file: str, what: str, found: Any, keys: tuple[str, ...] = ()) -> dict[Any, Any]:
    """A mapping with exactly these keys; with any, where none are given."""
    form = f"with the keys {' and '.join(keys)}" if keys else "from addresses to prices, or {} for none"
    if not isinstance(found, dict):
        raise InputError(f"{file}: {what} is {found!r}; give a mapping {form}.")
    wrong = [key for key in [*keys, *found] if keys and not (key in keys and key in found)]
    if wrong:
        how = "lacks the" if wrong[0] in keys else "has an unknown"
        raise InputError(f"{file}: {what} {how} key {wrong[0]!r}; give a mapping {form}.")
    return found


@dataclass(frozen=True)
class Budget:
    """What a run folder may cost in all: an amount of `tokens` (read and written), or of the currency of the prices."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str, currency: str) -> Budget:
        """Reads `5 USD`, `$5` (where prices are in USD), `200000 tokens`, `200k tokens`, `2M tokens`.

        Raises:
            InputError: Anything else, an amount of 0, or another currency.
        """
        number = r" *([0-9]*\.?[0-9]+) *"
        money = re.fullmatch(rf"{number}{currency}" + (rf"|\${number}" if currency == "USD" else ""), text.strip(), re.IGNORECASE)
        tokens = re.fullmatch(rf"{number}([km]?) *tokens?", text.strip(), re.IGNORECASE)
        amount = 0.0
        if money:
            amount = float(next(filter(None, money.groups())))
        elif tokens:
            amount = float(tokens[1]) * {"k": 1e3, "m": 1e6}.get(tokens[2].lower(), 1)
        if not 0 < amount < math.inf:
            raise InputError(
                f"budget is {text!r}; give an amount above 0, of {currency} (as the prices are) or of tokens: "
                f"'5 {currency}', '200k tokens', '2M tokens'."
            )
        return cls(amount, TOKENS if tokens else currency)

    def __str__(self) -> str:
        return f"{self.amount:,.0f} tokens" if self.unit == TOKENS else f"{money_text(self.amount)} {self.unit}"


def money_text(amount: float) -> str:
    """An amount for people: two decimals, or as many as show two digits of a small one."""
    places = 2 if amount == 0 or amount >= 0.1 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{places}f}"
