"""Which of two runs answers ordinary prompts better, by a judge that is a model: a safe model that no longer helps shows here.

Of every conversation the first answer counts, since only the first message is the same in both runs. `metrics.win_rate` sums up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_kit import engine
from rai_kit.journal import Journal
from rai_kit.measure.opening import open_run
from rai_kit.measure.parties import JUDGE_TOKENS, check, judge_names, offline_judge
from rai_kit.measure.rai import Benchmark
from rai_kit.models import ChatModel
from rai_kit.pool import bounded
from rai_kit.progress import steps
from rai_kit.schema import Conversation, InputError, Message, Scenario

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.judges.preference import Preference

Key = tuple[str, int]
_NAMES = {"first": "before", "second": "after"}


def preferred(
    before: str | Path,
    after: str | Path,
    *,
    judge: str,
    journal: str | Path | None = None,
    category: str = "ordinary",
    seed: int = 0,
    concurrency: int = 32,
    timeout: float = 180.0,
    self_judging: bool = False,
) -> pd.DataFrame:
    """Has the first answers of two runs compared, scenario by scenario.

    Args:
        before: Run folder of a benchmark of one model.
        after: Another, of the same scenarios.
        judge: Address of the model that judges.
        journal: File of finished calls; None asks anew each time.
        category: Category of the scenarios.
        seed: Of the judge's calls.
        concurrency: Most pairs in flight.
        timeout: Most seconds of one try of a call.
        self_judging: Allow a judge that is one of the models.

    Returns:
        One row a scenario and seed, in their order: `scenario`, `seed`, `cluster`, `outcome` (`before`, `after`, `tie`, `unscored`),
        `consistent` (whether both orders of the answers said the same; None where the judge was not heard), `cause`. Where one run lacks
        the scenario the cause is `no_partner`, and without a first answer `before:<cause>` or `after:<cause>`.

    Raises:
        InputError: No such run, several models in one, no scenario in common, different prompts, or a judge that cannot be used.
    """
    import pandas as pd

    from rai_kit.judges.preference import Preference, PreferenceJudge

    if offline_judge(judge) is not None or len(judge_names(judge)) > 1:
        raise InputError(f"judge {judge!r} compares no answers; give the address of one model, such as gpt-4o.")
    talks = {name: _talks(name, folder, category) for name, folder in (("before", before), ("after", after))}
    models = dict.fromkeys(talk.target for side in talks.values() for talk, _ in side.values())
    check(tuple(models), judge, self_judging, concurrency=concurrency, timeout=timeout)
    one, other = talks["before"], talks["after"]
    if not one.keys() & other.keys():
        raise InputError(f"{before} and {after} share no scenario of category {category!r}; give two runs of the same scenarios.")
    keys = sorted(one.keys() | other.keys())
    found: dict[Key, Preference] = {}
    store = None if journal is None else Journal(journal)
    try:
        model = ChatModel(judge, temperature=0.0, max_tokens=JUDGE_TOKENS, role="judge", journal=store, timeout=timeout)
        decide = PreferenceJudge(model, seed)
        asked: list[tuple[Key, tuple[Message, ...], str, str]] = []
        for key in keys:
            if key not in one or key not in other:
                found[key] = Preference("unscored", "no_partner")
                continue
            (prompt, first), (shown, second) = _first(one[key][0]), _first(other[key][0])
            if prompt != shown:
                raise InputError(
                    f"scenario {key[0]} opens otherwise in {after} than in {before}; give two runs of the same scenarios."
                )
            silent = next((f"{name}:{_why(side[key][0])}" for name, side in talks.items() if not _first(side[key][0])[1]), None)
            if silent is not None:
                found[key] = Preference("unscored", silent)
            else:
                asked.append((key, prompt, first, second))

        async def compare(index: int) -> None:
            key, prompt, first, second = asked[index]
            found[key] = await decide(prompt, first, second)
            step(found[key].outcome)

        with steps(len(asked), "pairs") as step:
            engine.in_own_loop(engine.closing([model], bounded(len(asked), compare, concurrency)))
    finally:
        if store is not None:
            store.close()
    rows = []
    for key in keys:
        said = found[key]
        scenario = (one.get(key) or other[key])[1]
        agreed = said.orders[0] == said.orders[1] if said.orders else None
        outcome = _NAMES.get(said.outcome, said.outcome)
        rows.append((*key, scenario.cluster, outcome, agreed, said.cause))
    return pd.DataFrame(rows, columns=["scenario", "seed", "cluster", "outcome", "consistent", "cause"])


def _talks(name: str, folder: str | Path, category: str) -> dict[Key, tuple[Conversation, Scenario]]:
    """A run's conversations of the category, by scenario and seed."""
    run = open_run(folder)
    if not isinstance(run, Benchmark):
        raise InputError(f"{name}: {folder} is a red team; give the folder of a benchmark.")
    scenarios = {one.id: one for one in run.scenarios}
    found: dict[Key, tuple[Conversation, Scenario]] = {}
    for talk in run.conversations:
        if talk.category != category:
            continue
        scenario = scenarios[talk.scenario]
        key = scenario.id, scenario.seed
        if key in found:
            raise InputError(f"{name}: {folder} holds several models ({found[key][0].target}, {talk.target}); give a run of one.")
        found[key] = talk, scenario
    if not found:
        known = ", ".join(sorted({one.category for one in scenarios.values()}))
        raise InputError(f"{name}: {folder} holds no conversation of category {category!r}; it has {known}.")
    return found


def _first(talk: Conversation) -> tuple[tuple[Message, ...], str]:
    """What was said before the first answer, without the system's messages (an arm may consist in one), and that answer."""
    prompt: list[Message] = []
    for message in talk.messages:
        if message.role == "assistant":
            return tuple(prompt), message.content.strip()
        if message.role == "user":
            prompt.append(message)
    return tuple(prompt), ""


def _why(talk: Conversation) -> str:
    return (talk.cause or "empty").removeprefix("target:")
