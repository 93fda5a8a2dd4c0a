"""The command line: `mammogan COMMAND --help` describes each command."""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, NoReturn

import typer

from mammogan import __version__
from mammogan.cli import alignment, archive, book, generator, inspection, study
from mammogan.errors import MammoganError, ParameterError
from mammogan.threads import prepare_threads

INTERRUPTED, TERMINATED = 130, 143  # exit codes after SIGINT and SIGTERM
app = typer.Typer(
    help="Mammograms from a progressively grown GAN, and how real they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (archive, generator):
    app.add_typer(group.app)
app.add_typer(study.app, name="study")
for group in (inspection, alignment, book):
    app.add_typer(group.app)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def _end(terminated: bool) -> NoReturn:
    print("Stopped; the same command continues.", file=sys.stderr)
    sys.exit(TERMINATED if terminated else INTERRUPTED)


@contextmanager
def _termination() -> Iterator[list[int]]:
    """SIGTERM ends the block as Ctrl-C does, whose cleaning up every command has; the list has its number then.

    It has no effect outside of the main thread, which alone receives signals, and where the parent set the signal.
    """
    received: list[int] = []

    def terminate(number: int, _: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # a second one does not interrupt the cleaning up
        received.append(number)
        raise KeyboardInterrupt

    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield received
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _check_arguments() -> None:
    """Refuse arguments that no file can store: what is not UTF-8 may only be the name of a file that is there."""
    for argument in sys.argv[1:]:
        if any("\ud800" <= character <= "\udfff" for character in argument) and not os.path.lexists(argument):
            raise ParameterError(f"The argument {argument!r} is not UTF-8; write it in UTF-8, or choose another name.")


def main(run_app: Callable[[], None] = app) -> None:
    """Run a command. A `MammoganError` becomes one sentence, any other exception a traceback that asks for a report.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    prepare_threads()
    try:
        with _termination() as received:
            _check_arguments()
            run_app()
    except KeyboardInterrupt:
        _end(bool(received))
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what typer makes of KeyboardInterrupt
            _end(bool(received))
        raise
    except MammoganError as error:
        if str(error):  # one of several processes speaks for all
            print(f"mammogan: {error}", file=sys.stderr)
        sys.exit(error.code)
    except Exception:
        traceback.print_exc()
        print("mammogan: this is a fault of the program; please report it with the lines above.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
