"""Commands of the book: run, pdf."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.shared import say

app = typer.Typer()


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="A profile of pipeline.yaml.")] = "smoke",
    data: Annotated[Path | None, typer.Option(help="Folder of real images; without one, phantoms.")] = None,
    only: Annotated[str | None, typer.Option(help='A stage or the beginning of its name, as "04".')] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what would run and why; run nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run again what stands.")] = False,
    book: Annotated[bool, typer.Option(help="Build the HTML book after the stages.")] = True,
) -> None:
    """Run the notebooks whose results do not stand, then build the book."""
    from mammogan.pipeline import Pipeline

    started = time.perf_counter()
    pipeline = Pipeline(profile, data)
    took = pipeline.run(only=only, force=force, explain=explain, echo=say)
    if explain or only:
        return
    if not took:
        say("every notebook's results stand")
    if book:
        index = pipeline.book(echo=say)
        say(f"total: {time.perf_counter() - started:.1f} s")
        say(f"The book is {index}")


@app.command()
def pdf(
    profile: Annotated[str, typer.Option(help="A profile of pipeline.yaml.")] = "smoke",
    data: Annotated[Path | None, typer.Option(help="Folder of real images, as it was given to `run`.")] = None,
) -> None:
    """Print the book of a finished run as one PDF, by Chromium."""
    from mammogan.pipeline import Pipeline

    print(f"The PDF is {Pipeline(profile, data).pdf()}")
