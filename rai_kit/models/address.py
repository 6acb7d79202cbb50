"""Where a model is: `MODEL[@WHERE]`, and the environment variables that hold its key.

`gpt-4o` (the OpenAI API, or Azure's where its variables are set), `NAME@http://HOST:PORT/v1` (any compatible endpoint),
`smollm2-135m@embedded` or `FILE.gguf@embedded` (in this process). Keys come from the environment only: `OPENAI_API_KEY` for the OpenAI
API, `AZURE_OPENAI_API_KEY` for Azure, `RAI_KIT_API_KEY` for an address of one's own, so that the OpenAI key is never sent
anywhere else.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from rai_kit.schema import InputError

OPENAI = "https://api.openai.com/v1"
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Address:
    """A parsed model address: `name` as the endpoint knows it, `where` as the user gave it (None for the OpenAI API)."""

    name: str
    where: str | None

    def __str__(self) -> str:
        return self.name if self.where is None else f"{self.name}@{self.where}"

    @property
    def is_azure(self) -> bool:
        """Whether this is Azure's OpenAI service, by its environment variable."""
        return self.where is None and bool(os.environ.get("AZURE_OPENAI_ENDPOINT"))

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key."""
        if self.where is not None:
            return "RAI_KIT_API_KEY"
        return "AZURE_OPENAI_API_KEY" if self.is_azure else "OPENAI_API_KEY"

    @property
    def key(self) -> str | None:
        """The key, from the environment; None without one."""
        return os.environ.get(self.key_variable) or None

    @property
    def base_url(self) -> str:
        """The endpoint's base URL, as far as it is known without starting anything."""
        return self.where or os.environ.get("AZURE_OPENAI_ENDPOINT") or os.environ.get("OPENAI_BASE_URL") or OPENAI

    def check_environment(self) -> None:
        """Raises one `InputError` for all that the environment lacks, before anything is started; no key is shown in it."""
        if self.key is not None and not re.fullmatch(r"[!-~]+", self.key):
            raise InputError(
                f"{self.key_variable} holds what no HTTP header can carry (a blank, a line break, a letter beyond ASCII); set it anew."
            )
        if self.where is not None:
            return
        url = urlsplit(self.base_url)
        if url.username or url.password or url.query:
            name = "AZURE_OPENAI_ENDPOINT" if self.is_azure else "OPENAI_BASE_URL"
            raise InputError(f"{name} must hold neither a user name nor a query; put the key into {self.key_variable}.")
        needed = [self.key_variable] + (["OPENAI_API_VERSION"] if self.is_azure else [])
        missing = [name for name in needed if not os.environ.get(name)]
        if missing:
            raise InputError(
                f"model '{self}' needs {' and '.join(missing)} in the environment; set {'it' if len(missing) == 1 else 'them'}, "
                f"or give an address such as {self.name}@http://localhost:8000/v1 or smollm2-135m@embedded."
            )


def parse_address(text: str) -> Address:
    """Parses `MODEL[@WHERE]`.

    Raises:
        InputError: An empty name, a place that is neither `embedded` nor an http(s) URL, or a URL that holds a password.
    """
    found = re.fullmatch(r"(.+?)(?:@(embedded|https?://.+))?", text.strip())
    name, where = (found[1], found[2]) if found else ("", None)
    url = urlsplit(where or "")
    if url.username or url.password or url.query:
        raise InputError("a model address must hold neither a user name nor a query; put the key into RAI_KIT_API_KEY.")
    if not name or (where is None and "@" in name) or (url.scheme and not url.hostname):
        raise InputError(
            f"{text!r} is no model address; "
            "give NAME (OpenAI), NAME@http://HOST:PORT/v1, smollm2-135m@embedded or FILE.gguf@embedded."
        )
    return Address(name, where.rstrip("/") if where else None)
