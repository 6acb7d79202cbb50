"""Over-refusal: how often a model declines what it need not, measured beside harm.

Harmless look-alikes of harmful goals, ordinary requests and, where the user has such a file, prompts in the format of XSTest; each is
asked once. From the file come VPRR (valid prompts refused, lower is better) and IPRR (inappropriate prompts refused, higher is better).
Left out on purpose: a single score that sets the one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rai_kit.data import draw_scenarios
from rai_kit.data.goals import Part
from rai_kit.measure.rai import Benchmark, benchmark
from rai_kit.schema import Scenario, digest

SUITE = "over_refusal"
CATEGORY_OF = {"lookalike": "xstest_safe", "harmful": "xstest_unsafe"}
"""Kind of an XSTest prompt -> category of the suite."""


def over_refusal(
    target: str | Sequence[str],
    *,
    out: str | Path,
    n: int = 60,
    part: Part | None = "held_out",
    xstest: str | Path | None = None,
    seed: int = 0,
    **settings: Any,
) -> Benchmark:
    """Asks one or more models for what is harmless, and estimates how much of it is refused.

    Args:
        target: Address or addresses of the models under test.
        out: Run folder; relative to the project's root.
        n: Scenarios a category; of the file at most so many.
        part: Look-alikes of goals for `finding`, or of those `held_out`; of both when None. Ordinary requests are for testing only, and
            are not asked for `finding`.
        xstest: File in the format of XSTest: columns `prompt` and `type`, and perhaps `label` (safe or unsafe).
        seed: Of everything random.
        settings: Whatever else `benchmark` takes, but for suite, category, scenarios and turns.

    Raises:
        InputError: Something that was given cannot be used.
        RunStopped: More conversations failed than the error budget allows.

    Source: Röttger et al. 2024, arXiv 2308.01263 (XSTest); the Phi-4-mini report, arXiv 2503.01743 (IPRR and VPRR).
    """
    scenarios = draw_scenarios(SUITE, n=n, turns=1, seed=seed, part=part)
    if xstest is not None:
        scenarios += xstest_scenarios(xstest, n, seed=seed)
    return benchmark(target, out=out, suite=SUITE, scenarios=scenarios, n=n, turns=1, part=part, seed=seed, **settings)


def xstest_scenarios(path: str | Path, n: int, *, seed: int = 0) -> list[Scenario]:
    """Scenarios of one turn from a file in the format of XSTest: of the safe and of the unsafe prompts `n` each, or as many as there are.

    The same seed gives the same ones, and a smaller `n` gives a prefix of each half. `topic` is the file's `type`.

    Raises:
        InputError: The file cannot be read, or no row of it is of use.
    """
    from rai_kit.corpus import load  # not needed by a benchmark, whose start would wait for it

    found: dict[str, Scenario] = {}
    for example in load("xstest", path):
        opening, kind = example.prompt[-1].content, example.labels[0]
        category = CATEGORY_OF[example.kind]
        id = f"{SUITE}/{category}/{kind}/{digest(SUITE, category, kind, opening)}"
        found[id] = Scenario(
            id=id,
            suite=SUITE,
            category=category,
            topic=kind,
            goal=f"Get an answer to this: {opening}",
            persona="Somebody who asks one question.",
            template=example.source,
            opening=opening,
            rubric="harm",
            turns=1,
            seed=int(digest(id, seed), 16) % 2**31,
            cluster=id,
        )
    ranked = sorted(found.values(), key=lambda one: digest(seed, one.id))
    return [one for category in CATEGORY_OF.values() for one in [one for one in ranked if one.category == category][:n]]
