"""The command align."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.shared import Bars, Force, Seed, Workers, check_empty, clear

app = typer.Typer()


@app.command()
def align(
    real: Annotated[Path, typer.Argument(help="Store, or folder of DICOM files or pictures: the real images.")],
    synthetic: Annotated[Path, typer.Argument(help="Store, or folder of DICOM files or pictures: the synthetic ones.")],
    out: Annotated[Path, typer.Option(help="Folder to write; stores of folders are made beside it.")],
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=0, help="Images a side; 0 takes all of the smaller set.")] = 0,
    draws: Annotated[int, typer.Option(min=2, help="Half samples behind each interval.")] = 100,
    splits: Annotated[int, typer.Option(min=2, help="Splits of the real images behind each ceiling.")] = 20,
    permutations: Annotated[int, typer.Option(min=1, help="Label permutations behind each P value.")] = 200,
    height: Annotated[int, typer.Option(min=0, help="Height to compare at, pixels; 0 takes the largest common.")] = 0,
    width: Annotated[int, typer.Option(min=0, help="Width to compare at, pixels; 0 takes the largest common.")] = 0,
    bits: Annotated[int, typer.Option(min=0, max=16, help="Bits a pixel of folders; 0 takes what they have.")] = 0,
    moments_only: Annotated[
        bool, typer.Option("--moments-only", help="Leave out texture, features, copies and pruning; much faster.")
    ] = False,
    feature: Annotated[
        Path | None, typer.Option(help="TorchScript file whose output precision, recall, KID and FID are taken of.")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels that this network expects; gray is repeated.")] = 1,
    trained_on: Annotated[
        str, typer.Option(help='Split of the real store that the generator saw, as "train"; empty for all of it.')
    ] = "",
    workers: Workers = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    force: Force = False,
) -> None:
    """Compare two sets of images: how close, with which uncertainty, and how close could they be."""
    from mammogan.report.comparison import align as compare

    stores = [out.with_name(f"{out.name}.{name}.store") for name in ("real", "synthetic")]
    for folder in (out, *stores):
        clear(folder, force)
    check_empty(out)
    with Bars() as bars:
        report = compare(
            real,
            synthetic,
            out,
            count=count,
            seed=seed,
            draws=draws,
            splits=splits,
            permutations=permutations,
            height=height,
            width=width,
            bits=bits,
            moments_only=moments_only,
            feature=feature,
            channels=channels,
            trained_on=trained_on,
            workers=workers,
            scheduler=scheduler,
            progress=bars,
        )
    print(f"The report is {report}")
