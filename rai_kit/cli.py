"""The command line: a thin shell over the same functions that the notebooks call.

What a user gave wrong ends with one sentence and exit code 2, a failed run with 1, a used-up budget with 3, Ctrl-C with 130.
Finished model calls are in the journal in any case: the same command goes on from there.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rai_kit import __version__
from rai_kit.cache import write_whole
from rai_kit.schema import InputError, RunStopped


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="rai-kit")
def cli() -> None:
    """Measure, attack, train and measure again: responsible-AI research on language models.

    A model is named MODEL[@WHERE]: gpt-4o (OpenAI), NAME@http://HOST:PORT/v1 (any compatible endpoint), smollm2-135m@embedded
    or FILE.gguf@embedded (in this process, no key and no GPU).
    """


@cli.command()
@click.argument("notebooks", nargs=-1)
@click.option("--profile", default="demo", help="Values for the notebooks' parameters: a name in params/, or a YAML file.")
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Sets one parameter of the notebooks that have it.")
@click.option("--out", default=None, help="Run folder; by default outputs/PROFILE. The same folder again resumes.")
def run(notebooks: tuple[str, ...], profile: str, parameters: tuple[str, ...], out: str | None) -> None:
    """Executes NOTEBOOKS (all of them by default) and renders one report."""
    from rai_kit import report
    from rai_kit.measure import run_folder

    folder = run_folder(out or f"outputs/{Path(profile).stem}")
    path = report.run_notebooks(report.find_notebooks(notebooks), profile, parameters, folder)
    report.latest(folder)
    click.echo(f"report: {path}")


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that asks targets and has their answers judged into a run folder."""
    options = (
        click.option(
            "--judge", default="offline", metavar="J", help="Who judges: offline, offline-deep, a model, or a panel A,B,C."
        ),
        click.option("--seed", default=0, help="Of everything random."),
        click.option("--max-tokens", default=96, help="Most new tokens of a target's reply."),
        click.option("--temperature", default=0.7, help="Of the target."),
        click.option("--self-judging", is_flag=True, help="Allow a judge that is one of the targets."),
        click.option(
            "--budget", default=None, metavar="AMOUNT", help="What the folder's runs may use in all: '5 USD', '200k tokens'."
        ),
        click.option("--timeout", default=180.0, metavar="SECONDS", help="Longest try of one call."),
        click.option("--out", required=True, metavar="DIR", help="Run folder; the same folder again resumes."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.option("--target", "targets", multiple=True, required=True, metavar="MODEL", help="Model under test; may be repeated.")
@click.option("--simulator", default="scripted", metavar="S", help="Who plays the user: scripted, or a model.")
@click.option("--suite", default="rai5", help="Set of categories.")
@click.option("--category", "categories", multiple=True, metavar="C", help="Only this category; may be repeated.")
@click.option("--scenarios", default=None, metavar="FILE", help="Scenarios of one's own (JSONL) instead of drawn ones.")
@click.option("--part", type=click.Choice(["finding", "held_out"]), default=None, help="Only scenarios of these goals.")
@click.option("-n", "n", default=20, help="Scenarios a category.")
@click.option("--turns", default=3, help="Answers of the target in a conversation.")
@click.option("--system", default=None, metavar="TEXT", help="System message that every conversation opens with.")
@click.option("--resample", default=0, metavar="K", help="The same conversations with other seeds: 1, 2, ...")
@click.option(
    "--until",
    default=None,
    metavar="RULE",
    help="Ask no further in a category when its metric is known to '0.05', or '<= 0.15' decided.",
)
@click.option("--concurrency", default=32, help="Most conversations in flight.")
@click.option("--dry-run", is_flag=True, help="Say what the run would take, and end.")
@click.option("--error-budget", default=0.1, metavar="SHARE", help="Share of conversations that may fail technically (0-1).")
@click.option("--batch", is_flag=True, help="Judge through the endpoint's Batch API: cheaper, within a day.")
@click.option("--workers", default=1, help="Processes that share the work; each makes up to --concurrency calls at a time.")
@run_options
def benchmark(targets: tuple[str, ...], categories: tuple[str, ...], dry_run: bool, workers: int, **settings: Any) -> None:
    """The RAI benchmark: simulated conversations, judged; rates with intervals."""
    from rai_kit import measure

    # Here a relative folder counts from where the command was given.
    settings |= {"category": categories or None, "out": Path(settings["out"]).resolve()}
    if dry_run:
        amount = ["simulator", "judge", "suite", "category", "n", "turns", "seed", "max_tokens", "scenarios"]
        amount += ["part", "system", "resample", "until"]
        click.echo(measure.forecast_benchmark(targets, **{name: settings[name] for name in amount}))
        return
    with _pool(workers) as executor:
        found = measure.benchmark(targets, executor=executor, **settings)
    table = found.estimates
    shown = table.loc[table["topic"] == "all", ["model", "category", "metric", "value", "low", "high", "n", "n_unscored"]]
    click.echo(shown.to_string(index=False, float_format="{:.3f}".format))
    for one in found.run.get("stopped", ()):
        if one["held"] < one["planned"]:
            click.echo(
                f"{one['model']}, {one['category']}: {one['held']} of {one['planned']} were enough (--until {settings['until']})"
            )
    click.echo(f"judge: {found.run['judge']['id']}; written to {found.out}")
    click.echo(f"used: {found.run['cost']['summary']}")
    _say_budget(settings["budget"], found.run["counts"]["unscored"])


def _say_budget(budget: str | None, unscored: Iterable[str]) -> None:
    """Ends with 3 where the budget left something undone."""
    if any(cause.endswith("budget") for cause in unscored):
        click.echo(f"rai-kit: the budget of {budget} is used up; with a larger one the same command goes on.", err=True)
        sys.exit(3)


@cli.command("red-team")
@click.option("--target", "targets", multiple=True, required=True, metavar="MODEL", help="Model under attack; may be repeated.")
@click.option("--strategy", "strategies", multiple=True, metavar="S", help="Attack strategy; may be repeated. [default: all]")
@click.option("--attacker", default=None, metavar="MODEL", help="Model behind the strategies that need one.")
@click.option(
    "--goals",
    multiple=True,
    default=("taxonomy",),
    metavar="G",
    help="taxonomy, donotanswer, harmbench, advbench, or a file (JSONL, CSV, text); may be repeated.",
)
@click.option("--category", "categories", multiple=True, metavar="C", help="Only goals of this harm category; may be repeated.")
@click.option("--part", type=click.Choice(["finding", "held_out"]), default=None, help="Only these goals and strategies.")
@click.option("-n", "n", default=40, help="Goals.")
@click.option("--queries", default=4, metavar="K", help="Most messages to the target in one attempt: the k of ASR@k.")
@click.option("--tries", default=None, type=int, metavar="N", help="Attempts in all, given out by a bandit. [default: every one]")
@click.option("--again", default=None, metavar="DIR", help="Make this red team's attempts again, instead of new ones.")
@click.option("--way", "ways", multiple=True, type=click.Choice(["replay", "adaptive"]), help="How --again. [default: both]")
@click.option("--concurrency", default=32, help="Most attempts in flight.")
@click.option("--dry-run", is_flag=True, help="Say about what the run would take, and end.")
@click.option("--error-budget", default=0.1, metavar="SHARE", help="Share of attempts that may fail technically (0-1).")
@run_options
def red_team(targets: tuple[str, ...], again: str | None, ways: tuple[Any, ...], dry_run: bool, **settings: Any) -> None:
    """Attacks: strategies try goals on a model; success rates with intervals."""
    from rai_kit import measure, metrics

    drawn = {name: settings.pop(name) for name in ("goals", "n", "strategies", "part", "queries", "tries", "seed")}
    drawn["category"] = settings.pop("categories") or None
    settings["out"] = Path(settings["out"]).resolve()
    if again is not None:
        given = click.get_current_context().get_parameter_source
        words = {name: name for name in drawn} | {"strategies": "strategy", "categories": "category", "dry_run": "dry-run"}
        if clash := [word for name, word in words.items() if (source := given(name)) and source.name == "COMMANDLINE"]:
            raise InputError(f"--again makes the recorded attempts again, and takes no --{clash[0]}; leave that out, or --again.")
        found = measure.attack_again(Path(again).resolve(), targets, ways=ways or measure.WAYS, **settings)
    elif ways:
        raise InputError("--way says how recorded attempts are made again; give their folder with --again.")
    elif dry_run:
        amount = {name: settings[name] for name in ("attacker", "judge", "max_tokens")}
        click.echo(measure.forecast_red_team(targets, **drawn, **amount))
        return
    else:
        found = measure.red_team(targets, **drawn, **settings)
    table = found.estimates[found.estimates["category"] == "all"]
    shown = metrics.intervals_as_text(
        table.rename(columns={"topic": "strategy", "low": "value_low", "high": "value_high"}),
        ["model", "strategy", "metric", "value", "n", "n_unscored"],
    )
    click.echo(shown.to_string(index=False))
    click.echo(f"judge: {found.run['judge']['id']}; written to {found.out}")
    click.echo(f"used: {found.run['cost']['summary']}")
    _say_budget(settings["budget"], found.run["counts"]["unscored"])


def _end_with_parent() -> None:
    """Ends a worker whose run was killed: it would hold its shard against the same command given again. Ctrl-C is for the run itself."""
    import signal
    import threading
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _pool(workers: int) -> Iterator[Any]:
    """A pool of worker processes; None for one worker, which is this process."""
    if workers < 1:
        raise InputError(f"workers is {workers}; it must be at least 1.")
    if workers == 1:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            yield pool
        except BaseException:  # the shards go on from their journals another time: do not wait for them
            for child in active_children():
                child.terminate()
            raise


@cli.command()
@click.argument("folders", nargs=-1, required=True, metavar="BEFORE AFTER...")
@click.option(
    "--by", type=click.Choice(["category", "family"]), default=None, help="What is compared. [default: by size of suite]"
)
@click.option("--common", is_flag=True, help="Compare what the runs share where they did not do all the same.")
@click.option("--across-judges", is_flag=True, help="Compare although different judges judged.")
@click.option("--margin", default=None, type=float, metavar="SHARE", help="Largest difference that does not matter (0-1).")
@click.option(
    "--gate", default=None, metavar="RULE", help="Such as 'jailbreak.DR-1 <= 0.15 and harm.diff.high <= 0.02'; exit code 1."
)
@click.option("--junit", default=None, metavar="FILE", help="The gate's outcome as JUnit XML.")
@click.option("--out", default=None, metavar="DIR", help="Tables (CSV, Markdown, LaTeX) and figures.")
@click.option("--seed", default=0, help="Of bootstraps and permutations.")
def compare(
    folders: tuple[str, ...], margin: float | None, gate: str | None, junit: str | None, out: str | None, **settings: Any
) -> None:
    """Compares runs pair by pair: are they different, where, and could they have told? The first is the baseline."""
    from rai_kit import gates, measure

    if junit is not None and gate is None:
        raise InputError("--junit writes down what a gate found; give a rule with --gate.")
    if gate is not None:
        gates.parse(gate)  # a rule that cannot be read had better be known before the runs are
    for name, place in (("--out", out and Path(out)), ("--junit", junit and Path(junit).parent)):
        if place:
            _folder(name, place)
    if junit is not None and Path(junit).is_dir():
        raise InputError(f"--junit {junit} is a folder; give the name of a file.")
    found = measure.compare(*(Path(folder).resolve() for folder in folders), margin=margin, **settings)
    result = None if gate is None else found.gate(gate)
    shown = found.shown()
    click.echo(found.sides().dropna(axis="columns", how="all").to_string(index=False))
    for (before, after), rows in shown.groupby(["before", "after"], sort=False):
        click.echo(f"{before} -> {after}")
        click.echo(rows.drop(columns=["before", "after"]).to_string(index=False))
    click.echo(f"judge: {', '.join(sorted(set(found.differences['judge'])))}")
    for note in found.notes():
        click.echo(note)
    if out is not None:
        click.echo(f"written to {_write(found, Path(out), margin)}")
    if result is None:
        return
    for clause in result.clauses:
        click.echo(clause.words)
    if junit is not None:
        text = gates.junit(result, str(gate))
        write_whole(Path(junit), lambda partial: partial.write_text(text, encoding="utf-8"))
    click.echo("gate: passed" if result.passed else "gate: failed", err=not result.passed)
    if not result.passed:
        sys.exit(1)


def _folder(option: str, place: Path) -> None:
    """Makes a folder before the work begins whose result it is to take."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option}: {place} cannot be a folder ({error.strerror}); choose another place.") from None


def _write(found: Any, folder: Path, margin: float | None) -> Path:
    """Tables and figures of a comparison."""
    from rai_kit import plots

    found.save(folder)
    figures = {"differences": plots.forest(found.differences, found.titles, margin)}
    figures["before_after"] = plots.before_after(found.differences, found.titles, found.refusals)
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png")
    return folder


@cli.command()
@click.argument("file")
@click.option("--judge", default="offline", metavar="J", help="Who judges: offline, offline-deep, a model, or a panel A,B,C.")
@click.option("--concurrency", default=32, help="Most conversations in flight.")
@click.option("--budget", default=None, metavar="AMOUNT", help="What may be used in all: '5 USD', '200k tokens'.")
@click.option("--timeout", default=180.0, metavar="SECONDS", help="Longest try of one call.")
@click.option("--error-budget", default=0.1, metavar="SHARE", help="Share of conversations that may fail technically (0-1).")
@click.option("--batch", is_flag=True, help="Judge through the endpoint's Batch API: cheaper, within a day.")
@click.option("--references", default=None, metavar="PATH", help="Texts that must not be repeated: a folder, or JSONL.")
@click.option("--out", required=True, metavar="FILE", help="File of the verdicts.")
def judge(file: str, out: str, **settings: Any) -> None:
    """Judges conversations that already exist: JSONL in, JSONL out."""
    from rai_kit import measure

    verdicts = measure.judge_conversations(file, out=out, **settings)
    scored = sum(verdict.scored for verdict in verdicts)
    click.echo(f"{len(verdicts)} verdicts, {scored} scored, {len(verdicts) - scored} unscored; written to {out}")


@cli.command()
@click.option(
    "--judge", default="offline", metavar="J", help="Who is measured: offline, offline-deep, a model, or a panel A,B,C."
)
@click.option("--labels", multiple=True, metavar="FILE", help="CSV of human labels; by default those that come with the kit.")
@click.option("--task", default=None, help="What the labels say, where the file does not: refusal, objective or severity.")
@click.option("--concurrency", default=32, help="Most answers in flight.")
@click.option("--budget", default=None, metavar="AMOUNT", help="What may be used in all: '5 USD', '200k tokens'.")
@click.option("--timeout", default=180.0, metavar="SECONDS", help="Longest try of one call.")
@click.option("--error-budget", default=0.1, metavar="SHARE", help="Share of answers that may fail technically (0-1).")
@click.option("--out", required=True, metavar="DIR", help="Folder of the card; the same folder again resumes.")
def validate(labels: tuple[str, ...], **settings: Any) -> None:
    """Measures a judge against human labels, and writes its card."""
    from rai_kit import measure, metrics

    card = measure.validate(labels=labels or None, **settings)
    found = card.summary()
    columns = [name for name in ("agreement", "kappa", "weighted_kappa", "sensitivity", "specificity", "auc") if name in found]
    shown = metrics.intervals_as_text(found[found["category"] == "all"], ["finding", "n", *columns])
    click.echo(shown.to_string(index=False))
    click.echo(f"judge: {card.judge}; labels: {card.labels}, {card.n} answers, {card.n_unscored} unscored; {card.held_out}")
    click.echo(f"card: {Path(settings['out']) / f'card-{card.key}.json'}")


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--target", required=True, metavar="MODEL", help="Model whose failures in the runs are taught.")
@click.option("--total", type=int, help="Training examples; by default as many as suit the embedded model.")
@click.option("--judge", default="offline", metavar="J", help="Who finds refusals and harm in the target's own answers.")
@click.option("--own-refusals", is_flag=True, help="Ask the target for safe answers in its own words; for larger models.")
@click.option("--seed", default=0, help="Of everything random.")
@click.option("--concurrency", default=32, help="Most calls in flight.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the training data; the same folder again resumes.")
def curate(runs: tuple[str, ...], total: int | None, out: str, **settings: Any) -> None:
    """Turns what broke in finished runs (benchmark --suite taxonomy, red-team) into training data."""
    from rai_kit import measure

    mix = None if total is None else measure.Mix(total=total)
    found = measure.curate(*(Path(run).resolve() for run in runs), out=Path(out).resolve(), mix=mix, **settings)
    for of, tally in found.tally.items():
        click.echo(f"{of}: {', '.join(f'{count} {outcome}' for outcome, count in tally.items())}")
    click.echo(f"{found}; written to {out}")


@cli.command()
@click.option("--data", "files", multiple=True, required=True, metavar="FILE", help="Training examples (JSONL); may be repeated.")
@click.option("--fresh", multiple=True, metavar="FILE", help="Prompts with right answers, kept for the pairs of DPO.")
@click.option("--base", default="smollm2-135m@embedded", metavar="MODEL", help="Embedded model, or a Hugging Face folder.")
@click.option("--recipe", default=None, metavar="FILE", help="Settings of both stages (YAML or JSON).")
@click.option("--judge", default="offline", metavar="J", help="Who finds the mistakes.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the trained model; the same folder again resumes.")
def train(files: tuple[str, ...], fresh: tuple[str, ...], base: str, recipe: str | None, judge: str, out: str) -> None:
    """SFT, then DPO on pairs of a right and a wrong answer, and the weights to serve.

    The files are what `curate` or a data notebook wrote. On several GPUs: accelerate launch --multi_gpu -m rai_kit train ...
    """
    from rai_kit import measure, training
    from rai_kit.corpus import read_set

    examples, asked = ([one for file in some for one in read_set(file)] for some in (files, fresh))
    default = training.EMBEDDED if base.endswith("@embedded") else training.Recipe()
    settings = training.load_recipe(recipe, default) if recipe else None
    found = measure.post_train(examples, base=base, out=Path(out).resolve(), recipe=settings, fresh=asked, judge=judge)
    if not training.main_process():
        return
    for stage, one in found.record["stages"].items():
        click.echo(f"{stage}: {one['examples']} examples, {one['steps']} steps, {one['tokens']} tokens in {one['seconds']:.0f} s")
    click.echo(f"for vLLM: {found.folder}")
    if (found.out / "model.gguf").is_file():
        click.echo(f"served here: {found.address}")


@cli.command("break-fix")
@click.option("--target", default="smollm2-135m@embedded", metavar="MODEL", help="Embedded model that is attacked and trained.")
@click.option("--rounds", default=2, help="Rounds of curating, training and measuring.")
@click.option("--total", type=int, help="Training examples of a round; by default as many as suit the embedded model.")
@click.option("--recipe", default=None, metavar="FILE", help="Settings of the training (YAML or JSON).")
@click.option("--judge", default="offline", metavar="J", help="Who judges every answer.")
@click.option("--xstest", default=None, metavar="FILE", help="File in the format of XSTest, for over-refusal.")
@click.option("--seed", default=0, help="Of everything random.")
@click.option("--concurrency", default=32, help="Most calls in flight.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the cycle; the same folder again resumes.")
def break_fix(target: str, total: int | None, out: str, **settings: Any) -> None:
    """Measure, attack, curate, train, measure again, round after round, beside a placebo."""
    from rai_kit import measure, metrics
    from rai_kit.measure import outcome

    mix = None if total is None else measure.Mix(total=total)
    cycle = measure.break_fix(target, out=Path(out).resolve(), mix=mix, **settings)
    effects = outcome.effects(cycle)
    shown = outcome.harm(cycle, *(arm.name for arm in cycle.arms[1:]))
    columns = ["after", "category", "n", "value_before", "value_after", "difference", "low", "high", "fixed", "broken", "finding"]
    click.echo(shown[columns].to_string(index=False, float_format="{:.3f}".format))
    click.echo(effects.to_string(index=False, float_format="{:.3f}".format))
    click.echo(metrics.headline(effects))


@cli.command()
@click.argument("weights", default="smollm2-135m")
@click.option("--port", default=0, help="Port on the loopback address; 0 takes any free one.")
def serve(weights: str, port: int) -> None:
    """Serves the embedded model (or a GGUF file) to any OpenAI client on this machine, until Ctrl-C.

    The key is random unless RAI_KIT_API_KEY holds one.
    """
    import threading

    from rai_kit import embedded

    key = os.environ.get("RAI_KIT_API_KEY")
    server = embedded.serve(embedded.weights(weights), port=port, api_key=key)
    click.echo(f"OPENAI_BASE_URL={server.base_url}")
    click.echo("OPENAI_API_KEY=" + ("(the value of RAI_KIT_API_KEY)" if key else server.api_key))
    click.echo("Ctrl-C stops the server.", err=True)
    threading.Event().wait()


@cli.command()
def doctor() -> None:
    """What is installed, reachable and missing, and how to mend it."""
    from rai_kit.doctor import checks

    missing = 0
    for check in checks():
        click.echo(f"{'ok     ' if check.ok else 'MISSING' if check.needed else 'absent '} {check.what}: {check.found}")
        if not check.ok:
            click.echo(f"        {check.mend}")
            missing += check.needed
    sys.exit(1 if missing else 0)


def main() -> None:
    """Entry point: turns exceptions into sentences and exit codes."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InputError as error:
        _end(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        _end("stopped; what was finished is kept, and the same command goes on from there.", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
            raise
        where = f"{error.filename or 'a file'} could not be written ({error.strerror})"
        _end(f"{where}; finished calls are kept: mend that and run the same command again.", 2)
    except RuntimeError as error:
        # The first is known by name, so that papermill is loaded by `run` only.
        if type(error).__name__ != "NotebookFailed" and not isinstance(error, RunStopped):
            raise
        _end(str(error), 1)


def _end(words: str, code: int) -> None:
    """Says why, and ends at once: threads in the middle of their work (llama.cpp's) are not waited for, and hold nothing that is needed."""
    click.echo(f"rai-kit: {words}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
