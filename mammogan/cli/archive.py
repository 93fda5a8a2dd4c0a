"""Commands that make images and stores: phantom, ingest."""

from pathlib import Path
from typing import Annotated

import typer

from mammogan.atomic import renewing_folder
from mammogan.cli.outputs import PHANTOMS, STORE
from mammogan.cli.shared import Bars, Force, Seed, Workers, key_values
from mammogan.types import counted

app = typer.Typer()


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write DICOM files to.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images; four per patient.")] = 40,
    seed: Seed = 0,
    height: Annotated[int, typer.Option(min=64, help="Height of an image, pixels.")] = 1280,
    width: Annotated[int, typer.Option(min=64, help="Width of an image, pixels.")] = 1024,
    workers: Annotated[int, typer.Option(min=0, help="Number of processes; 0 means one per core.")] = 0,
    force: Force = False,
) -> None:
    """Draw a procedural population of mammograms as DICOM files; the same command continues after an interruption."""
    from mammogan.data.phantom.population import write_population
    from mammogan.parallel import count_cores

    workers = workers or count_cores()
    with renewing_folder(out, [PHANTOMS], force=force), Bars() as bars:
        write_population(out, count, seed, height=height, width=width, workers=workers, progress=bars)
    print(f"{counted(count, 'phantom')} in {out}")


@app.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Folders or files: DICOM, or pictures with labels.")],
    store: Annotated[Path, typer.Option(help="Folder of the store to write.")],
    height: Annotated[int, typer.Option(min=4, help="Height of the finest level, pixels.")] = 1280,
    width: Annotated[int, typer.Option(min=4, help="Width of the finest level, pixels.")] = 1024,
    bits: Annotated[int, typer.Option(min=1, max=16, help="Bits per pixel of the store.")] = 12,
    labels: Annotated[Path | None, typer.Option(help="CSV of pictures: columns file and view, and others.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FACT=NAME", help="Name of a column of the CSV, as view=position.")
    ] = None,
    assume: Annotated[
        list[str] | None, typer.Option(metavar="FACT=VALUE", help="A fact about all files, as view=MLO.")
    ] = None,
    picture_bits: Annotated[int, typer.Option(help="Bits of pictures; 0 means the depth of their format.")] = 0,
    laterality: Annotated[str, typer.Option(help='"keep", or "left" to mirror to a chest wall at the left.')] = "keep",
    window: Annotated[
        str, typer.Option(help='VOI window to show: its position, its explanation, or "lut:0" for a VOI LUT.')
    ] = "0",
    refuse_flag: Annotated[
        list[str] | None, typer.Option(metavar="FLAG", help="Refuse images with this flag, as clips; repeatable.")
    ] = None,
    for_processing: Annotated[bool, typer.Option("--for-processing", help="Accept FOR PROCESSING images too.")] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Accept images that say that a program drew them, too.")
    ] = False,
    workers: Workers = 1,
    scheduler: Annotated[str | None, typer.Option(help='Address of a Dask scheduler, or "local" for one here.')] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Read an archive into a store; the same command continues after an interruption."""
    from mammogan.data.examples import refused_path
    from mammogan.data.ingest import Settings
    from mammogan.data.ingest import ingest as read_archive
    from mammogan.data.metadata import LabelSource
    from mammogan.data.store import Store, check_growth
    from mammogan.errors import NothingAcceptedError
    from mammogan.report.ingest import flag_counts, outcomes, write_report

    check_growth(height, width)
    settings = Settings(
        height=height,
        width=width,
        bits=bits,
        window=int(window) if window.isdigit() else window,
        laterality=laterality,
        allow_processing=for_processing,
        allow_synthetic=synthetic,
        refuse_flags=tuple(refuse_flag or ()),
        picture_bits=picture_bits,
        seed=seed,
    )
    source = LabelSource(labels, key_values("--column", column), key_values("--assume", assume))
    inputs = [*sources, *([labels] if labels else [])]
    with renewing_folder(store, STORE, inputs, force), Bars() as bars:
        try:
            archive = read_archive(
                sources, store, settings, labels=source, workers=workers, scheduler=scheduler, progress=bars
            )
        except NothingAcceptedError:
            write_report(Store.without_images(store))
            raise
    for outcome, count, meaning in outcomes(archive).itertuples(index=False):
        print(f"{count:8d}  {outcome:16s} {meaning}")
    for flag, count, meaning in flag_counts(archive).itertuples(index=False):
        print(f"{count:8d}  flag {flag:11s} {meaning[0].upper()}{meaning[1:]}.")
    print(f"The store is {store}; the report is {write_report(archive)}")
    if len(archive.refused):
        print(f"{refused_path(store)} names files of each reason; names may identify patients")
