"""Commands that compare sets: align, pairs, utility."""

from pathlib import Path
from typing import Annotated

import typer

from mammogan.cli.outputs import ALIGNMENT, PAIRS, UTILITY
from mammogan.cli.shared import Force, Seed, Workers, cost, new_output, whole_size

app = typer.Typer()


@app.command()
def align(
    real: Annotated[Path, typer.Argument(help="Real images: store, or folder of DICOM files or pictures.")],
    synthetic: Annotated[
        list[Path],
        typer.Argument(help="Synthetic images: store, or folder of DICOM files or pictures; several are ranked."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; folders of images are ingested into stores next to it.")],
    seed: Seed = 0,
    count: Annotated[int, typer.Option(min=0, help="Images per side; 0 means all of the smaller set.")] = 0,
    draws: Annotated[int, typer.Option(min=2, help="Half samples per interval.")] = 100,
    splits: Annotated[int, typer.Option(min=2, help="Splits of the real images per ceiling.")] = 20,
    permutations: Annotated[int, typer.Option(min=1, help="Label permutations per P value.")] = 200,
    height: Annotated[int, typer.Option(min=0, help="Height to compare at, pixels; 0 means the largest common.")] = 0,
    width: Annotated[int, typer.Option(min=0, help="Width to compare at, pixels; 0 means the largest common.")] = 0,
    bits: Annotated[int, typer.Option(min=0, max=16, help="Bits per pixel of folders; 0 means those they have.")] = 0,
    moments_only: Annotated[
        bool, typer.Option("--moments-only", help="Leave out texture, features, copies and pruning; much faster.")
    ] = False,
    feature: Annotated[
        Path | None, typer.Option(help="TorchScript file of the network for precision, recall, KID and FID.")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels that this network expects; gray is repeated.")] = 1,
    trained_on: Annotated[
        str, typer.Option(help='Split of the real store that the generator was trained on, as "train"; empty for all.')
    ] = "",
    workers: Workers = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    force: Force = False,
) -> None:
    """Compare sets of images with real ones: how close they are, how sure that is, and how close they could be."""
    from mammogan.report.comparison import AlignSettings
    from mammogan.report.comparison import align as compare
    from mammogan.report.ranking import rank

    settings = AlignSettings(
        count=count,
        seed=seed,
        draws=draws,
        splits=splits,
        permutations=permutations,
        size=whole_size(height, width),
        bits=bits,
        moments_only=moments_only,
        feature=feature,
        channels=channels,
        trained_on=trained_on,
        workers=workers,
        scheduler=scheduler,
    )
    several = len(synthetic) > 1
    sets = {} if several else {"real": real, "synthetic": synthetic[0]}
    with new_output(out, ALIGNMENT, (real, *synthetic, feature), force, sets) as bars:
        if several:
            report = rank(real, synthetic, out, settings, progress=bars)
        else:
            report = compare(real, synthetic[0], out, settings, progress=bars)
    print(f"The {'ranking' if several else 'report'} is {report}; it took {cost()}.")


@app.command()
def pairs(
    images: Annotated[Path, typer.Argument(metavar="SET", help="Store, or folder, of images of both views.")],
    out: Annotated[Path, typer.Option(help="Folder to write; folders of images are ingested into stores next to it.")],
    real: Annotated[Path | None, typer.Option(help="Real images to compare with: store, or folder.")] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Test whether the CC and the MLO of each breast agree better than views of different patients."""
    from mammogan.report.views import compare_pairs, printed

    sets = {"synthetic": images, **({"real": real} if real else {})}
    with new_output(out, PAIRS, sets.values(), force, sets) as bars:
        rows = compare_pairs(images, out, real, seed=seed, workers=workers, progress=bars)
    print(printed(rows).to_string(index=False, float_format="%.3f"))
    print(f"The report is {out / 'report.html'}")


@app.command()
def utility(
    real: Annotated[Path, typer.Argument(help="Store of real images with labels.")],
    synthetic: Annotated[Path, typer.Argument(help="Store of synthetic images with labels.")],
    label: Annotated[str, typer.Option(help="Column of both manifests, as finding or density.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    positive: Annotated[
        list[str] | None, typer.Option(help="Value that counts as positive; repeatable. By default the rarer of two.")
    ] = None,
    more: Annotated[Path | None, typer.Option(help="Store of further real images, of other patients.")] = None,
    trained_on: Annotated[
        str, typer.Option(help="Split of the real store that the generator was trained on; tests are on the others.")
    ] = "train",
    height: Annotated[int, typer.Option(min=16, help="Largest height of the images that are used, pixels.")] = 80,
    sizes: Annotated[
        str, typer.Option(help="Numbers of real images, as 50,100; by default a quarter, half and all.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every training.")] = 5,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Train classifiers with and without synthetic images: gain and calibration on real images of other patients."""
    from mammogan.report import utility as report

    if not all(size.strip().isdigit() for size in sizes.split(",") if size):
        raise typer.BadParameter(f"--sizes expects numbers separated by commas, not {sizes!r}.")
    numbers = tuple(sorted({int(size) for size in sizes.split(",") if size}))
    settings = report.UtilitySettings(label, tuple(positive or ()), trained_on, height, numbers, seeds, seed)
    with new_output(out, UTILITY, (real, synthetic, more), force) as bars:
        found = report.utility(real, synthetic, out, settings, more=more, progress=bars)
    for table in report.printed(found):
        print(table.to_string(index=False))
    print(f"The report is {out / 'report.html'}; it took {cost()}.")
