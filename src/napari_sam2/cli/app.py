"""The commands of ``napari-sam2``, and how each of them ends."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_sam2 import __version__
from napari_sam2.cli import models
from napari_sam2.cli.console import note
from napari_sam2.cli.demo import demo
from napari_sam2.cli.describe import describe
from napari_sam2.cli.evaluate import evaluate
from napari_sam2.cli.finetune import finetune
from napari_sam2.cli.interrupt import INTERRUPTED
from napari_sam2.cli.options import Debug  # noqa: TC001 - typer reads it
from napari_sam2.cli.schema import schema
from napari_sam2.cli.track import track
from napari_sam2.cli.train import train
from napari_sam2.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, WRONG_USAGE = 1, 2

# The parent of all mistakes in the use of a command. It is click's own up to typer
# 0.24, and typer's copy of it after that.
_UsageMistake = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="napari-sam2",
    help="Segment objects through z-stacks and time-lapses with SAM 2.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("track")(track)
app.command("info")(describe)
app.command("evaluate")(evaluate)
app.add_typer(models.app, name="models")
app.command("train")(train)
app.command("finetune")(finetune)
app.command("demo")(demo)
app.command("schema")(schema)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-sam2 {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done; 1: what was given cannot be used; 2: wrong usage; 130: interrupted. A
    mistake of the user is told in one line on stderr. Anything else keeps its
    traceback.

    Parameters
    ----------
    args
        The words after ``napari-sam2``; those of the command line if absent.
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    _log_to_stderr(debug=debug)
    try:
        code = app(words, prog_name="napari-sam2", standalone_mode=False)
        sys.stdout.flush()
    except _UsageMistake as error:
        return _report(error.format_message(), WRONG_USAGE)
    except Sam2Error as error:
        if debug:
            logging.getLogger("napari_sam2").exception("the command failed")
        return _report(str(error), FAILED)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has had enough. Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code if isinstance(code, int) else 0


def _report(message: str, code: int) -> int:
    note(f"napari-sam2: {' '.join(message.split())}")
    return code


def _log_to_stderr(*, debug: bool) -> None:
    """Show warnings of this package, or with --debug all that is logged."""
    logging.basicConfig(
        level=logging.ERROR,
        format="%(name)s: %(message)s" if debug else "napari-sam2: %(message)s",
    )
    logging.getLogger("napari_sam2").setLevel(
        logging.DEBUG if debug else logging.WARNING
    )
    if not debug:
        # It reports every damaged page at length; the error that follows says it once.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
