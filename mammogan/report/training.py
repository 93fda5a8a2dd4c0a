"""Training chapter: settings and log of a run, images of fixed latent vectors, distances from real images; figures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mammogan.data.images import Subset
from mammogan.data.pairs import patients
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.sampling import Sampler
from mammogan.gan.schedule import Schedule
from mammogan.metrics.distances import laplacian_sizes, patches, sliced_wasserstein
from mammogan.metrics.resampling import ResamplingDesign, shuffled
from mammogan.parallel import in_threads
from mammogan.report import kept
from mammogan.report.fidelity import DRAWS
from mammogan.report.numbers import filled, grouped, words
from mammogan.report.style import REAL, SYNTHETIC, WIDE, WIDTH, light_box
from mammogan.types import Size


def meanings(kind: type = Config) -> dict[str, str]:
    """Read {attribute: meaning} from the section "Attributes" of a class's docstring; a line may name several."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    meaning: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section, re.M):
        meaning |= {name.strip(): " ".join(text.split()).replace("`", "").rstrip(".") for name in names.split(",")}
    return meaning


def hyperparameters(config: Config) -> pd.DataFrame:
    """Return one row per setting: its value in the original (the defaults of `Config`) and here, and its meaning."""
    original, here, meaning = asdict(Config()), asdict(config), meanings()
    rows = [
        (name, _text(value), _text(here[name]), "yes" if value != here[name] else "", meaning.get(name, ""))
        for name, value in original.items()
    ]
    return pd.DataFrame(rows, columns=["setting", "original GAN", "here", "changed", "meaning"])


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        runs = [(item, len(list(same))) for item, same in groupby(value)]
        return ", ".join(f"{count} x {item}" if count > 1 else str(item) for item, count in runs)
    return grouped(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def images_trained_on(store: Store | None, config: Config, published: str) -> int:
    """Return the number of real images that D sees: of the store, or of the folder of a published run."""
    if store is None:
        path = Path(published).parent / "provenance.json"
        with kept.reading(path):
            return int(kept.facts(path, "training_images")["training_images"])
    return int((store.manifest["split"] == config.split).sum()) if config.split else len(store)


def read_log(run: Path) -> pd.DataFrame:
    """Read the log of a run, one row per line: images, level, size, alpha, losses, scores, and speed where kept."""
    with kept.reading(run / "stats.jsonl"):
        log: pd.DataFrame = pd.read_json(run / "stats.jsonl", lines=True, precise_float=True)
        log["images"] = pd.to_numeric(log["images"])
    if not (run / "timing.jsonl").is_file():
        return log
    with kept.reading(run / "timing.jsonl"):
        timing = pd.read_json(run / "timing.jsonl", lines=True, precise_float=True)
        return log.merge(timing[["images", "images_per_second"]], on="images", how="left")


def minutes(log: pd.DataFrame) -> float:
    """Return the time of the training, minutes, over all pieces of a resumed run; NaN where a line has no speed."""
    images = log["images"].diff().fillna(log["images"])
    return float((images / log["images_per_second"]).sum(skipna=False) / 60) if "images_per_second" in log else np.nan


@dataclass(frozen=True, eq=False)
class Sheet:
    """Images of the averaged generator from fixed latent vectors at one moment of the training.

    Attributes:
        images: images seen so far.
        level, alpha: level of the generator and its fade-in; at the end of a phase, those at which it ended.
        pixels: (n, h, w), uint16.
    """

    images: int
    level: int
    alpha: float
    pixels: np.ndarray

    @property
    def label(self) -> str:
        """Images seen, size, and fade-in of the level."""
        fading = f", {self.alpha:.0%} faded in" if self.alpha < 1 else ""
        return f"{grouped(self.images)} images, {Size(*self.pixels.shape[1:])}{fading}"


def sheets(run: Path, schedule: Schedule) -> list[Sheet]:
    """Read the sheets of samples that a run kept, in their order; the first is of the base."""
    kept: list[Sheet] = []
    for path in sorted((run / "samples").glob("*.npy")):
        images, pixels = int(path.stem), np.load(path)
        base = kept[0].pixels.shape[1] if kept else pixels.shape[1]
        level, phase = (pixels.shape[1] // base).bit_length() - 1, schedule.at(images)
        kept.append(Sheet(images, level, phase.alpha if level == phase.level else 1.0, pixels))
    return kept


def stages(kept: list[Sheet]) -> list[Sheet]:
    """Return the first and the last sheet of each level once it is faded in."""
    whole = [sheet for sheet in kept if sheet.alpha == 1]
    last = {sheet.level: sheet for sheet in whole}
    first = {sheet.level: sheet for sheet in reversed(whole)}
    return [sheet for sheet in whole if sheet in (first[sheet.level], last[sheet.level])]


def enlarge(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge images (n, h, w) pixel by pixel to a multiple of their size."""
    return images.repeat(size[0] // images.shape[1], 1).repeat(size[1] // images.shape[2], 2)


def distances(
    run: Path, store: Store, *, count: int = 256, projections: int = 128, seed: int = 0, device: str = "cpu"
) -> pd.DataFrame:
    """Compute the sliced Wasserstein distance (x 1000) of each kept generator from the real images, by pyramid band.

    All are compared at the final size of the run; smaller images are enlarged pixel by pixel, so that a band falls when
    the level that draws it is trained. The protocol is that of `distances.sliced_wasserstein_table` at the number of
    images of its ceiling: medians over splits of the real images by patient, normalized by the real set.

    Args:
        run: folder of the run.
        store: its real images.
        count: largest number of images per side.
        projections: random projections, see `sliced_wasserstein`.
        seed: random seed of projections, patches, splits and choice of images.
        device: device to draw on.

    Returns:
        images, trained ("10 x 8"), band ("40 x 32"), distance, real (between real images of different patients),
        real_low and real_high (its central 95 % over splits), n (images per side).

    Raises:
        RunError: the run kept no generator.
    """
    kept = checkpoints.generators(run)
    if not kept:
        raise RunError(f"{run} kept no generators during training; distances need those that `mammogan train` keeps.")
    size = Sampler.open(run, at=max(kept)).size
    patient = patients(store)
    chosen = np.sort(shuffled(patient, np.random.default_rng([seed, 9]))[: 2 * count])
    design = ResamplingDesign(patient[chosen], count, seed=seed, splits=DRAWS)
    splits = design.ceilings()
    first = patches(Subset(store.images(size), chosen), store.bits, seed=seed)

    def distance(pair: tuple[np.ndarray, np.ndarray]) -> float:
        return sliced_wasserstein(*pair, projections=projections, seed=seed)["real"]

    def over_splits(level: int, others: np.ndarray, side: int) -> np.ndarray:
        return np.array(in_threads(distance, [(first[level][split[0]], others[split[side]]) for split in splits]))

    floors = [over_splits(level, first[level], 1) for level in range(len(first))]
    real = [(np.median(floor), *np.quantile(floor, [0.025, 0.975])) for floor in floors]
    rows = []
    for images in kept:
        sampler = Sampler.open(run, device, at=images)
        drawn = patches(enlarge(np.stack(list(sampler.draw(count, seed + 1))), size), store.bits, seed=seed)
        for level, band in enumerate(laplacian_sizes(*size)):
            score = float(np.median(over_splits(level, drawn[level], 2)))
            rows.append((images, str(sampler.size), str(band), score, *real[level], design.half))
    return pd.DataFrame(rows, columns=["images", "trained", "band", "distance", "real", "real_low", "real_high", "n"])


def protocol(table: pd.DataFrame | None) -> str:
    """Return in words what `distances` compared, and how near its last generator is; "" where nothing was measured."""
    if table is None:
        return ""
    texts = words("distances")
    if "real_low" not in table:
        return filled(texts["older"])
    last = table[table["images"] == table["images"].max()]
    near = int((last["distance"] <= last["real_high"]).sum())
    return filled(texts["protocol"], n=last["n"].iloc[0], near=near, bands=len(last))


def level_by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Average `distances` over the bands at the end of each level; index trained, columns distance and real."""
    ends = table.groupby("trained", sort=False)["images"].transform("max")
    return table[table["images"] == ends].groupby("trained", sort=False)[["distance", "real"]].mean()


@light_box()
def adversaries(real: np.ndarray | None, synthetic: np.ndarray, bits: int) -> Figure:
    """Draw Figure 1: a scheme of the two networks, with one real and one synthetic image (h, w); None hides it."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.9))
    figure.subplots_adjust(0, 0, 1, 1)
    axis.axis("off")
    scheme, write = words("adversaries"), partial(axis.text, ha="center", va="center")
    for x, y, text in scheme["texts"]:
        write(x, y, text)
    for (x, y, text), color in zip(scheme["boxes"], (SYNTHETIC, REAL), strict=True):
        axis.add_patch(Rectangle((x - 0.75, y - 0.4), 1.5, 0.8, facecolor=color, alpha=0.6))
        write(x, y, text)
    for start, stop in scheme["arrows"]:
        axis.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "color": "0.75", "lw": 1.2})
    look = {"arrowstyle": "-|>", "color": SYNTHETIC, "ls": "--", "connectionstyle": "arc3,rad=-0.42"}
    axis.annotate("", (2.6, 0.44), (6.85, 1.3), arrowprops=look)
    axis.text(6.6, 0.1, scheme["loop"], va="center")
    half = 0.625 * synthetic.shape[1] / synthetic.shape[0]
    for image, bottom in ((synthetic, 0.2), (real, 2.0)):
        if image is None:
            axis.add_patch(Rectangle((4.55 - half, bottom), 2 * half, 1.25, facecolor="0.15", edgecolor="0.5"))
            write(4.55, bottom + 0.625, "not shown\nhere")
        else:
            extent = (4.55 - half, 4.55 + half, bottom, bottom + 1.25)
            axis.imshow(image, extent=extent, vmin=0, vmax=2**bits - 1, zorder=2)
    axis.set(xlim=(0, 9), ylim=(-0.6, 3.6), aspect="auto")
    return figure


@light_box()
def progression(images: Sequence[np.ndarray], bits: int) -> Figure:
    """Draw Figure 2: one column per level, its networks above and below the image (h, w) of one latent vector."""
    n = len(images)
    figure, axes = plt.subplots(3, n, figsize=(WIDTH, 5), height_ratios=(n, 4, n), squeeze=False)
    for column, (top, middle, bottom) in enumerate(axes.T):
        for axis, color in ((top, SYNTHETIC), (bottom, REAL)):
            for stage in range(column + 1):
                # From top to bottom: the generator ends with its newest layers, the discriminator begins with them.
                y, width = -stage if axis is top else stage - column, 0.45 + 0.5 * (stage + 1) / n
                alpha = 0.9 if stage == column > 0 else 0.45
                axis.add_patch(Rectangle((0.5 - width / 2, y - 0.4), width, 0.8, facecolor=color, alpha=alpha))
                axis.text(0.5, y, str(Size(*images[stage].shape)), ha="center", va="center")
            axis.set(xlim=(0, 1), ylim=(-n + 0.4, 0.6))
        middle.imshow(images[column], vmin=0, vmax=2**bits - 1)
    for axis, name in zip(axes[:, 0], ("generator", "its image", "discriminator"), strict=True):
        axis.text(-0.1, 0.5, name, rotation=90, ha="right", va="center", transform=axis.transAxes)
    for axis in axes.flat:
        axis.axis("off")
    figure.text(0.55, 0.01, "training: one level per column, the newest layers in strong color", ha="center")
    figure.subplots_adjust(0.06, 0.05, 1, 1, wspace=0.05, hspace=0.04)
    return figure


def resolutions(published: Sequence[tuple[str, tuple[int, int]]], here: tuple[int, int]) -> Figure:
    """Draw Figure 5: the image sizes of published architectures, to scale, and that of this run."""
    figure, axis = plt.subplots(figsize=(WIDE, 3.9))
    left = 0.0
    for name, (h, w) in (*published, ("this run", here)):
        color, alpha = (REAL, 0.75) if name == "this run" else (SYNTHETIC, 0.3)
        axis.add_patch(Rectangle((left + max(300 - w, 0) / 2, 0), w, h, facecolor=color, alpha=alpha, lw=0))
        axis.text(left + max(w, 300) / 2, -60, f"{name}\n{h} x {w}", ha="center", va="top")
        left += max(w, 300) + 130
    axis.set(xlim=(-110, left), ylim=(-240, 1300), aspect="equal")
    axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


def shade(axis: Axes, log: pd.DataFrame, sizes: bool = True) -> None:
    """Draw gray bands where a level fades in, from the last row before it, and above each level its size if it fits."""
    images, fading, above = log["images"], log["alpha"] < 1, axis.get_xaxis_transform()
    band = fading | fading.shift(-1, fill_value=False)
    axis.fill_between(images, 0, 1, where=band, transform=above, color="0.5", alpha=0.15, lw=0)
    ends = log.groupby("size", sort=False)["images"].max()
    middles, free = (ends + ends.shift(fill_value=0)) / 2, -np.inf  # no label reaches into the one before it
    for size, middle in middles.items() if sizes else ():
        half = images.iloc[-1] * 0.0055 * len(size) + 1
        if middle - half > free:
            axis.text(middle, 1.01, size.replace("x", " x "), transform=above, ha="center")
            free = middle + half
    axis.set(xlim=(0, images.iloc[-1]), xlabel="images seen")
    axis.xaxis.set(major_locator=MaxNLocator(4), major_formatter=lambda x, _: grouped(round(x)))


def training_curves(log: pd.DataFrame) -> Figure:
    """Draw losses, scores and, where they were kept, images per second by images seen; fades shaded."""
    names = {"loss_d": "discriminator", "loss_g": "generator", "real_score": "real", "fake_score": "synthetic"}
    panels = [("loss", ["discriminator", "generator"], [REAL, SYNTHETIC])]
    panels += [("mean score", ["real", "synthetic"], [REAL, SYNTHETIC])]
    panels += [("images per second", ["images_per_second"], ["0.25"])] if "images_per_second" in log else []
    figure, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, 1.9 * len(panels)), layout="constrained", sharex=True)
    rows = log.rename(columns=names).set_index("images").rolling(max(len(log) // 60, 1), min_periods=1)
    for axis, (label, columns, colors) in zip(axes, panels, strict=True):
        smooth = rows[columns].median() if len(columns) == 1 else rows[columns].mean()
        smooth.plot(ax=axis, color=colors, lw=1.2, ylabel=label, legend=len(columns) > 1, logy=len(columns) == 1)
        shade(axis, log, sizes=axis is axes[0])
    figure.align_ylabels()
    return figure


def distance_curves(table: pd.DataFrame, log: pd.DataFrame) -> Figure:
    """Draw the sliced Wasserstein distance of each band by images seen; dashed, that between real images and its range.

    Runs that were published before the range was kept have no columns real_low and real_high.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8), layout="constrained")
    bands = dict(iter(table.groupby("band", sort=False)))
    for band, color in zip(bands.values(), sns.color_palette("viridis_r", len(bands) + 1)[1:], strict=True):
        axis.plot(band["images"], band["distance"], "o-", color=color, ms=4)
        axis.plot(band["images"], band["real"], "--", color=color, lw=0.9)
        if "real_low" in band:
            axis.fill_between(band["images"], band["real_low"], band["real_high"], color=color, alpha=0.12, lw=0)
    axis.set(yscale="log", ylabel="sliced Wasserstein distance x 1000")
    axis.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter())
    shade(axis, log)
    ends = {name: float(band["distance"].iloc[-1]) for name, band in bands.items()}
    for (name, _), place in zip(
        sorted(ends.items(), key=lambda end: end[1]), spread_apart(sorted(ends.values())), strict=True
    ):
        axis.annotate(name, (1.01, place), xycoords=axis.get_yaxis_transform(), va="center", annotation_clip=False)
    return figure


def spread_apart(places: Sequence[float], least: float = 1.3) -> list[float]:
    """Return ascending places on a logarithmic axis, each at least `least` times the one before it."""
    apart: list[float] = []
    for place in places:
        apart.append(max(place, apart[-1] * least) if apart else place)
    return apart
