"""Measure how often a language model does harm in simulated conversations, attack it, train it, and measure again.

The names below are the public face; each is loaded when it is first used, so that `import rai_kit` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "schema": ("Case", "Conversation", "Estimate", "Example", "InputError", "Message", "Reply", "Scenario", "Verdict"),
    "data": ("draw_scenarios", "load_scenarios", "published_table", "rubric", "suite", "taxonomy"),
    "models": ("ChatModel",),
    "simulators": ("LLMUser", "ScriptedUser"),
    "judges": ("LLMJudge", "OfflineJudge"),
    "measure": ("Benchmark", "RedTeam", "benchmark", "judge_conversations", "red_team"),
    "html": ("examples", "transcripts"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"rai_kit.{_MODULE_OF[name]}"), name)
    if name in (
        "attacks",
        "plots",
        "metrics",
        "engine",
        "embedded",
        "measure",
        "corpus",
        "data",
        "judges",
        "labelling",
        "tables",
        "training",
    ):
        return import_module(f"rai_kit.{name}")
    raise AttributeError(f"module 'rai_kit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
