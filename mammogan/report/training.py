"""How a run grew: its log by phase, the same latent vectors on its way, and its distance from the real images."""

from __future__ import annotations

import json
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


def read_log(run: Path) -> pd.DataFrame:
    """The log of a run, a row a line: images, level, size, alpha, losses, scores; the speed where it was kept."""

    def lines(name: str) -> pd.DataFrame:
        return pd.DataFrame([json.loads(line) for line in (run / name).read_text().splitlines()])

    stats = lines("stats.jsonl")
    if not (run / "timing.jsonl").is_file():
        return stats
    return stats.merge(lines("timing.jsonl")[["images", "images_per_second"]], on="images", how="left")


def minutes(log: pd.DataFrame) -> float:
    """What the training of a log took, all pieces of a run that was resumed together; not a number where the speed of a
    line was not kept."""
    images = log["images"].diff().fillna(log["images"])
    return float((images / log["images_per_second"]).sum(skipna=False) / 60) if "images_per_second" in log else np.nan


@dataclass(frozen=True, eq=False)
class Sheet:
    """What the averaged generator drew from fixed latent vectors on its way.

    Attributes:
        images: seen so far.
        level, alpha: what was drawn; at the end of a phase, the level as it was left.
        pixels: (n, h, w), uint16.
    """

    images: int
    level: int
    alpha: float
    pixels: np.ndarray

    @property
    def label(self) -> str:
        """Images seen, size, and the share of a level that fades in."""
        fading = f", {self.alpha:.0%} faded in" if self.alpha < 1 else ""
        return "{:,} images, {} x {}".format(self.images, *self.pixels.shape[1:]) + fading


def sheets(run: Path, schedule: Schedule) -> list[Sheet]:
    """The sheets of samples that a run kept, in their order; the first is of the base."""
    found: list[Sheet] = []
    for path in sorted((run / "samples").glob("*.npy")):
        images, pixels = int(path.stem), np.load(path)
        base = found[0].pixels.shape[1] if found else pixels.shape[1]
        level, phase = (pixels.shape[1] // base).bit_length() - 1, schedule.at(images)
        found.append(Sheet(images, level, phase.alpha if level == phase.level else 1.0, pixels))
    return found


def stages(kept: list[Sheet]) -> list[Sheet]:
    """The first and the last sheet of each level once it is faded in."""
    whole = [sheet for sheet in kept if sheet.alpha == 1]
    last = {sheet.level: sheet for sheet in whole}
    first = {sheet.level: sheet for sheet in reversed(whole)}
    return [sheet for sheet in whole if sheet in (first[sheet.level], last[sheet.level])]


def enlarge(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images (n, h, w) to a size that is a whole number of times theirs, pixel by pixel."""
    return images.repeat(size[0] // images.shape[1], 1).repeat(size[1] // images.shape[2], 2)


def distances(
    run: Path, store: Store, *, count: int = 256, projections: int = 128, seed: int = 0, device: str = "cpu"
) -> pd.DataFrame:
    """Sliced Wasserstein distance (x 1000) of each kept generator from the real images, by band of the pyramid.

    All are compared at the size that the run reached; smaller images are enlarged pixel by pixel, so that a band falls
    when the level that draws it is trained. The real images beside are other ones, as far as there are enough.

    Args:
        run: folder of the run.
        store: its real images.
        count: images a set, at most.
        projections, seed: see `sliced_wasserstein`; the seed also chooses the images.
        device: where to draw.

    Returns:
        images, trained ("10 x 8"), band ("40 x 32"), distance, and real: the distance of real images from other ones.

    Raises:
        RunError: the run kept no generator.
    """
    kept = checkpoints.generators(run)
    if not kept:
        raise RunError(f"{run} kept no generator on its way; distances need those that `mammogan train` keeps.")
    size = Sampler.open(run, at=max(kept)).size
    chosen = np.random.default_rng(seed).permutation(len(store))
    half = min(count, len(store) // 2)
    array = store.images(size)
    real, other = (np.stack([array[int(i)] for i in part]) for part in (chosen[:half], chosen[half : 2 * half]))
    first = patches(real, store.bits, seed=seed)

    def bands(images: np.ndarray) -> list[float]:
        second = patches(images, store.bits, seed=seed)
        return [
            sliced_wasserstein(a, b, projections=projections, seed=seed)["real"]
            for a, b in zip(first.levels, second.levels, strict=True)
        ]

    names = [f"{h} x {w}" for h, w in laplacian_sizes(*size)]
    floor = bands(other)
    rows = []
    for images in kept:
        sampler = Sampler.open(run, device, at=images)
        drawn = enlarge(np.stack(list(sampler.draw(half, seed + 1))), size)
        trained = "{} x {}".format(*sampler.size)
        rows += [
            {"images": images, "trained": trained, "band": band, "distance": value, "real": least}
            for band, value, least in zip(names, bands(drawn), floor, strict=True)
        ]
    return pd.DataFrame(rows)


def level_by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Of `distances`: the mean over the bands at the end of each level; index trained, columns distance and real."""
    ends = table.groupby("trained", sort=False)["images"].transform("max")
    return table[table["images"] == ends].groupby("trained", sort=False)[["distance", "real"]].mean()


def write_film(frames: list[tuple[str, np.ndarray]], path: Path, bits: int, height: int = 160) -> Path:
    """Write strips (h, w) of gray levels as one animated GIF of 256 grays, `height` pixels high or nearly so."""
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
