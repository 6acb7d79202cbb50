"""The command line: a thin shell over the same functions that the notebooks call.

What a user gave wrong ends with one sentence and exit code 2, a failed run with 1, Ctrl-C with 130. Finished model calls
are in the journal in any case: the same command goes on from there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from rai_kit import __version__
from rai_kit.schema import InputError


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


@cli.command()
@click.option("--target", "targets", multiple=True, required=True, metavar="MODEL", help="Model under test; may be repeated.")
@click.option("--simulator", default="scripted", metavar="S", help="Who plays the user: scripted, or a model.")
@click.option("--judge", default="offline", metavar="J", help="Who judges: offline, or a model.")
@click.option("--suite", default="rai5", help="Set of categories.")
@click.option("--category", "categories", multiple=True, metavar="C", help="Only this category; may be repeated.")
@click.option("--scenarios", default=None, metavar="FILE", help="Scenarios of one's own (JSONL) instead of drawn ones.")
@click.option("-n", "n", default=20, help="Scenarios a category.")
@click.option("--turns", default=3, help="Answers of the target in a conversation.")
@click.option("--seed", default=0, help="Of everything random.")
@click.option("--concurrency", default=32, help="Most conversations in flight.")
@click.option("--max-tokens", default=96, help="Most new tokens of a target's reply.")
@click.option("--temperature", default=0.7, help="Of the target.")
@click.option("--self-judging", is_flag=True, help="Allow a judge that is one of the targets.")
@click.option("--out", required=True, metavar="DIR", help="Run folder; the same folder again resumes.")
def benchmark(targets: tuple[str, ...], categories: tuple[str, ...], **settings: Any) -> None:
    """The RAI benchmark: simulated conversations, judged; rates with intervals."""
    from rai_kit import measure

    # Here a relative folder counts from where the command was given.
    settings["out"] = Path(settings["out"]).resolve()
    found = measure.benchmark(targets, category=categories or None, **settings)
    table = found.estimates
    shown = table.loc[table["topic"] == "all", ["model", "category", "metric", "value", "low", "high", "n", "n_unscored"]]
    click.echo(shown.to_string(index=False, float_format="{:.3f}".format))
    click.echo(f"judge: {found.run['judge']['id']}; written to {found.out}")


@cli.command()
@click.argument("file")
@click.option("--judge", default="offline", metavar="J", help="Who judges: offline, or a model.")
@click.option("--concurrency", default=32, help="Most conversations in flight.")
@click.option("--out", required=True, metavar="FILE", help="File of the verdicts.")
def judge(file: str, judge: str, concurrency: int, out: str) -> None:
    """Judges conversations that already exist: JSONL in, JSONL out."""
    from rai_kit import measure

    verdicts = measure.judge_conversations(file, out=out, judge=judge, concurrency=concurrency)
    scored = sum(verdict.scored for verdict in verdicts)
    click.echo(f"{len(verdicts)} verdicts, {scored} scored, {len(verdicts) - scored} unscored; written to {out}")


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
        click.echo(f"rai-kit: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("rai-kit: stopped; what was finished is kept, and the same command goes on from there.", err=True)
        sys.exit(130)
    except RuntimeError as error:
        if type(error).__name__ != "NotebookFailed":  # known by name, so that papermill is loaded by `run` only
            raise
        click.echo(f"rai-kit: {error}", err=True)
        sys.exit(1)
