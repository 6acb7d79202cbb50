"""From what broke to what is taught: findings of benchmarks and red teams become training data, aimed at the categories that failed.

Four kinds of material: conversations in which the target failed, with a safe answer in the place of the bad one; new requests for other
goals of the same categories, with safe answers; their harmless twins and ordinary requests, with the target's own answers, so
that what it does there stays. Nothing held out enters: goals and strategies are divided once and for all (`data.part_of`), and a failure on
a held-out one is counted and left out. So are requests borrowed from other sets, since these are kept for a test of other origin.
Left out on purpose: weighing single failures by their severity.

Source: the break-fix cycle, arXiv 2407.13833; harmless look-alikes against exaggerated safety, Bianchi et al. 2024, arXiv 2309.07875.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from rai_kit.cache import write_json, write_whole
from rai_kit.data import part_of, split_strategies, taxonomy
from rai_kit.data.goal_files import taxonomy_goals
from rai_kit.data.taxonomy import METRIC, HarmCategory
from rai_kit.measure.folder import run_folder
from rai_kit.measure.opening import open_run
from rai_kit.measure.own_answers import own_answers
from rai_kit.schema import Example, InputError, Message, digest

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.measure.attempts import RedTeam
    from rai_kit.measure.rai import Benchmark

LEAST_FAILURES = 3
"""Fewer failures say too little about where a model fails."""
LONGEST = 900
"""Most characters of a failed conversation that is taught: longer ones cost as much time as five short ones."""
OPENING = "I'm sorry, but I can't help with that."
"""With which every refusal begins."""
SPARE = 1.15
"""As many times more harmless requests are asked as are wanted, for some answers refuse, loop or are empty."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How much of what the training data hold.

    Attributes:
        total: Number of examples.
        found: Share of failed conversations; as many as there are, if there are fewer (the rest are new requests then).
        harmful: Share of new harmful requests.
        lookalike: Share of harmless twins of harmful goals.
        ordinary: Share of ordinary requests.
        imitated: Share of each kind that is imitated (SFT); the rest is kept for contrast (DPO).
        opening: Sentence with which every refusal begins; None lets the openings vary. A few hundred examples bring one sentence within
            a small model's reach, not forty (docs/log.md).
        least: Fewest failures to start from.
    """

    total: int = 640
    found: float = 0.1
    harmful: float = 0.4
    lookalike: float = 0.35
    ordinary: float = 0.15
    imitated: float = 0.25
    opening: str | None = OPENING
    least: int = LEAST_FAILURES

    def __post_init__(self) -> None:
        shares = self.shares
        if not 0 < self.imitated <= 1:
            raise InputError(f"imitated is {self.imitated}; give a share above 0, at most 1.")
        if bad := [name for name, value in shares.items() if not 0 <= value <= 1]:
            raise InputError(f"{bad[0]} is {shares[bad[0]]}; it is a share of the mix, so give 0 to 1.")
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise InputError(f"{', '.join(f'{name} {value}' for name, value in shares.items())}: these shares must add up to 1.")
        if self.total < 8:
            raise InputError(f"total is {self.total}; give at least 8 examples.")

    @property
    def shares(self) -> dict[str, float]:
        """Share of each kind."""
        return {name: getattr(self, name) for name in ("found", "harmful", "lookalike", "ordinary")}

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each kind."""
        return {name: round(self.total * value) for name, value in self.shares.items()}


@dataclass(frozen=True)
class Finding:
    """One failure: what was said up to the bad answer, that answer, and whose it is."""

    model: str
    category: str
    goal: str
    strategy: str
    prompt: tuple[Message, ...]
    answer: str


@dataclass(frozen=True)
class Curated:
    """Training data, and where they come from.

    Attributes:
        examples: What is imitated, the kinds shuffled among each other.
        fresh: The rest, with right answers: it is asked after SFT, and what the model gets wrong there is contrasted with what is right.
        weights: One row a harm category: `failures` and `scored` of what was read, `share` of the new requests it gets, `examples`.
        tally: What became of the failures and of the target's own answers.
    """

    examples: tuple[Example, ...]
    fresh: tuple[Example, ...]
    weights: pd.DataFrame
    tally: Mapping[str, Mapping[str, int]]

    @cached_property
    def benign(self) -> tuple[Example, ...]:
        """The harmless part alone, to be imitated: what a placebo is trained on. What not to answer there is safety data, too."""
        harmless = (one for one in (*self.examples, *self.fresh) if one.kind in ("lookalike", "ordinary"))
        return tuple(replace(one, rejected=None, rejected_by=None, rejected_safe=None) for one in harmless)

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each kind, imitated or kept for contrast."""
        return dict(Counter(one.kind for one in (*self.examples, *self.fresh)))

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return f"Curated({counts}; from {int(self.weights['failures'].sum())} failures)"


def curate(
    *runs: str | Path,
    target: str,
    out: str | Path,
    earlier: Sequence[str] = (),
    voice: str | None = None,
    mix: Mix | None = None,
    judge: str = "offline",
    journal: str | Path | None = None,
    seed: int = 0,
    own_refusals: bool = False,
    concurrency: int = 32,
    max_tokens: int = 64,
    beginnings: bool = False,
) -> Curated:
    """Turns the failures of a target in finished runs into training data.

    Harm categories get the more new requests the more of their cases failed, those of the same family without a failure get some, too
    (`aim`). The same call on the same folder reads finished answers from the journal.

    Args:
        runs: Folders of benchmarks (suite `taxonomy`) and red teams.
        target: Address of the model that failed.
        earlier: Addresses of the models of earlier rounds, whose failures in these runs are taught once more: what was mended stays so,
            and one round's few failures say little about where to aim.
        voice: Address of the model whose own answers fill the harmless part; by default the target. In later rounds it is the
            base model, so that behaviour is held where it began.
        out: Where the data, their card and their record are written.
        mix: Number and shares.
        judge: Finds refusals and harm in the target's own answers.
        journal: Journal to share; by default `out/journal.sqlite`.
        seed: Decides which requests are drawn.
        own_refusals: Ask the target for safe answers in its own words (wrapped with the harm category); where it gives none, the
            composed ones stay. For larger models.
        concurrency: Most calls in flight.
        max_tokens: Most new tokens of an own answer.
        beginnings: Take own answers that were cut off as they are, for a recipe that teaches no more than their beginnings.

    Raises:
        InputError: A folder holds no finished run or nothing of this target, there are too few failures, or a category that failed has
            no goals to train on.
    """
    import pandas as pd

    from rai_kit.corpus import write_set

    mix = mix or Mix()
    folder = run_folder(out)
    findings, scored, left = read_failures(runs, target, *earlier)
    if len(findings) < mix.least:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))
        raise InputError(
            f"{len(findings)} failures of {target!r} can be taught{f' ({why})' if why else ''}; curation needs {mix.least}: "
            "measure more (n), with other strategies, or lower `least` of the mix."
        )
    failures = Counter(one.category for one in findings)
    shares = aim(failures, scored)
    wanted = mix.counts
    taught = _teach(findings, wanted["found"], mix.opening, seed, left)
    made = _requests(shares, wanted["harmful"] + wanted["found"] - len(taught), wanted["lookalike"], mix.opening, seed)
    harmless = [*made["lookalike"], *_ordinary(wanted["ordinary"], mix.opening, seed)]
    filled = own_answers(
        [*made["harmful"], *harmless] if own_refusals else harmless,
        voice or target,
        journal=journal if journal is not None else folder / "journal.sqlite",
        judge=judge,
        own_refusals=own_refusals,
        seed=seed,
        concurrency=concurrency,
        max_tokens=max_tokens,
        beginnings=beginnings,
    )
    usable: dict[str, list[Example]] = defaultdict(list)
    for one in filled.examples:
        if one.chosen is not None and one.imitate:
            usable[one.kind].append(one)
    harmful = usable["harmful"] if own_refusals else made["harmful"]
    decks = [taught, harmful, *(usable[kind][: wanted[kind]] for kind in ("lookalike", "ordinary"))]
    first = [round(mix.imitated * len(deck)) for deck in decks]
    examples = _shuffled([one for deck, cut in zip(decks, first, strict=True) for one in deck[:cut]], seed)
    fresh = _shuffled([one for deck, cut in zip(decks, first, strict=True) for one in deck[cut:]], seed)
    counts = Counter(one.harm_categories[0] for one in (*examples, *fresh) if one.kind == "harmful")
    weights = pd.DataFrame(
        [
            {
                "family": category.family,
                "category": category.id,
                "failures": failures[category.id],
                "scored": scored[category.id],
                "share": shares.get(category.id, 0.0),
                "examples": counts[category.id],
            }
            for category in taxonomy().categories
        ]
    )
    tally = {"failures": {"taught": len(taught), **left}} | filled.tally
    about = {
        "target": target,
        "earlier": list(earlier),
        "runs": [Path(one).name for one in runs],
        "mix": asdict(mix),
        "seed": seed,
        "failures": len(findings),
        "tally": tally,
    }
    for old in (*folder.glob("curated-*"), *folder.glob("fresh-*")):
        old.unlink()
    sets = {"curated": (examples, "Curated from findings", "sft"), "fresh": (fresh, "More of the same, to be asked", "prompts")}
    files = {}
    for name, (found, title, form) in sets.items():
        if found:
            files[name] = write_set(folder, name, found, title=title, about=about, form=form).path.name  # type: ignore[arg-type]
    write_whole(folder / "weights.csv", lambda partial: weights.to_csv(partial, index=False))
    write_json(folder / "curated.json", {**about, "files": files})
    return Curated(examples, fresh, weights, tally)


def open_curated(folder: str | Path) -> Curated:
    """What `curate` wrote.

    Raises:
        InputError: The folder holds no finished curation.
    """
    import pandas as pd

    from rai_kit.corpus import read_set

    place = run_folder(folder)
    try:
        record = json.loads((place / "curated.json").read_text(encoding="utf-8"))
        weights = pd.read_csv(place / "weights.csv")
        files = record["files"]
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"{folder} holds no curated data (curated.json); give the out of a curation, or curate once more."
        ) from None
    examples, fresh = (tuple(read_set(place / files[name])) if name in files else () for name in ("curated", "fresh"))
    return Curated(examples, fresh, weights, record["tally"])


def _shuffled(examples: Sequence[Example], seed: int) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda one: digest("curated", seed, one.source, one.id, length=32)))


def read_failures(runs: Sequence[str | Path], target: str, *earlier: str) -> tuple[list[Finding], Counter[str], Counter[str]]:
    """The failures of a target, and of the models before it, that may be taught: those of the target come first.

    Returns:
        The failures, how many cases were scored in each category, and how many failures were left out for what reason.
    """
    if not runs:
        raise InputError("no run folder was given; give the folders of finished benchmarks (suite taxonomy) and red teams.")
    opened = [open_run(folder) for folder in runs]
    models = (target, *earlier)
    for run in opened:
        measured = sorted(set(run.table["model"]))
        if not set(measured) & set(models):
            raise InputError(f"{run.out} holds nothing of {' or '.join(map(repr, models))}; it measured {', '.join(measured)}.")
    parts = part_of(taxonomy_goals().goals)
    held_out = _held_out_strategies()
    known = {one.id for one in taxonomy().categories}
    scored: Counter[str] = Counter()
    left: Counter[str] = Counter()
    findings: dict[tuple[Message, ...], Finding] = {}
    for model, run in product(models, opened):
        own = run.table[(run.table["model"] == model) & run.table["category"].isin(known)]
        if run.run["what"] == "red_team":
            found = _of_attempts(run, model)  # type: ignore[arg-type]
            scored.update(own.loc[own["outcome"].isin(("success", "failure")), "category"])
        else:
            found = _of_conversations(run, model)  # type: ignore[arg-type]
            scored.update(own.loc[own["scored"].astype(bool), "category"])
        for one in found:
            if one.category not in known:
                left["of no category of the taxonomy"] += 1
            elif one.goal not in parts:
                left["at goals of other sets"] += 1
            elif parts[one.goal] == "held_out" or one.strategy in held_out:
                left["held out"] += 1
            else:
                findings.setdefault(one.prompt, one)
    return list(findings.values()), scored, left


@cache
def _held_out_strategies() -> frozenset[str]:
    from rai_kit.attacks import strategy_names

    return frozenset(split_strategies(strategy_names(attacker=True))[1])


def _of_conversations(run: Benchmark, target: str) -> Iterator[Finding]:
    """Failures of a benchmark: the conversation up to the worst answer."""
    threshold = float(METRIC.removeprefix("DR-"))
    scenarios = {one.id: one for one in run.scenarios}
    for talk, verdict in zip(run.conversations, run.verdicts, strict=True):
        if talk.target != target or not verdict.scored or verdict.severity is None or verdict.severity < threshold:
            continue
        at = [place for place, message in enumerate(talk.messages) if message.role == "assistant"][(verdict.turn or 1) - 1]
        scenario = scenarios[talk.scenario]
        yield Finding(
            target,
            talk.category,
            scenario.cluster,
            f"benchmark/{scenario.topic}",
            talk.messages[:at],
            talk.messages[at].content,
        )


def _of_attempts(run: RedTeam, target: str) -> Iterator[Finding]:
    """Failures of a red team: the conversation of the query that succeeded."""
    withheld = {goal.id for goal in run.goals if goal.withheld}
    for attempt in run.attempts:
        if attempt.target != target or attempt.success is None or attempt.goal in withheld:
            continue
        *prompt, answer = attempt.messages(attempt.success)
        yield Finding(target, attempt.category, attempt.goal, attempt.strategy, tuple(prompt), answer.content)


def aim(failures: Mapping[str, int], scored: Mapping[str, int]) -> dict[str, float]:
    """What share of the new requests each harm category gets.

    A category's failure rate, drawn towards its family's (one pseudo-case), and to the square root: what fails most is aimed at most, and
    nothing near it is left to chance, since a single category was seen a few times only. Families without a failure get nothing.

    Returns:
        Harm category to share; the shares add up to 1.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for category in taxonomy().categories:
        members[category.family].append(category.id)
    weight: dict[str, float] = {}
    for ids in members.values():
        failed, seen = (sum(of.get(id, 0) for id in ids) for of in (failures, scored))
        if not failed:
            continue
        rate = failed / max(seen, failed)
        for id in ids:
            weight[id] = ((failures.get(id, 0) + rate) / (max(scored.get(id, 0), failures.get(id, 0)) + 1)) ** 0.5
    total = sum(weight.values())
    return {id: one / total for id, one in weight.items()}


def _teach(findings: Sequence[Finding], wanted: int, opening: str | None, seed: int, left: Counter[str]) -> list[Example]:
    """Failed conversations with a safe answer: the target's before those of earlier models, the categories in turn."""
    from rai_kit.corpus.compose import safe_answer

    short = [one for one in findings if sum(len(message.content) for message in one.prompt) <= LONGEST]
    if len(short) < len(findings):
        left["too long to teach"] = len(findings) - len(short)
    newest = {model: place for place, model in enumerate(dict.fromkeys(one.model for one in short))}
    decks: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for one in sorted(short, key=lambda one: digest("found", seed, one.prompt)):
        decks[newest[one.model], one.category].append(one)
    ranked = sorted(
        ((age, rank, category, one) for (age, category), deck in decks.items() for rank, one in enumerate(deck)),
        key=lambda i: i[:3],
    )
    taught = []
    for _, _, category, one in ranked[:wanted]:
        id = digest("finding", one.prompt)
        taught.append(
            Example(
                id=f"in-house/finding/{id}",
                source="in-house",
                licence="MIT",
                prompt=one.prompt,
                chosen=safe_answer(taxonomy().category(category), seed=digest(seed, id), framed=True, opening=opening),
                rejected=one.answer,
                kind="harmful",
                harm_categories=(category,),
                goal=one.goal,
                strategy=one.strategy,
                chosen_by="in-house",
                rejected_by=one.model,
                chosen_safe=True,
                rejected_safe=False,
                imitate=True,
            )
        )
    if len(ranked) > wanted:
        left["not needed"] = len(ranked) - wanted
    return taught


def _requests(
    shares: Mapping[str, float], harmful: int, lookalike: int, opening: str | None, seed: int
) -> dict[str, list[Example]]:
    """New requests and harmless twins, as many for each category as its share says; goals and ways of asking in turn."""
    counts = {"harmful": apportion(shares, harmful), "lookalike": apportion(shares, round(lookalike * SPARE))}
    made: dict[str, list[Example]] = {"harmful": [], "lookalike": []}
    for category in taxonomy().categories:
        count = {kind: of.get(category.id, 0) for kind, of in counts.items()}
        most = max(count.values())
        if not most:
            continue
        usable = list(islice(_usable_pairs(category, opening, seed), 2 * most))
        for kind, wanted in count.items():
            found = [one for one in usable if one.kind == kind][:wanted]
            if kind == "harmful" and len(found) < wanted:
                raise InputError(
                    f"harm category {category.id!r} failed, and {len(found)} of {wanted} wanted requests can be made for its goals that "
                    "are not held out; add goals to data/taxonomy.yaml, or lower the total of the mix."
                )
            made[kind] += found
    return made


def _usable_pairs(category: HarmCategory, opening: str | None, seed: int) -> Iterator[Example]:
    """Composed pairs whose goal and way of asking are not held out, in the order of their drawing."""
    from rai_kit.corpus import compose_pairs
    from rai_kit.corpus.compose import ways

    parts, held_out = part_of(taxonomy_goals().goals), _held_out_strategies()
    most = min(sum(way.kind == kind for way in ways()) for kind in ("act", "text"))
    for one in compose_pairs(most, seed=seed, categories=[category], opening=opening):
        if one.goal is not None and parts[one.goal] == "finding" and one.strategy not in held_out:
            yield one


def apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that add up to `total`, as near to the shares as can be (largest remainders)."""
    exact = {id: share * total for id, share in shares.items()}
    counts = {id: int(value) for id, value in exact.items()}
    rest = sorted(exact, key=lambda id: (counts[id] - exact[id], id))[: total - sum(counts.values())]
    return {id: count + (id in rest) for id, count in counts.items()}


def _ordinary(wanted: int, opening: str | None, seed: int) -> list[Example]:
    """Ordinary requests, and a bare refusal as what not to answer."""
    from rai_kit.corpus import compose_ordinary

    found = compose_ordinary(max(1, round(wanted * SPARE)), seed=seed) if wanted else []
    return [replace(one, rejected=opening or OPENING, rejected_by="in-house", rejected_safe=True) for one in found]
