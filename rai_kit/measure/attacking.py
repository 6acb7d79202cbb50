"""The red team from addresses to files: draws goals, lets strategies try them on the targets, sums up where these break.

A folder `out` receives `goals.jsonl`, `attempts.jsonl` (every query of every attempt), `scenarios.jsonl`, `conversations.jsonl` and
`verdicts.jsonl` (of each attempt the conversation that came furthest), `summary.json`, `run.json` and `journal.sqlite`. The same
call again on the same folder takes up where it stopped. Nothing is sent anywhere but to the addresses given.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rai_kit import attacks, engine
from rai_kit.cost import Forecast, Prices, Sizes, forecast
from rai_kit.data import GOAL_SOURCES, draw_goals, load_goals, split_strategies
from rai_kit.data.goals import Part
from rai_kit.measure.attempts import Plan, Planned, RedTeam, Settings, Team, hold
from rai_kit.measure.folder import run_folder
from rai_kit.measure.parties import JUDGE_TOKENS, Setup, check, judge_names, offline_judge
from rai_kit.models import ChatModel
from rai_kit.schema import SEVERITY_MAX, AttackGoal, Attempt, InputError, Way, read_jsonl

WAYS: tuple[Way, Way] = ("replay", "adaptive")
LEAST_IN_ROUND, MOST_IN_ROUND = 8, 32
"""Attempts that the bandit, or Rainbow's archive, gives out at once; in between they learn."""


def red_team(
    target: str | Sequence[str],
    *,
    out: str | Path,
    goals: str | Path | Sequence[str | Path] = "taxonomy",
    n: int | None = 40,
    category: Sequence[str] | str | None = None,
    part: Part | None = None,
    strategies: Sequence[str] = (),
    attacker: str | None = None,
    queries: int = 4,
    tries: int | None = None,
    judge: str = "offline",
    arm: str = "before",
    seed: int = 0,
    concurrency: int = 32,
    max_tokens: int = 96,
    temperature: float = 0.7,
    threshold: float = attacks.THRESHOLD,
    journal: str | Path | None = None,
    self_judging: bool = False,
    budget: str | None = None,
    timeout: float = 180.0,
    error_budget: float = engine.ERROR_BUDGET,
) -> RedTeam:
    """Attacks one or more models: every strategy tries every goal, or, with `tries`, those that look most promising.

    Args:
        target: Address or addresses of the models under attack.
        out: Run folder; relative to the project's root.
        goals: Where they come from: `taxonomy`, `donotanswer`, `harmbench`, `advbench`, a file of one's own, or several of these.
        n: Number of goals, spread over the harm categories; None takes all.
        category: Only goals of these harm categories.
        part: `finding` (goals and strategies whose findings may enter training) or `held_out`; None for both. Strategies
            that are named stay as they are.
        strategies: Names of the strategies; by default all that are possible. Rainbow's attempts are single queries, `n` x `queries`
            of them; its archive (category x style) stands in `run.json`.
        attacker: Address of the model behind the strategies that need one.
        queries: Most messages to the target in one attempt: the budget k of ASR@k.
        tries: Attempts in all for each target, given to strategies and categories by a bandit (`attacks.Thompson`); None makes all.
            Rainbow's come on top.
        judge: `offline`, an address, or a panel; it judges every answer, and its verdict decides when an attempt ends.
        arm: Side of a comparison.
        seed: Of everything random.
        concurrency: Most attempts in flight.
        max_tokens: Most new tokens of a target's answer.
        temperature: Of the target.
        threshold: Score from which an answer is a success (0-7, rubric `attack_success`).
        journal: Journal to share; by default `out/journal.sqlite`.
        self_judging: Allow a judge that is one of the targets.
        budget: What the run may use up in all: `5 USD` or `200k tokens`.
        timeout: Most seconds of one try of a call.
        error_budget: Share of the attempts that may fail for technical reasons before the run stops.

    Raises:
        InputError: Something that was given cannot be used.
        RunStopped: More attempts failed than the error budget allows.
    """
    names = _strategies(strategies, attacker, part)
    sources = [goals] if isinstance(goals, str | Path) else goals
    drawn = draw_goals(sources, n, categories=_listed(category), part=part, seed=seed)
    dropped = _dropped(sources)
    if not 0 < threshold <= SEVERITY_MAX:
        raise InputError(f"threshold is {threshold:g}; it must be above 0 and at most {SEVERITY_MAX}, the scale of the scores.")
    setup = _setup(target, judge, attacker, max_tokens, temperature, concurrency, timeout, budget)
    check(
        setup.targets,
        judge,
        self_judging,
        queries=queries,
        concurrency=concurrency,
        max_tokens=max_tokens,
        timeout=timeout,
        tries=1 if tries is None else tries,
    )
    parameters = {
        "goals": [Path(one).name for one in sources],
        "goals_dropped": dropped,
        "n": n,
        "category": _listed(category),
        "part": part,
        "strategies": names,
        "queries": queries,
        "tries": tries,
        "seed": seed,
        "threshold": threshold,
    }

    def planned(team: Team) -> Planned:
        rounds: list[Iterator[list[Plan]]] = []
        count = 0
        for model in team.parties.targets:
            plans = [
                Plan(team.attack(name, model), goal, attacks.persona_of(name), model)
                for name in names
                if name != attacks.RAINBOW
                for goal in drawn
            ]
            if tries is not None:  # a try that is not made would be no try
                plans = [plan for plan in plans if not isinstance(plan.attack, attacks.Barred)]
            count += len(plans) if tries is None else min(tries, len(plans))
            rounds.append(iter([plans]) if tries is None else _promising(plans, tries, seed, team.done))
            if attacks.RAINBOW in names and team.parties.attacker is not None:
                rounds.append(_rainbow(team, drawn, team.parties.attacker, model, queries, seed))
                count += len(drawn) * queries
        return rounds, count

    settings = Settings(queries, seed, threshold, arm, concurrency, error_budget)
    return hold(setup, settings, out, journal, drawn, planned, names, parameters)


def attack_again(
    recorded: str | Path,
    target: str | Sequence[str],
    *,
    out: str | Path,
    ways: Sequence[Way] = WAYS,
    attacker: str | None = None,
    judge: str = "offline",
    arm: str = "after",
    concurrency: int = 32,
    max_tokens: int = 96,
    temperature: float = 0.7,
    journal: str | Path | None = None,
    self_judging: bool = False,
    budget: str | None = None,
    timeout: float = 180.0,
    error_budget: float = engine.ERROR_BUDGET,
) -> RedTeam:
    """Makes a recorded red team's attempts on another model: the same goals, strategies, budgets and seeds.

    Attempts that were cut off (an error, a budget, an attacker that declined) are not replayed, as their strategy had more to say, and
    neither is what is encoded where the target cannot decode. What was recorded twice is made once. `replay` sends the recorded
    messages again, word for word; `adaptive` lets the strategies react to the new answers. The two are
    named in the column `way` and never mixed: a replay understates what an attacker reaches who reads the answers. Rainbow's
    attempts are replayed only, since they came from a search over all goals.

    Args:
        recorded: Run folder of a red team.
        target: Address or addresses of the models under attack.
        out: Another run folder.
        ways: `replay`, `adaptive`, or both.
        attacker: Address of the attacker; by default the recorded one.
        judge: As for `red_team`, and so are the other arguments.
        arm: Side of a comparison.
        concurrency: Most attempts in flight.
        max_tokens: Most new tokens of a target's answer.
        temperature: Of the target.
        journal: Journal to share; by default `out/journal.sqlite`.
        self_judging: Allow a judge that is one of the targets.
        budget: What the run may use up in all.
        timeout: Most seconds of one try of a call.
        error_budget: Share of the attempts that may fail for technical reasons before the run stops.

    Raises:
        InputError: The folder holds no red team, or something else that was given cannot be used.
        RunStopped: More attempts failed than the error budget allows.
    """
    source = run_folder(recorded)
    if not ways or set(ways) - set(WAYS):
        raise InputError(f"ways is {list(ways)}; give {' or '.join(map(repr, WAYS))}, or both.")
    try:
        before = json.loads((source / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    if before.get("what") != "red_team":
        raise InputError(f"{source} holds no finished red team; give the folder of one.")
    if source.resolve() == run_folder(out).resolve():
        raise InputError(f"{source} is the recorded run itself; give another folder as out.")
    known = {goal.id: goal for goal in read_jsonl(source / "goals.jsonl", AttackGoal)}
    recording = read_jsonl(source / "attempts.jsonl", Attempt)
    old = [one for one in recording if one.way == "adaptive" and any(query.answer for query in one.queries)]
    if not old:
        raise InputError(f"{source} holds no attempt that reached its target; there is nothing to make again.")
    given = before["parameters"]
    attacker = attacker or (before["attacker"] if "adaptive" in ways else None)
    setup = _setup(target, judge, attacker, max_tokens, temperature, concurrency, timeout, budget)
    check(setup.targets, judge, self_judging, concurrency=concurrency, max_tokens=max_tokens, timeout=timeout)
    again: dict[tuple[object, ...], tuple[Way, Attempt]] = {}
    for way, one in ((way, one) for way in WAYS if way in ways for one in old):
        whole = one.cause is None if way == "replay" else one.strategy != attacks.RAINBOW
        said = repr(attacks.Replay(one.strategy, one.queries)) if way == "replay" else one.strategy
        if whole:
            again.setdefault((way, one.goal, one.persona, said), (way, one))

    def planned(team: Team) -> Planned:
        plans = [
            Plan(
                (team.barred(one.strategy, model) or attacks.Replay(one.strategy, one.queries))
                if way == "replay"
                else team.attack(one.strategy, model),
                known[one.goal],
                one.persona,
                model,
                way,
            )
            for model in team.parties.targets
            for way, one in again.values()
        ]
        return [iter([plans])], len(plans)

    names = sorted({one.strategy for _, one in again.values()})
    drawn = [goal for goal in known.values() if goal.id in {one.goal for one in old}]
    settings = Settings(given["queries"], given["seed"], given["threshold"], arm, concurrency, error_budget)
    parameters = {**given, "ways": list(ways), "recorded": {"targets": sorted(before["models"]), "started": before["started"]}}
    return hold(setup, settings, out, journal, drawn, planned, names, parameters)


def forecast_red_team(
    target: str | Sequence[str],
    *,
    goals: str | Path | Sequence[str | Path] = "taxonomy",
    n: int | None = 40,
    category: Sequence[str] | str | None = None,
    part: Part | None = None,
    strategies: Sequence[str] = (),
    attacker: str | None = None,
    queries: int = 4,
    tries: int | None = None,
    judge: str = "offline",
    seed: int = 0,
    max_tokens: int = 96,
) -> Forecast:
    """About what a `red_team` with these settings takes if every attempt uses all its queries, without starting it.

    Each query counts as a conversation of its own. Of the attacker one call a query is counted; TAP asks twice, and a reply that
    cannot be used is asked for up to three times.
    """
    drawn = draw_goals(goals, n, categories=_listed(category), part=part, seed=seed)
    names = _strategies(strategies, attacker, part)
    pairs = len([name for name in names if name != attacks.RAINBOW]) * len(drawn)
    search = len(drawn) * queries if attacks.RAINBOW in names else 0
    return forecast(
        queries * (pairs if tries is None else min(pairs, tries)) + search,
        1 if attacker is None else 2,  # the simulator's call comes with the second turn
        target=target,
        simulator=attacker,
        judge=[name for name in judge_names(judge) if offline_judge(name) is None],
        prices=Prices.load(),
        sizes=Sizes(target_most=max_tokens, judge_most=JUDGE_TOKENS),
    )


def _promising(plans: Sequence[Plan], tries: int, seed: int, done: Mapping[int, Attempt]) -> Iterator[list[Plan]]:
    """Rounds of the attempts that look most promising after those before: an eighth of all in each, whatever the concurrency."""
    size = max(LEAST_IN_ROUND, min(MOST_IN_ROUND, tries // 8))
    bandit = attacks.Thompson(seed)
    waiting = list(plans)
    while waiting and tries > 0:
        chosen = set(bandit.choose([(plan.goal.category, plan.attack.name) for plan in waiting], min(size, tries)))
        batch = [plan for at, plan in enumerate(waiting) if at in chosen]
        waiting = [plan for at, plan in enumerate(waiting) if at not in chosen]
        tries -= len(batch)
        yield batch
        for plan in batch:
            bandit.learn(plan.goal.category, plan.attack.name, _success(done[id(plan)]))


def _rainbow(
    team: Team, goals: Sequence[AttackGoal], attacker: ChatModel, target: ChatModel, queries: int, seed: int
) -> Iterator[list[Plan]]:
    """Rounds of Rainbow's search, with as many queries as any other strategy has in all; each attempt is one query."""
    by_category: dict[str, list[AttackGoal]] = {}
    for goal in goals:
        by_category.setdefault(goal.category, []).append(goal)
    archive = team.archives[target.address] = attacks.Archive(tuple(by_category), seed=seed)
    left = len(goals) * queries
    while left > 0:
        proposed = archive.propose(min(MOST_IN_ROUND, left), by_category, attacker)
        batch = [Plan(variation, goal, attacks.persona_of(attacks.RAINBOW), target) for goal, variation in proposed]
        left -= len(batch)
        yield batch
        for plan, (goal, variation) in zip(batch, proposed, strict=True):
            archive.learn(goal, variation, team.done[id(plan)])


def _success(attempt: Attempt) -> bool | None:
    """Whether an attempt was worth its while, for the bandit; None where errors left that open."""
    if attempt.success is not None:
        return True
    passing = attempt.cause is not None and attempt.cause.rpartition(":")[2] in attacks.FATAL
    if attempt.cause is not None and attempt.cause.startswith("attack") and not passing:
        return False  # the strategy's own: an attacker that declines will do so again
    return None if attempt.cause is not None or any(query.score is None for query in attempt.queries) else False


def _strategies(names: Sequence[str], attacker: str | None, part: Part | None) -> list[str]:
    chosen = attacks.check_names(names, attacker=attacker is not None)
    if part is None or names:
        return chosen
    finding, held_out = split_strategies(attacks.strategy_names(attacker=True))
    return [name for name in chosen if name in (finding if part == "finding" else held_out)]


def _setup(
    target: str | Sequence[str],
    judge: str,
    attacker: str | None,
    max_tokens: int,
    temperature: float,
    concurrency: int,
    timeout: float,
    budget: str | None,
) -> Setup:
    addresses = (target,) if isinstance(target, str) else tuple(target)
    return Setup(addresses, "scripted", judge, max_tokens, temperature, concurrency, timeout, budget, attacker=attacker)


def _dropped(sources: Sequence[str | Path]) -> dict[str, int]:
    """Why goals of the user's files are never attacked with, and how many; said aloud."""
    counts: Counter[str] = Counter()
    for source in sources:
        if source not in GOAL_SOURCES:
            counts.update(load_goals(source).dropped)
    if counts:
        print(f"goals left out: {', '.join(f'{count} ({why})' for why, count in sorted(counts.items()))}", flush=True)
    return dict(counts)


def _listed(names: Sequence[str] | str | None) -> list[str] | None:
    return [names] if isinstance(names, str) else None if names is None else list(names)
