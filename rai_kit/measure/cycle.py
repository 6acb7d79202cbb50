"""The break-fix cycle: measure, find, curate, train, measure again, round after round, beside a placebo.

In every round the model of the round before is attacked and measured with what is for finding; what breaks, and what broke
before, is curated and trained on; and the new model is tested on goals, strategies and wordings that no training saw. Where nothing
breaks any more, the cycle ends. The placebo goes through a training on the harmless part of the first round's data alone. Everything lies
in one folder, stage by stage; the same call again goes on where it stopped:

    base/               find/{benchmark,red_team}  test/{harm,red_team,refusal}
    round-1/            curated/  trained/  find/  test/
    placebo/            trained/  test/
    cycle.json          the record

Left out on purpose: choosing the best round. All are shown.

Source: the break-fix cycle, arXiv 2407.13833. The red team is independent of the training data in that goals and strategies are divided
once and for all (`data.part_of`, `data.split_strategies`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import filterfalse, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit import embedded
from rai_kit.attacks import SCHEMES, strategy_names
from rai_kit.cache import write_json, write_whole
from rai_kit.data import split_strategies, taxonomy
from rai_kit.data.bank import passages, scenario_streams
from rai_kit.data.taxonomy import SUITE
from rai_kit.measure.attacking import attack_again, red_team
from rai_kit.measure.attempts import RedTeam
from rai_kit.measure.curating import Curated, Mix, curate, open_curated, read_failures
from rai_kit.measure.folder import run_folder
from rai_kit.measure.opening import open_run
from rai_kit.measure.over_refusal import over_refusal
from rai_kit.measure.post_training import HERE, MORE, Trained, open_trained, post_train, served_like, trainable
from rai_kit.measure.rai import Benchmark, benchmark
from rai_kit.measure.record import write_summary
from rai_kit.schema import Example, InputError, Scenario, digest
from rai_kit.training import EMBEDDED, load_recipe

if TYPE_CHECKING:
    import pandas as pd

    from rai_kit.training import Recipe

BASE, PLACEBO = "base", "placebo"
FIND, TEST = "find", "test"
TEXTS, WORDS = 16, 80
"""Ordinary texts whose perplexity is measured, and words of each."""
PROBES, GREEDY = 8, 16
"""Prompts that are answered greedily by trained and by served weights, and tokens of each answer."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured in each round.

    Attributes:
        find: Scenarios a harm category, to find failures.
        tries: Attempts of the red team that finds, given out by a bandit; None makes all, every strategy at every goal.
        test: Scenarios a harm category, of held-out goals of the taxonomy.
        foreign: Prompts of other sets, of which nothing is trained on.
        goals: Goals of each red team; the one that tests tries each with every held-out strategy.
        queries: Most messages of an attempt.
        refusal: Harmless look-alikes, and as many ordinary requests, held out.
        turns: Most answers in a conversation.
        max_tokens: Most new tokens of an answer.
        category: Only these harm categories; all of the taxonomy when None.
    """

    find: int = 2
    tries: int | None = 120
    test: int = 3
    foreign: int = 80
    goals: int = 20
    queries: int = 3
    refusal: int = 60
    turns: int = 2
    max_tokens: int = 48
    category: Sequence[str] | None = None


@dataclass(frozen=True)
class Arm:
    """One model of the cycle and where its measurements lie: `base`, `round-1`, ..., `placebo`."""

    name: str
    model: str
    folder: Path

    @cached_property
    def harm(self) -> Benchmark:
        """Held-out scenarios of the taxonomy: goals of its own and prompts of other sets."""
        return _run(self.folder / TEST / "harm")

    @cached_property
    def refusal(self) -> Benchmark:
        """Harmless look-alikes and ordinary requests."""
        return _run(self.folder / TEST / "refusal")

    @cached_property
    def attacks(self) -> RedTeam | None:
        """Held-out strategies at held-out goals; None for a placebo, which is not attacked."""
        place = self.folder / TEST / "red_team"
        found = open_run(place) if (place / "run.json").is_file() else None
        return found if isinstance(found, RedTeam) else None

    @cached_property
    def perplexity(self) -> pd.DataFrame:
        """Ordinary texts and how well the weights predict them (`training.perplexity`)."""
        import pandas as pd

        return pd.read_csv(self.folder / TEST / "perplexity.csv")

    @cached_property
    def export(self) -> pd.DataFrame:
        """Greedy answers of the served weights beside those of the trained ones (`training.token_agreement`)."""
        import pandas as pd

        return pd.read_csv(self.folder / TEST / "export.csv")

    @cached_property
    def curated(self) -> Curated | None:
        """What it was taught; None for the base and the placebo."""
        return open_curated(self.folder / "curated") if (self.folder / "curated").is_dir() else None

    @cached_property
    def trained(self) -> Trained | None:
        """How it was trained; None for the base."""
        return None if self.name == BASE else open_trained(self.folder / "trained")


@dataclass(frozen=True)
class Cycle:
    """A finished cycle.

    Attributes:
        out: Its folder.
        arms: The base, each round, the placebo, in this order.
        record: What `cycle.json` says.
    """

    out: Path
    arms: tuple[Arm, ...]
    record: Mapping[str, Any]

    def __getitem__(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise InputError(f"arm {name!r} is none of this cycle; choose from {', '.join(arm.name for arm in self.arms)}.")

    @property
    def rounds(self) -> tuple[Arm, ...]:
        """The base and each round."""
        return tuple(arm for arm in self.arms if arm.name != PLACEBO)

    @property
    def last(self) -> Arm:
        """The model of the last round."""
        return self.rounds[-1]

    def __repr__(self) -> str:
        ended, count = self.record.get("ended"), len(self.rounds) - 1
        return f"Cycle({count} round{'s' * (count != 1)} of {self.arms[0].model}{f'; {ended}' if ended else ''})"


def break_fix(
    target: str,
    *,
    out: str | Path,
    rounds: int = 2,
    mix: Mix | None = None,
    recipe: Recipe | str | Path | None = None,
    sizes: Sizes | None = None,
    placebo: bool = True,
    judge: str = "offline",
    xstest: str | Path | None = None,
    journal: str | Path | None = None,
    seed: int = 0,
    concurrency: int = 32,
) -> Cycle:
    """Runs the cycle on a model that is served here and can be trained here.

    Args:
        target: Address of an embedded model: `smollm2-135m@embedded`, or what `post_train` made.
        out: Folder of the cycle.
        rounds: Rounds of curating, training and measuring, at least 1. Fewer are done where nothing more fails; the record says so.
        mix: What the training data hold.
        recipe: How is trained, or a file that says in what otherwise than `training.EMBEDDED`; each round and the placebo alike.
        sizes: How much is measured.
        placebo: Whether an arm is trained on the harmless part alone.
        judge: Judges everything; it sees neither arm nor round.
        xstest: File in the format of XSTest, for over-refusal.
        journal: Journal to share; by default `out/journal.sqlite`.
        seed: Of everything random. Scenarios and goals are the same in all arms; what is found with is drawn anew in each round.
        concurrency: Most calls in flight.

    Raises:
        InputError: Something that was given cannot be used, or the base failed too little to curate from; what was finished stays usable.
        RunStopped: The training's loss was not finite, or the measurement failed.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give 1 or more.")
    if not target.endswith(HERE):
        raise InputError(
            f"target is {target!r}, which cannot be trained here; give smollm2-135m@embedded or a .gguf@embedded that `train` made."
        )
    recipe = EMBEDDED if recipe is None else load_recipe(recipe, EMBEDDED) if isinstance(recipe, str | Path) else recipe
    taught_tokens = max(recipe.sft.own_tokens, recipe.dpo.answer_tokens)
    sizes = sizes or Sizes()
    folder = run_folder(out)
    common: dict[str, Any] = {
        "judge": judge,
        "journal": journal if journal is not None else folder / "journal.sqlite",
        "concurrency": concurrency,
    }

    def train(examples: Sequence[Example], base: str, name: str, **more: Any) -> Arm:
        made = post_train(examples, base=base, out=folder / name / "trained", recipe=recipe, **more, **common)
        return Arm(name, made.address, folder / name)

    asked = held_out_scenarios(sizes, seed)
    arms = [Arm(BASE, target, folder / BASE)]
    taught: list[Curated] = []
    found: list[Path] = []
    ended = None
    _test(arms[0], arms[0], asked, sizes, xstest, seed, common)
    for number in range(1, rounds + 1):
        before, name = arms[-1], f"round-{number}"
        _say(f"round {number}: what breaks {before.name}?")
        _find(before, sizes, seed + number, common)
        new = [before.folder / FIND / what for what in ("benchmark", "red_team")]
        if taught and not read_failures(new, before.model)[0]:
            ended = f"{before.name} failed at nothing that could be taught, so round {number} was not begun"
            _say(ended)
            break
        found += new
        settings: dict[str, Any] = {"voice": target, "mix": mix, "seed": seed + number, **common}
        settings |= {"max_tokens": taught_tokens + MORE, "beginnings": True}
        earlier = [arm.model for arm in reversed(arms[:-1])]
        taught.append(curate(*found, target=before.model, out=folder / name / "curated", earlier=earlier, **settings))
        _say(f"round {number}: training on {taught[-1]}")
        embedded.stop(served_like(target))
        arms.append(train(taught[-1].examples, before.model, name, fresh=taught[-1].fresh, earlier=earlier))
        _test(arms[-1], arms[0], asked, sizes, xstest, seed, common)
    if placebo:
        _say("placebo: training on the harmless part of the first round alone")
        arms.append(train(taught[0].benign, target, PLACEBO))
        _test(arms[-1], arms[0], asked, sizes, xstest, seed, common, attacked=False)
    record = {
        "what": "cycle",
        "target": target,
        "rounds": len(taught),
        "ended": ended,
        "judge": judge,
        "seed": seed,
        "sizes": asdict(sizes),
        "arms": {arm.name: _relative(arm.model, folder) for arm in arms},
        "examples": [one.counts for one in taught],
    }
    cycle = Cycle(folder, tuple(arms), record)
    from rai_kit.measure import outcome  # it reads cycles

    write_summary(folder / "summary.json", outcome.estimates(cycle))
    write_json(folder / "cycle.json", record)
    return cycle


def open_cycle(out: str | Path) -> Cycle:
    """A finished cycle, from its folder: without a model and without a call.

    Raises:
        InputError: The folder holds none.
    """
    folder = run_folder(out)
    try:
        record = json.loads((folder / "cycle.json").read_text(encoding="utf-8"))
        arms = tuple(Arm(name, _absolute(model, folder), folder / name) for name, model in record["arms"].items())
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"{folder} holds no finished cycle (cycle.json); give the out of a cycle, or run it once more."
        ) from None
    return Cycle(folder, arms, record)


def _find(arm: Arm, sizes: Sizes, seed: int, common: Mapping[str, Any]) -> None:
    """Measures and attacks a model with what is for finding."""
    place, part = arm.folder / FIND, "finding"
    settings: dict[str, Any] = {"part": part, "category": sizes.category, "seed": seed, "max_tokens": sizes.max_tokens, **common}
    benchmark(arm.model, out=place / "benchmark", suite=SUITE, n=sizes.find, turns=sizes.turns, **settings)
    finding, _ = split_strategies(_strategies())
    aimed: dict[str, Any] = {"n": sizes.goals, "queries": sizes.queries, "tries": sizes.tries, "strategies": finding}
    red_team(arm.model, out=place / "red_team", arm=arm.name, **aimed, **settings)


def held_out_scenarios(sizes: Sizes, seed: int) -> list[Scenario]:
    """What no training sees: held-out goals of the taxonomy, and prompts of other sets; the same in all arms."""
    known = {one.id for one in taxonomy().categories}

    def of_taxonomy(one: Scenario) -> bool:
        return one.cluster.partition("/")[0] in known

    own = scenario_streams(SUITE, sizes.category, sizes.turns, seed, "held_out").values()
    every = scenario_streams(SUITE, sizes.category, 1, seed).values()
    share = -(-2 * sizes.foreign // len(every))  # some categories have few
    borrowed = [list(islice(filterfalse(of_taxonomy, stream), share)) for stream in every]
    foreign = [one for row in zip_longest(*borrowed) for one in row if one is not None]
    return [one for stream in own for one in islice(filter(of_taxonomy, stream), sizes.test)] + foreign[: sizes.foreign]


def _test(
    arm: Arm,
    base: Arm,
    asked: Sequence[Scenario],
    sizes: Sizes,
    xstest: str | Path | None,
    seed: int,
    common: Mapping[str, Any],
    *,
    attacked: bool = True,
) -> None:
    """Measures a model on what is held out; attacks on the base are recorded, and made again on the others."""
    place = arm.folder / TEST
    _read_weights(arm, place)
    settings: dict[str, Any] = {"max_tokens": sizes.max_tokens, **common}
    held_out: dict[str, Any] = {"part": "held_out", "seed": seed, **settings}
    benchmark(arm.model, out=place / "harm", suite=SUITE, scenarios=asked, turns=sizes.turns, **held_out)
    over_refusal(arm.model, out=place / "refusal", n=sizes.refusal, xstest=xstest, **held_out)
    _, held_out_strategies = split_strategies(_strategies())
    attacks: dict[str, Any] = {
        "n": sizes.goals,
        "queries": sizes.queries,
        "strategies": held_out_strategies,
        "category": sizes.category,
    }
    if attacked and arm.name == base.name:
        red_team(arm.model, out=place / "red_team", arm=arm.name, **attacks, **held_out)
    elif attacked:
        attack_again(base.folder / TEST / "red_team", arm.model, out=place / "red_team", arm=arm.name, **settings)


def _strategies() -> list[str]:
    """Strategies that need no attacker model. Those in a code are left out: the small models that are trained here cannot read it, and
    to find that out takes longer than the rest."""
    return [name for name in strategy_names() if name not in SCHEMES]


def _read_weights(arm: Arm, place: Path) -> None:
    """How well the weights predict ordinary text, and whether the file that is served answers as they do."""
    from rai_kit import training
    from rai_kit.corpus import compose_ordinary

    weights = trainable(arm.model)
    texts = [" ".join(passage.text.split()[:WORDS]) for passage in passages()[:TEXTS]]
    asked = [one.prompt for one in compose_ordinary(PROBES)]
    file = served_like(arm.model)
    made: dict[str, Callable[[], pd.DataFrame]] = {
        "perplexity.csv": lambda: training.perplexity(weights, texts),
        "export.csv": lambda: training.token_agreement(weights, file, asked, GREEDY),
    }
    for name, make in made.items():
        known = digest(embedded.fingerprint(file), texts, asked, GREEDY)
        if _written_for(place / name) != known:
            table = make().assign(of=known)
            write_whole(place / name, lambda partial, table=table: table.to_csv(partial, index=False))  # type: ignore[misc]


def _written_for(path: Path) -> str | None:
    """Of which weights and texts a table tells."""
    import pandas as pd

    return str(pd.read_csv(path, dtype={"of": str})["of"].iloc[0]) if path.is_file() else None


def _run(folder: Path) -> Benchmark:
    found = open_run(folder)
    assert isinstance(found, Benchmark)
    return found


def _say(words: str) -> None:
    print(words, flush=True)


def _relative(model: str, folder: Path) -> str:
    """An address of a model in the cycle's folder, so that the folder can be moved."""
    return model.removeprefix(f"{folder}/")


def _absolute(model: str, folder: Path) -> str:
    name = model.removesuffix(HERE)
    return f"{folder / name}{HERE}" if name.endswith(".gguf") and not Path(name).is_absolute() else model
