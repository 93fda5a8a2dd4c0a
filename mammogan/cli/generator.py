"""Commands of the generator: train, sample, reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan.atomic import renewing_folder
from mammogan.cli.outputs import REFERENCE, SAMPLES
from mammogan.cli.shared import Bars, Device, Force, Seed, key_values, new_output
from mammogan.errors import require
from mammogan.types import counted

if TYPE_CHECKING:
    from mammogan.gan.plan import LevelPlan

app = typer.Typer()


@app.command()
def train(
    store: Annotated[Path | None, typer.Option(help="Store of real images.")] = None,
    run: Annotated[
        Path | None, typer.Option("--out", "--run", help="Folder of the run; one that exists is continued.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help='Hyper-parameters to start from: "paper", "paper-2560" or "smoke".')
    ] = "paper",
    data: Annotated[Path | None, typer.Option(help="DATA of the book, without --store and --out.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a hyper-parameter; repeatable.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="A run of the same shape, whose networks a new run begins with.")
    ] = None,
    device: Device = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: print the cost of each level on this device.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")] = False,
) -> None:
    """Train the GAN; the same command continues a run that was cut off, exactly.

    Several GPUs: torchrun --nproc-per-node N -m mammogan train --store STORE --out RUN

    Without --store and --out it trains the run that `mammogan run` with the same --profile and --data then shows.

    torchrun takes --run, the earlier name of --out, as an abbreviation of an option of its own.
    """
    from mammogan.data.store import Store
    from mammogan.gan import distributed
    from mammogan.gan.config import preset
    from mammogan.gan.device import configure_device
    from mammogan.gan.training import Run

    if tensorboard:
        require("tensorboard", "tensorboard")
    if store and run and not data:
        config = preset(profile).changed(key_values("--set", settings))
    elif store or run or settings:
        raise typer.BadParameter("Give --store and --out, or neither of them for the training of the book.")
    else:
        from mammogan.pipeline import Pipeline
        from mammogan.pipeline.training import Training

        training_of_book = Training.of(Pipeline(profile, data))
        store, run, config = training_of_book.store, training_of_book.run, training_of_book.config
        device = device or training_of_book.device
    if dry_run:
        from mammogan.gan.plan import plan

        levels = []
        with Bars() as bars:
            for level in plan(Store.open(store), config, configure_device(device)):
                levels.append(level)
                bars("levels", len(levels), 0, str(level.size))
        print(plan_table(levels))
        return
    training = Run.open(Store.open(store), run, config, configure_device(device), start)
    board = None
    if tensorboard and not distributed.rank():
        from mammogan.cli.tensorboard import Board

        board = Board(run, training.images, training.store.bits)
    with Bars() as bars:
        training.train(bars, board or (lambda line: None))
    if board:
        board.close()
    if not distributed.rank():
        print(f"{counted(training.images, 'image')} seen; the run is {run}")
    distributed.leave()


def plan_table(levels: list["LevelPlan"]) -> str:
    """Return a plan as text, one line per level."""
    from mammogan.gan.networks import GROUP

    head = f"{'level':>12} {'maps':>5} {'parameters':>11} {'memory':>8} {'GFLOP':>8} {'batch':>6} {'images':>11}"
    lines = [f"{head} {'step':>9} {'time':>9}"]
    for level in levels:
        step = f"{level.seconds:.3g} s" if level.seconds else "-" if level.fits else "!"
        lines.append(
            f"{level.size!s:>12} {level.maps:>5} {sum(level.cost.parameters):>11,} "
            f"{level.cost.peak_bytes / 1e9:>5.2f} GB {level.cost.flop / 1e9:>8.3g} {level.batch:>6} "
            f"{level.images:>11,} {step:>9} {level.hours:>7.3g} h"
        )
    hours = sum(level.hours for level in levels)
    lines.append(f"in all {hours:.3g} hours; GFLOP are per image, memory is per step in float32")
    if any(not level.fits for level in levels):
        lines.append(
            f"! the device has too little memory: minibatches of more than {GROUP} can be computed in pieces, as with "
            f"--set micro={GROUP}; otherwise use another device"
        )
    if any(level.seconds is None and level.fits for level in levels):
        lines.append("a step without a time was too long to try; the time of its level follows from its arithmetic")
    return "\n".join(lines)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images; two per breast where a run draws pairs.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; one that was cut off is continued.")],
    seed: Seed = 0,
    form: Annotated[
        str, typer.Option("--format", help="png (16 bits), zarr (a store), dicom, or film (an animated WebP).")
    ] = "png",
    view: Annotated[str, typer.Option(help="CC or MLO; empty draws both as often as in the training data.")] = "",
    density: Annotated[str, typer.Option(help="A to D; empty draws all as often as in the training data.")] = "",
    only: Annotated[
        list[str] | None, typer.Option(metavar="FACT=VALUE", help="Another condition, as finding=lesion; repeatable.")
    ] = None,
    interpolate: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Images from one latent vector to the next, on the sphere.")
    ] = 0,
    first: Annotated[int, typer.Option(min=0, help="Index of the first image, to share a seed between commands.")] = 0,
    at: Annotated[
        int | None, typer.Option(metavar="IMAGES", help="Draw with the generator kept after so many images.")
    ] = None,
    device: Device = "",
    force: Force = False,
) -> None:
    """Draw images from a trained generator; the same command continues after an interruption."""
    from mammogan.gan import sampling
    from mammogan.gan.device import configure_device

    draw = sampling.Draw(count, seed, first, interpolate, view, density, at, tuple(key_values("--only", only).items()))
    with renewing_folder(out, SAMPLES, [run], force), Bars() as bars:
        written = sampling.sample(run, out, draw, form, configure_device(device), bars)
    print(f"{counted(count, 'image')} in {written}")


@app.command()
def reference(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    real: Annotated[Path, typer.Option(help="Store of its training images.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    count: Annotated[int, typer.Option(min=10, help="Synthetic images to measure.")] = 1000,
    seed: Seed = 1,
    choose: Annotated[
        bool, typer.Option("--choose", help="Publish the best of the generators that the run kept, not the newest.")
    ] = False,
    megabytes: Annotated[float, typer.Option(help="Largest file of weights; hosts of repositories limit it.")] = 25.0,
    force: Force = False,
) -> None:
    """Keep a run as files that rebuild its chapters: weights in half precision, log, moments and tables; no image."""
    from mammogan.report.reference import export

    with new_output(out, REFERENCE, (run, real), force):
        export(run, real, out, count=count, seed=seed, choose=choose, megabytes=megabytes)
    print(f"The reference is {out}")
