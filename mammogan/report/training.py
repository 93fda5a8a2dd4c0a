"""Training chapter: the log of a run, the images of fixed latent vectors during it, and distances from real images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mammogan.data.store import Store, quantize
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.sampling import Sampler
from mammogan.gan.schedule import Schedule
from mammogan.metrics.distances import laplacian_sizes, patches, sliced_wasserstein
from mammogan.types import Size


def read_log(run: Path) -> pd.DataFrame:
    """Read the log of a run, one row per line: images, level, size, alpha, losses, scores, and speed where kept."""
    log = pd.read_json(run / "stats.jsonl", lines=True, precise_float=True)
    if not (run / "timing.jsonl").is_file():
        return log
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
        return f"{self.images:,} images, {Size(*self.pixels.shape[1:])}{fading}"


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
    the level that draws it is trained. The distance between real images is that between two halves of them.

    Args:
        run: folder of the run.
        store: its real images.
        count: largest number of images per set.
        projections: random projections, see `sliced_wasserstein`.
        seed: random seed of projections, patches and choice of images.
        device: device to draw on.

    Returns:
        images, trained ("10 x 8"), band ("40 x 32"), distance, real (distance between real images).

    Raises:
        RunError: the run kept no generator.
    """
    kept = checkpoints.generators(run)
    if not kept:
        raise RunError(f"{run} kept no generators during training; distances need those that `mammogan train` keeps.")
    size = Sampler.open(run, at=max(kept)).size
    chosen = np.random.default_rng(seed).permutation(len(store))
    half = min(count, len(store) // 2)
    array = store.images(size)
    real, other = (np.stack([array[int(i)] for i in part]) for part in (chosen[:half], chosen[half : 2 * half]))
    first = patches(real, store.bits, seed=seed)

    def bands(images: np.ndarray) -> list[float]:
        pairs = zip(first, patches(images, store.bits, seed=seed), strict=True)
        return [sliced_wasserstein(a, b, projections=projections, seed=seed)["real"] for a, b in pairs]

    names, floor, rows = [str(level) for level in laplacian_sizes(*size)], bands(other), []
    for images in kept:
        sampler = Sampler.open(run, device, at=images)
        drawn = enlarge(np.stack(list(sampler.draw(half, seed + 1))), size)
        rows += [(images, str(sampler.size), *row) for row in zip(names, bands(drawn), floor, strict=True)]
    return pd.DataFrame(rows, columns=["images", "trained", "band", "distance", "real"])


def level_by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Average `distances` over the bands at the end of each level; index trained, columns distance and real."""
    ends = table.groupby("trained", sort=False)["images"].transform("max")
    return table[table["images"] == ends].groupby("trained", sort=False)[["distance", "real"]].mean()


def write_film(frames: list[tuple[str, np.ndarray]], path: Path, bits: int, height: int = 160) -> Path:
    """Write strips (h, w) of gray levels as an animated GIF of 256 grays, about `height` pixels high."""
    shape = frames[-1][1].shape
    size = (height * shape[1] // shape[0], height)
    # Small pixels are drawn as squares; where the image must shrink, its areas are averaged.
    pictures = [
        Image.fromarray(quantize(strip / (2**bits - 1), 8).astype(np.uint8)).resize(
            size, Image.Resampling.NEAREST if strip.shape[0] < height else Image.Resampling.BOX
        )
        for _, strip in frames
    ]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[250] * len(pictures), loop=0)
    return path
