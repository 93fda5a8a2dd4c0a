"""The command line: `mammogan COMMAND --help` says what each command takes."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mammogan import __version__

app = typer.Typer(
    help="Mammograms from a progressively grown GAN, and how real they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Force = Annotated[bool, typer.Option("--force", help="Delete what is there and make it again.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Device = Annotated[str, typer.Option(help='Where to compute: "cpu", "cuda", "cuda:1"; empty takes the best.')]


class Progress:
    """A bar on a terminal; elsewhere a plain line now and then, so that logs stay short."""

    def __init__(self, what: str, total: int | None = None, every: float = 10.0) -> None:
        from tqdm import tqdm

        self.what, self.total, self.every = what, total, every
        self.bar = tqdm(desc=what, total=total, disable=not sys.stderr.isatty())
        self.last = time.monotonic()
        self.text = ""

    def __call__(self, done: int, note: str = "") -> None:
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(done - self.bar.n)
        if self.bar.disable:
            self.bar.n = done
            if time.monotonic() - self.last >= self.every:
                self.last = time.monotonic()
                of = f" of {self.total}" if self.total else ""
                print(f"{self.what}: {done}{of} {note}".rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        self.bar.close()


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Progress]:
    shown = Progress(what, total)
    try:
        yield shown
    finally:
        shown.close()


def _clear(folder: Path, force: bool) -> None:
    if force and folder.exists():
        shutil.rmtree(folder)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or []]
    if wrong := [pair[0] for pair in pairs if not pair[1]]:
        raise typer.BadParameter(f"{option} takes KEY=VALUE, not {wrong[0]!r}.")
    return {key: value for key, _, value in pairs}


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write DICOM files to.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images; four a patient.")] = 40,
    seed: Seed = 0,
    height: Annotated[int, typer.Option(min=64, help="Height of an image, pixels.")] = 1280,
    width: Annotated[int, typer.Option(min=64, help="Width of an image, pixels.")] = 1024,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Draw a procedural population of mammograms as DICOM files."""
    from mammogan.data.phantom import write_population

    _clear(out, force)
    if out.exists() and any(out.iterdir()):
        raise Failure(f"The folder {out} is not empty; give another or add --force.")
    with progress("phantoms", count) as shown:
        write_population(
            out,
            count,
            seed,
            height=height,
            width=width,
            workers=workers,
            progress=lambda done, _: shown(done),
        )
    print(f"{count} phantoms in {out}")


@app.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Folders or files: DICOM, or pictures with labels.")],
    store: Annotated[Path, typer.Option(help="Folder of the store to write.")],
    height: Annotated[int, typer.Option(min=4, help="Height of the finest level, pixels.")] = 1280,
    width: Annotated[int, typer.Option(min=4, help="Width of the finest level, pixels.")] = 1024,
    bits: Annotated[int, typer.Option(min=1, max=16, help="Bits a pixel of the store.")] = 12,
    labels: Annotated[Path | None, typer.Option(help="CSV of pictures: columns file and view, and others.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FACT=NAME", help="Name of a column of the CSV, as view=position.")
    ] = None,
    assume: Annotated[
        list[str] | None, typer.Option(metavar="FACT=VALUE", help="A fact that holds for all files, as view=MLO.")
    ] = None,
    picture_bits: Annotated[int, typer.Option(help="Bits of pictures; 0 takes the depth of their format.")] = 0,
    laterality: Annotated[str, typer.Option(help='"keep", or "left" to mirror to a chest wall at the left.')] = "keep",
    window: Annotated[
        str, typer.Option(help='VOI window to show: its position, its explanation, or "lut:0" for a VOI LUT.')
    ] = "0",
    refuse_flag: Annotated[
        list[str] | None, typer.Option(metavar="FLAG", help="Refuse images with this flag, as clips; repeatable.")
    ] = None,
    for_processing: Annotated[bool, typer.Option("--for-processing", help="Take FOR PROCESSING images too.")] = False,
    workers: Workers = 1,
    scheduler: Annotated[str | None, typer.Option(help='Address of a Dask scheduler, or "local" for one here.')] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Read an archive into a store; the same command continues one that was cut off."""
    from mammogan.data.ingest import Settings, salt_path
    from mammogan.data.ingest import ingest as read
    from mammogan.data.report import flag_counts, outcomes, write_report

    if force:
        _clear(store, force)
        salt_path(store).unlink(missing_ok=True)
    settings = Settings(
        height=height,
        width=width,
        bits=bits,
        window=int(window) if window.isdigit() else window,
        laterality=laterality,
        allow_processing=for_processing,
        refuse_flags=tuple(refuse_flag or ()),
        picture_bits=picture_bits,
        seed=seed,
    )
    with progress("files") as shown:
        made = read(
            list(sources),
            store,
            settings,
            labels=labels,
            columns=_pairs("--column", column),
            assume=_pairs("--assume", assume),
            workers=workers,
            scheduler=scheduler,
            progress=lambda done, accepted: shown(done, f"{accepted} accepted"),
        )
    for outcome, count, meaning in outcomes(made):
        print(f"{count:8d}  {outcome:16s} {meaning}")
    for flag, count, meaning in flag_counts(made):
        print(f"{count:8d}  flag {flag:11s} {meaning[0].upper()}{meaning[1:]}.")
    print(f"The store is {store}; the report is {write_report(made)}")


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
    from mammogan.gan import processes
    from mammogan.gan.settings import preset
    from mammogan.gan.training import Run, device_of

    config = preset(profile).changed(_pairs("--set", settings))
    if dry_run:
        from mammogan.gan.plan import plan, table

        with progress("levels") as shown:
            rows = []
            for row in plan(Store.open(store), config, device_of(device)):
                rows.append(row)
                shown(len(rows), f"{row.size[0]} x {row.size[1]}")
        print(table(rows))
        return
    training = Run(Store.open(store), run, config, device_of(device))
    board = None
    if tensorboard and not processes.rank():
        from mammogan.gan.board import Board

        board = Board(run, training.images, training.store.bits)
    with progress("images", config.total_images) as shown:

        def report(line: dict[str, Any]) -> None:
            left = (line["total"] - line["images"]) / line["images_per_second"] / 3600
            speed = f"{line['images_per_second']:.3g} images/s, {left:.2g} h left at this speed"
            shown(line["images"], f"{line['size']} alpha {line['alpha']:.2f} {speed}")
            if board:
                board(line)

        training.train(report)
    if board:
        board.close()
    if not processes.rank():
        print(f"{training.images} images seen; the run is {run}")
    processes.stop()


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
    from mammogan.gan.sampling import sample as draw
    from mammogan.gan.training import device_of

    _clear(out, force)
    with progress("images", count) as shown:
        made = draw(
            run,
            out,
            count,
            seed,
            form,
            device_of(device),
            shown,
            first=first,
            steps=interpolate,
            view=view,
            density=density,
            at=at,
        )
    print(f"{count} images in {made}")


study = typer.Typer(help="Build, serve and analyse a reader study.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(study, name="study")


@study.command("build")
def study_build(
    real: Annotated[Path, typer.Argument(help="Store of real images, or a folder of DICOM files or pictures.")],
    synthetic: Annotated[Path, typer.Argument(help="Store of synthetic images, or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the study to write.")],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs a session.")] = 10,
    pool: Annotated[int, typer.Option(min=0, help="Images of each class to draw from, taken at random; 0: all.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; without, a secret one.")] = None,
    height: Annotated[int, typer.Option(min=0, help="Height of a picture, pixels; 0: the largest in common.")] = 0,
    width: Annotated[int, typer.Option(min=0, help="Width of a picture, pixels.")] = 0,
    view: Annotated[str, typer.Option(help="Take this view alone, as MLO; empty takes all.")] = "",
    labels: Annotated[
        list[Path] | None, typer.Option(help='CSV with columns id and label; what is not "none" is excluded.')
    ] = None,
    exclude_label: Annotated[list[str] | None, typer.Option(help="Exclude only this label; repeatable.")] = None,
    exclude: Annotated[list[Path] | None, typer.Option(help="Hand list: an id a line, then a comma and why.")] = None,
    title: Annotated[str, typer.Option(help="Title that readers see.")] = "Which mammogram is real?",
    note: Annotated[str, typer.Option(help="A sentence above the instructions.")] = "",
    browser: Annotated[bool, typer.Option("--browser", help="Needs no server; the truth is in the page.")] = False,
    force: Force = False,
) -> None:
    """Build a reader study: curated pools, blinded pictures, and the application."""
    from mammogan.readers.design import RESPONSES, build

    if force and (out / RESPONSES).exists():
        raise Failure(f"{out} holds responses; export them and give another folder.")
    if bool(height) != bool(width):
        raise typer.BadParameter("Give both --height and --width, or neither.")
    _clear(out, force)
    with progress("pictures") as shown:
        made = build(
            real,
            synthetic,
            out,
            pairs=pairs,
            pool=pool,
            seed=seed,
            size=(height, width) if height else None,
            view=view,
            labels=labels or (),
            exclude_labels=exclude_label or (),
            exclude=exclude or (),
            title=title,
            note=note,
            browser=browser,
            progress=lambda done, total: shown(done, f"of {total}"),
        )
    print(f"{len(made.real)} real and {len(made.synthetic)} synthetic pictures; the study is {out}")
    print(f"Open {out / 'public' / 'index.html'}" if browser else f"Serve it with: mammogan study serve {out}")


@study.command("serve")
def study_serve(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets tablets in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    certificate: Annotated[Path | None, typer.Option(help="Certificate (PEM) for HTTPS.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    new_password: Annotated[bool, typer.Option("--new-password", help="Make a new password for /admin.")] = False,
) -> None:
    """Serve a study to browsers; the password of /admin is MAMMOGAN_STUDY_PASSWORD, or is made and printed once."""
    from mammogan.readers.app import serve

    serve(folder, host, port, certificate=certificate, key=key, new_password=new_password, echo=_say)


@study.command("export")
def study_export(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    force: Force = False,
) -> None:
    """Write the answers of a study as CSV, one row an answer; also while it is served."""
    from mammogan.readers.database import responses
    from mammogan.readers.design import Study

    if out.exists() and not force:
        raise Failure(f"{out} exists; give another name or add --force.")
    table = responses(Study.open(folder))
    table.to_csv(out, index=False)
    print(f"{len(table)} answers in {out}")


@study.command("analyse")
def study_analyse(
    responses: Annotated[Path, typer.Argument(help="CSV, an answer a row: reader, question, correct, and others.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    margin: Annotated[float, typer.Option(help="Margin of equivalence, in rate of right answers.")] = 0.05,
    simulations: Annotated[int, typer.Option(min=99, help="Data sets behind each Monte Carlo P value.")] = 2000,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Analyse the answers of a reader study: report, numbers, figures and their data."""
    from mammogan.readers.analysis import SECTIONS, analyse, read_study

    made = read_study(responses, margin=margin, simulations=simulations, seed=seed)
    _clear(out, force)
    if out.exists() and any(out.iterdir()):
        raise Failure(f"The folder {out} is not empty; give another or add --force.")
    with progress("sections", len(SECTIONS)) as shown:
        page = analyse(made, out, progress=shown)
    for what, why in made.missing.items():
        print(f"not done: {what} ({why})")
    for sentence in made.warnings:
        print(sentence)
    print(f"The report is {page}")


@app.command()
def inspect(
    synthetic: Annotated[Path, typer.Argument(help="Store of synthetic images, or a folder of DICOM or pictures.")],
    out: Annotated[Path, typer.Option(help="Folder of the inspection to write.")],
    real: Annotated[Path | None, typer.Option(help="Store or folder of real images, as controls.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Synthetic images a view, drawn at random.")] = 1000,
    controls: Annotated[int, typer.Option(min=0, help="Real images a view.")] = 200,
    seed: Seed = 0,
    observer: Annotated[str, typer.Option(help="Name that the labelling page proposes.")] = "",
    force: Force = False,
) -> None:
    """Draw images to inspect: contact sheets, a page to label artifacts in the browser, and where to look first."""
    from mammogan.artifacts.inspection import make_inspection
    from mammogan.artifacts.sources import open_images

    _clear(out, force)
    images = open_images(synthetic)
    shown: dict[str, Progress] = {}

    def report(what: str, done: int, total: int) -> None:
        shown.setdefault(what, Progress(what, total))(done)

    page = make_inspection(
        images,
        out,
        real=open_images(real, images.size) if real else None,
        count=count,
        controls=controls,
        seed=seed,
        observer=observer,
        progress=report,
    )
    for bar in shown.values():
        bar.close()
    print(f"The contact sheets are in {out / 'sheets'}; open {page} in a browser to label")
    print(f"When done: mammogan labels {out} LABELS.csv [LABELS.csv of a second observer]")


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
    from mammogan.reference import export

    if not force or not out.exists():
        export(run, real, out, origin, count=count, seed=seed)
    else:
        if (out / "labels").exists():
            raise Failure(f"{out / 'labels'} would be lost with {out}; move it away, or give another --out.")
        # What is there goes once its successor stands.
        aside = out.with_name(f".{out.name}.aside")
        _clear(aside, force)
        export(run, real, aside, origin, count=count, seed=seed)
        _clear(out, force)
        aside.rename(out)
    print(f"The reference is {out}")


@app.command()
def labels(
    inspection: Annotated[Path, typer.Argument(help="Folder that `mammogan inspect` wrote.")],
    files: Annotated[list[Path], typer.Argument(help="CSV files that the labelling page wrote, one an observer.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the tables; the inspection's own by default.")] = None,
    seed: Seed = 0,
) -> None:
    """Say what observers found: rates by view beside the paper's, agreement, and the detectors beside the labels."""
    from mammogan.artifacts.report import report

    print(report(inspection, files, out or inspection / "report", seed))


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
    channels: Annotated[int, typer.Option(min=1, help="Channels that this network expects; grey is repeated.")] = 1,
    trained_on: Annotated[
        str, typer.Option(help='Split of the real store that the generator saw, as "train"; empty for all of it.')
    ] = "",
    workers: Workers = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    force: Force = False,
) -> None:
    """Compare two sets of images: how close, with which uncertainty, and how close could they be."""
    from mammogan.align import align as compare

    stores = [out.with_name(f"{out.name}.{name}.store") for name in ("real", "synthetic")]
    for folder in (out, *stores):
        _clear(folder, force)
    if out.exists() and any(out.iterdir()):
        raise Failure(f"The folder {out} is not empty; give another or add --force.")
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
        progress=progress,
    )
    print(f"The report is {report}")


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
    took = pipeline.run(only=only, force=force, explain=explain, echo=_say)
    if explain or only:
        return
    if not took:
        _say("every notebook's results stand")
    if book:
        index = pipeline.book(echo=_say)
        _say(f"total: {time.perf_counter() - started:.1f} s")
        _say(f"The book is {index}")


@app.command()
def pdf(
    profile: Annotated[str, typer.Option(help="A profile of pipeline.yaml.")] = "smoke",
    data: Annotated[Path | None, typer.Option(help="Folder of real images, as it was given to `run`.")] = None,
) -> None:
    """Print the book of a finished run as one PDF, by Chromium."""
    from mammogan.pipeline import Pipeline

    print(f"The PDF is {Pipeline(profile, data).pdf()}")


def _say(line: str) -> None:
    print(line, flush=True)


class Failure(Exception):
    """A command cannot do what it was asked; the message says what to do."""


def _expected() -> tuple[type[Exception], ...]:
    """Errors whose message is for the user; a module that was never loaded cannot have raised its own."""
    names = {
        "mammogan.data.store": ["StoreError"],
        "mammogan.data.ingest": ["IngestError"],
        "mammogan.data.pictures": ["LabelsError"],
        "mammogan.data.sets": ["SetsError"],
        "mammogan.gan.checkpoints": ["RunError"],
        "mammogan.artifacts.sources": ["SourceError"],
        "mammogan.artifacts.inspection": ["InspectionError"],
        "mammogan.artifacts.labels": ["LabellingError"],
        "mammogan.pipeline": ["PipelineError"],
        "mammogan.readers.design": ["StudyError"],
        "mammogan.reference": ["ExportError"],
        "mammogan.readers.responses": ["ResponsesError"],
    }
    loaded = [getattr(sys.modules[m], n) for m, ns in names.items() if m in sys.modules for n in ns]
    return (Failure, ValueError, json.JSONDecodeError, OSError, *loaded)


def main(run_app: Callable[[], None] = app) -> None:
    """Entry point: expected errors become one sentence and exit code 1; wrong usage is 2."""
    try:
        run_app()
    except KeyboardInterrupt:
        print("Stopped; the same command continues.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        print(f"mammogan: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
