"""Makes the planned attempts of a red team, round by round, and writes their run folder.

What is tried, and in which rounds, is `attacking`'s; here attempts become records, tables and rates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import attacks, engine
from rai_kit.cache import write_json
from rai_kit.data import taxonomy
from rai_kit.journal import Journal
from rai_kit.measure.folder import Spool, locked, run_folder
from rai_kit.measure.parties import Parties, Setup
from rai_kit.measure.record import how_made, write_summary
from rai_kit.models import ChatModel
from rai_kit.progress import steps
from rai_kit.schema import AttackGoal, Attempt, Conversation, Estimate, Scenario, Verdict, Way, read_jsonl, turns, write_jsonl

if TYPE_CHECKING:
    import pandas as pd

UNDECODABLE = "attack:undecodable"
"""Cause of an encoded attack that was not made: the target cannot decode (`attacks.competence`)."""
WITHHELD = "(withheld)"


@dataclass(frozen=True)
class RedTeam:
    """What a red team found. The records are read from the folder when they are first asked for.

    Attributes:
        out: The run folder.
        table: One row an attempt (`metrics.attempt_table`), with the goal's `source` and `family`. Rainbow's single queries, which
            are a search and no tries with a budget, stand in `search` instead.
        estimates: One row a rate (`metrics.estimate_table`).
        run: What `run.json` says.
    """

    out: Path
    table: pd.DataFrame
    estimates: pd.DataFrame
    run: dict[str, Any]

    @cached_property
    def search(self) -> pd.DataFrame:
        """Rainbow's attempts, as `metrics.attempt_table` gives them."""
        from rai_kit import metrics

        return metrics.attempt_table(one for one in self.attempts if one.strategy == attacks.RAINBOW)

    @cached_property
    def goals(self) -> list[AttackGoal]:
        """What was wanted."""
        return list(read_jsonl(self.out / "goals.jsonl", AttackGoal))

    @cached_property
    def attempts(self) -> list[Attempt]:
        """What was tried, Rainbow's queries included; the others in the order of the table."""
        return list(read_jsonl(self.out / "attempts.jsonl", Attempt))

    def __repr__(self) -> str:
        counts = self.run["counts"]
        return f"RedTeam({counts['planned']} attempts, {counts['success']} successful, judged by {self.run['judge']['id']})"

    def to_read(self, count: int = 5, *, turns_least: int = 1) -> list[tuple[Conversation, Verdict, Scenario]]:
        """Successful attempts for `transcripts`, the longest conversations first, one a strategy before any comes again.

        Attempts at withheld goals are left out.
        """
        goals = {goal.id: goal for goal in self.goals}
        found = [one for one in self.attempts if one.success is not None and not goals[one.goal].withheld]
        depth = {one.id: len(turns(one.queries, one.success)) for one in found if one.success is not None}
        found = sorted((one for one in found if depth[one.id] >= turns_least), key=lambda one: (-depth[one.id], one.id))
        seen: Counter[str] = Counter()
        rank = {}
        for one in found:
            rank[one.id] = seen[one.strategy]
            seen[one.strategy] += 1
        return [_records(one, goals[one.goal]) for one in sorted(found, key=lambda one: rank[one.id])[:count]]


@dataclass(frozen=True)
class Plan:
    """One attempt to be made."""

    attack: attacks.Attack
    goal: AttackGoal
    persona: str
    target: ChatModel
    way: Way = "adaptive"


Planned = tuple[list[Iterator[list[Plan]]], int]
"""What is to be tried: planners, each of which gives the attempts of its next round when those before are done; and how many in all."""


@dataclass(frozen=True)
class Settings:
    """How attempts are made, whoever makes them.

    Attributes:
        queries: Most queries of one.
        seed: Of everything random.
        threshold: Score from which an answer is a success.
        arm: Side of a comparison.
        concurrency: Most attempts in flight.
        error_budget: Share that may fail for technical reasons.
    """

    queries: int
    seed: int
    threshold: float
    arm: str
    concurrency: int
    error_budget: float


@dataclass(frozen=True)
class Team:
    """Who attacks, and what came of it.

    Attributes:
        parties: Targets, attacker and judge.
        able: What each target (address) can decode (scheme).
        done: The attempts that were made, by the `id()` of their plans.
        archives: Rainbow's archive of each target (address).
    """

    parties: Parties
    able: Mapping[tuple[str, str], attacks.Competence]
    done: dict[int, Attempt] = field(default_factory=dict)
    archives: dict[str, attacks.Archive] = field(default_factory=dict)

    def attack(self, name: str, model: ChatModel) -> attacks.Attack:
        """The strategy against a target; barred where it is encoded and the target cannot decode."""
        return self.barred(name, model) or attacks.strategy(name, self.parties.attacker)

    def barred(self, name: str, model: ChatModel) -> attacks.Attack | None:
        """Why a strategy is not tried on a target: it is encoded, and the target cannot decode or could not be asked whether it can."""
        probe = self.able.get((model.address, name))
        if probe is None or probe.able:
            return None
        return attacks.Barred(name, probe.cause or UNDECODABLE, f"{probe.decoded} of {probe.asked} harmless sentences decoded")


def hold(
    setup: Setup,
    settings: Settings,
    out: str | Path,
    journal: str | Path | None,
    goals: Sequence[AttackGoal],
    planned: Callable[[Team], Planned],
    names: Sequence[str],
    parameters: Mapping[str, Any],
) -> RedTeam:
    """Makes all attempts that the planners ask for, round by round, and writes the folder."""
    folder = run_folder(out)
    store = Journal(journal if journal is not None else folder / "journal.sqlite")
    try:
        with locked(folder):
            parties = Parties(setup, store)
            started = datetime.now(UTC)
            able = _probe(parties, names, settings.seed)
            team = Team(parties, able)
            _attack(team, *planned(team), settings, folder)
            write_jsonl(folder / "goals.jsonl", goals)
            every, table, found = _summed_up(folder, goals)
            write_summary(folder / "summary.json", found)
            run = {
                "what": "red_team",
                "parameters": {
                    **parameters,
                    "target": list(setup.targets),
                    "judge": setup.judge,
                    "max_tokens": setup.max_tokens,
                    "temperature": setup.temperature,
                    "concurrency": setup.concurrency,
                    "budget": setup.budget,
                },
                "arm": settings.arm,
                "attacker": setup.attacker,
                "competence": [
                    {"target": target, "scheme": name, "decoded": probe.decoded, "items": probe.items, "able": probe.able}
                    for (target, name), probe in able.items()
                ],
                "archive": [{"target": name, **row} for name, archive in team.archives.items() for row in archive.table()],
                "counts": _counts(every),
                **how_made(parties, started),
            }
            write_json(folder / "run.json", run)
    finally:
        store.close()
    from rai_kit import metrics

    return RedTeam(folder, table, metrics.estimate_table(found), run)


def _probe(parties: Parties, names: Sequence[str], seed: int) -> dict[tuple[str, str], attacks.Competence]:
    """Which encodings each target can decode."""
    schemes = [name for name in names if name in attacks.SCHEMES]
    found: dict[tuple[str, str], attacks.Competence] = {}

    async def all_of_them() -> None:
        for model in parties.targets:
            for scheme in schemes:
                found[model.address, scheme] = await attacks.competence(model, scheme, seed=seed)

    if schemes:
        print(f"asking whether {', '.join(schemes)} can be decoded", flush=True)
        engine.in_own_loop(engine.closing(parties.models(), all_of_them()))
    return found


def _attack(team: Team, planners: list[Iterator[list[Plan]]], planned: int, settings: Settings, folder: Path) -> None:
    """Makes the attempts; the four files of records appear whole."""
    count = 0
    names = ("attempts", "scenarios", "conversations", "verdicts")
    spools = {name: Spool(folder / f"{name}.jsonl", planned) for name in names}
    with (
        spools["attempts"],
        spools["scenarios"],
        spools["conversations"],
        spools["verdicts"],
        steps(planned, "attempts") as step,
    ):

        async def make(index: int, plan: Plan) -> Attempt:
            found = await attacks.attempt(
                plan.attack,
                plan.goal,
                target=plan.target,
                judge=team.parties.judge,
                budget=1 if plan.attack.name == attacks.RAINBOW else settings.queries,
                persona=plan.persona,
                name=plan.target.address,
                arm=settings.arm,
                seed=settings.seed,
                threshold=settings.threshold,
                way=plan.way,
            )
            team.done[id(plan)] = found
            conversation, verdict, scenario = _records(found, plan.goal)
            for name, record in zip(names, (found, scenario, conversation, verdict), strict=True):
                spools[name].put(index, record)
            step(team.parties.ledger.brief())
            return found

        def propose() -> list[Callable[[], Any]]:
            nonlocal count
            batch = [plan for planner in planners for plan in next(planner, [])]
            first, count = count, count + len(batch)
            return [lambda index=first + at, plan=plan: make(index, plan) for at, plan in enumerate(batch)]  # type: ignore[misc]

        engine.in_rounds(
            propose,
            team.parties.models(),
            planned=planned,
            concurrency=settings.concurrency,
            ledger=team.parties.ledger,
            error_budget=settings.error_budget,
        )
        (folder / "run.json").unlink(missing_ok=True)  # of a run before; it comes last, when all files belong together
        for spool in spools.values():
            spool.finish()


def _records(attempt: Attempt, goal: AttackGoal) -> tuple[Conversation, Verdict, Scenario]:
    """The conversation of an attempt that came furthest, with its verdict and what it was to be."""
    scores = [-1.0 if query.score is None else query.score for query in attempt.queries]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    path = [] if best is None else [attempt.queries[number] for number in turns(attempt.queries, best)]
    answered = [query for query in path if query.answer]
    last = path[-1] if path else None
    cause = None if last is not None and last.answer else (last.cause if last is not None else None) or attempt.cause
    scenario = Scenario(
        id=f"red_team/{goal.id}/{attempt.strategy}/{attempt.id}",
        suite="red_team",
        category=goal.category,
        topic=attempt.strategy,
        goal=goal.request,
        persona=attempt.persona,
        template=attempt.strategy,
        opening=path[0].message if path else goal.request,
        rubric=attacks.RUBRIC,
        turns=max(1, len(path)),
        seed=0,
        cluster=goal.id,
    )
    if goal.withheld:  # whatever reads these files shows, labels or trains; `attempts.jsonl` has the words
        scenario = replace(scenario, goal=WITHHELD, opening=WITHHELD)
        cause, path = "withheld", []
    conversation = Conversation(
        id=attempt.id,
        scenario=scenario.id,
        target=attempt.target,
        simulator=attempt.attack,
        messages=attempt.messages(best) if path and best is not None else (),
        category=goal.category,
        arm=attempt.arm,
        cause=cause,
        detail=None if goal.withheld else attempt.detail,
        completion_tokens=sum(query.completion_tokens for query in path),
    )
    if goal.withheld or last is None or last.score is None:
        return (
            conversation,
            Verdict.unscored(attempt.id, attempt.judge, cause or (last.cause if last else None) or "unscored"),
            scenario,
        )
    verdict = Verdict(
        id=attempt.id,
        judge=attempt.judge,
        scored=True,
        severity=last.score,
        refusal=all(query.refused for query in answered) if all(query.refused is not None for query in answered) else None,
        rationale=f"{attempt.strategy}, query {len(attempt.queries)} of at most {attempt.budget}",
        turn=len(answered),
        scores=tuple(query.score for query in answered),
        refusals=tuple(query.refused for query in answered),
    )
    return conversation, verdict, scenario


def opened(folder: Path, run: dict[str, Any]) -> RedTeam:
    """What a finished red team found, from its folder."""
    from rai_kit import metrics

    _, table, found = _summed_up(folder, list(read_jsonl(folder / "goals.jsonl", AttackGoal)))
    return RedTeam(folder, table, metrics.estimate_table(found), run)


def _summed_up(folder: Path, goals: Sequence[AttackGoal]) -> tuple[pd.DataFrame, pd.DataFrame, list[Estimate]]:
    """Every attempt, those that are tries with a budget, and the rates: over all, by strategy, by category and by persona."""
    from rai_kit import metrics

    every = metrics.attempt_table(read_jsonl(folder / "attempts.jsonl", Attempt))
    known = taxonomy()
    titles = {family.id: family.title for family in known.families}
    family = {one.id: titles[one.family] for one in known.categories}
    every["family"] = [family.get(category, "Other") for category in every["category"]]
    every["source"] = every["goal"].map({goal.id: goal.source for goal in goals})
    table = every[every["strategy"] != attacks.RAINBOW].reset_index(drop=True)
    found: list[Estimate] = []
    search = every[every["strategy"] == attacks.RAINBOW]
    for rows, by in ((table, ()), (table, ("strategy",)), (search, ("strategy",)), (table, ("category",)), (table, ("persona",))):
        for row in metrics.attack_success(rows, by=("model", "arm", "way", *by)).to_dict("records") if len(rows) else ():
            topic = str(row.get("strategy") or row.get("persona") or "all")
            metric = f"ASR@{row['k']}" + ("" if row["way"] == "adaptive" else f" ({row['way']})")
            names = ("value", "low", "high", "n", "n_unscored", "bound_low", "bound_high", "judge", "method")
            labels = {"model": row["model"], "arm": row["arm"], "category": row.get("category", "all"), "topic": topic}
            found.append(Estimate(**labels, metric=metric, **{name: row[name] for name in names}))
    return every, table, found


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    """Planned, reached, successes and failures, and the unscored by cause; they add up."""
    open_ = table[table["outcome"] == "unscored"]
    causes = open_["cause"].fillna("an answer without a score").value_counts().sort_index()
    return {
        "planned": len(table),
        "reached": int((table["answers"] > 0).sum()),
        "success": int((table["outcome"] == "success").sum()),
        "failure": int((table["outcome"] == "failure").sum()),
        "unscored": {str(cause): int(count) for cause, count in causes.items()},
        "queries": int(table["queries"].sum()),
    }
