"""Commands of the book: run, pdf."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.shared import say

app = typer.Typer()
Profile = Annotated[str, typer.Option(help="Profile of pipeline.yaml.")]
Data = Annotated[Path | None, typer.Option(help="Folder of real images; phantoms by default.")]
ShowReal = Annotated[
    bool, typer.Option("--show-real", help="Show real images of people; only for those who may see them.")
]


@app.command()
def run(
    profile: Profile = "smoke",
    data: Data = None,
    only: Annotated[str | None, typer.Option(help='One stage, named by its beginning, as "04", and its needs.')] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Report what would run and why; run nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run stages whose results are up to date, too.")] = False,
    book: Annotated[bool, typer.Option(help="Build the HTML book after the stages.")] = True,
    show_real: ShowReal = False,
) -> None:
    """Run the notebooks whose results are not up to date, then build the book."""
    from mammogan.pipeline import Pipeline
    from mammogan.pipeline.book import build_book
    from mammogan.pipeline.running import run

    started = time.perf_counter()
    pipeline = Pipeline(profile, data, show_real=show_real)
    if explain:
        for name, why in pipeline.plan(only, force).items():
            say(f"{name}: {'runs, ' + why if why else 'up to date'}")
        return
    seconds = run(pipeline, only=only, force=force, echo=say)
    if only:
        return
    if not seconds:
        say("All notebooks are up to date.")
    if book:
        index = build_book(pipeline, echo=say)
        say(f"total: {time.perf_counter() - started:.1f} s")
        say(f"The book is {index}")


@app.command()
def pdf(profile: Profile = "smoke", data: Data = None, show_real: ShowReal = False) -> None:
    """Print the book of a finished run as one PDF with Chromium."""
    from mammogan.pipeline import Pipeline
    from mammogan.pipeline.book import print_book

    print(f"The PDF is {print_book(Pipeline(profile, data, show_real=show_real))}")
