"""Commands of the inspection: inspect, labels."""

from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.outputs import INSPECTION, LABELS
from mammogan.cli.shared import Force, Seed, new_output

app = typer.Typer()


@app.command()
def inspect(
    synthetic: Annotated[Path, typer.Argument(help="Store of synthetic images, or a folder of DICOM or pictures.")],
    out: Annotated[Path, typer.Option(help="Folder of the inspection to write.")],
    real: Annotated[Path | None, typer.Option(help="Store or folder of real images, as controls.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Synthetic images per view, or breasts, drawn at random.")] = 1000,
    controls: Annotated[int, typer.Option(min=0, help="Real images per view.")] = 200,
    seed: Seed = 0,
    observer: Annotated[str, typer.Option(help="Name that the labeling page proposes.")] = "",
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Draw breasts of a store: CC and MLO, next to each other on the sheets.")
    ] = False,
    force: Force = False,
) -> None:
    """Draw images to inspect: contact sheets, a page to label artifacts in the browser, and a ranking by detectors."""
    from mammogan.artifacts.inspection import make_inspection
    from mammogan.data.images import open_images
    from mammogan.data.pairs import require_pairs
    from mammogan.data.store import Store

    with new_output(out, INSPECTION, (synthetic, real), force) as bars:
        images = open_images(synthetic)
        if pairs:
            images.pairs = require_pairs(Store.open(synthetic))[["cc", "mlo"]].to_numpy()
        page = make_inspection(
            images,
            out,
            real=open_images(real, images.size, allow_synthetic=False) if real else None,
            count=count,
            controls=controls,
            seed=seed,
            observer=observer,
            progress=bars,
        )
    print(f"The contact sheets are in {out / 'sheets'}; open {page} in a browser to label")
    print(f"When done: mammogan labels {out} LABELS.csv [LABELS.csv of a second observer]")


@app.command()
def labels(
    inspection: Annotated[Path, typer.Argument(help="Folder that `mammogan inspect` wrote.")],
    files: Annotated[list[Path], typer.Argument(help="CSV files that the labeling page wrote, one per observer.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the tables; by default one in the inspection.")] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Report the labels of observers: rates by view next to the paper's, agreement, and detectors judged by them."""
    from mammogan.report.labels import report

    target = out or inspection / "report"
    with new_output(target, LABELS, files, force or out is None):
        print(report(inspection, files, target, seed))
