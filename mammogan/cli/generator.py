"""Commands of the generator: train, sample, reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.shared import Bars, Device, Force, Seed, clear, key_values
from mammogan.errors import OutputError, require

app = typer.Typer()


@app.command()
def train(
    store: Annotated[Path, typer.Option(help="Store of real images.")],
    run: Annotated[Path, typer.Option(help="Folder of the run; one that exists is continued.")],
    profile: Annotated[str, typer.Option(help='Hyper-parameters to start from: "paper" or "smoke".')] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a hyper-parameter; repeatable.")
    ] = None,
    device: Device = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: print what each level costs on this device.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")] = False,
) -> None:
    """Train the GAN; the same command continues a run that was cut off, exactly.

    Several GPUs: torchrun --nproc-per-node N -m mammogan train ...
    """
    from mammogan.data.store import Store
    from mammogan.gan import distributed
    from mammogan.gan.config import preset
    from mammogan.gan.device import configure_device
    from mammogan.gan.training import Run

    if tensorboard:
        require("tensorboard", "tensorboard")
    config = preset(profile).changed(key_values("--set", settings))
    if dry_run:
        from mammogan.gan.cost import plan, table

        with Bars() as bars:
            rows = []
            for row in plan(Store.open(store), config, configure_device(device)):
                rows.append(row)
                bars("levels", len(rows), 0, f"{row.size[0]} x {row.size[1]}")
        print(table(rows))
        return
    training = Run(Store.open(store), run, config, configure_device(device))
    board = None
    if tensorboard and not distributed.rank():
        from mammogan.gan.tensorboard import Board

        board = Board(run, training.images, training.store.bits)
    with Bars() as bars:
        training.train(bars, board or (lambda line: None))
    if board:
        board.close()
    if not distributed.rank():
        print(f"{training.images} images seen; the run is {run}")
    distributed.stop()


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; one that was cut off is continued.")],
    seed: Seed = 0,
    form: Annotated[
        str, typer.Option("--format", help="png (16 bits), zarr (a store), dicom, or film (an animated WebP).")
    ] = "png",
    view: Annotated[str, typer.Option(help="CC or MLO; empty draws both as often as in the training data.")] = "",
    density: Annotated[str, typer.Option(help="A to D; empty draws all as often as in the training data.")] = "",
    interpolate: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Images from one latent vector to the next, on the sphere.")
    ] = 0,
    first: Annotated[int, typer.Option(min=0, help="Index of the first image, to share a seed out.")] = 0,
    at: Annotated[
        int | None, typer.Option(metavar="IMAGES", help="Draw as the run stood after so many images.")
    ] = None,
    device: Device = "",
    force: Force = False,
) -> None:
    """Draw images from a trained generator; the same command continues one that was cut off."""
    from mammogan.gan.device import configure_device
    from mammogan.gan.sampling import sample as draw

    clear(out, force)
    with Bars() as bars:
        made = draw(
            run,
            out,
            count,
            seed,
            form,
            configure_device(device),
            bars,
            first=first,
            steps=interpolate,
            view=view,
            density=density,
            at=at,
        )
    print(f"{count} images in {made}")


@app.command()
def reference(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    real: Annotated[Path, typer.Option(help="Store of its training images.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    origin: Annotated[str, typer.Option(help='What the images are: "cdd-cesm" or "phantoms".')],
    count: Annotated[int, typer.Option(min=10, help="Synthetic images to measure.")] = 1000,
    seed: Seed = 1,
    force: Force = False,
) -> None:
    """Keep a run as files that rebuild its chapters: weights in half precision, log, moments and tables; no image."""
    from mammogan.report.reference import export

    if not force or not out.exists():
        export(run, real, out, origin, count=count, seed=seed)
    else:
        if (out / "labels").exists():
            raise OutputError(f"{out / 'labels'} would be lost with {out}; move it away, or give another --out.")
        # What is there goes once its successor stands.
        aside = out.with_name(f".{out.name}.aside")
        clear(aside, force)
        export(run, real, aside, origin, count=count, seed=seed)
        clear(out, force)
        aside.rename(out)
    print(f"The reference is {out}")
