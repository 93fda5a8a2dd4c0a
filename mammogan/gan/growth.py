"""How a run grew: its log by phase, the same latent vectors on its way, and its distance from the real images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mammogan.data.store import Store, quantize
from mammogan.gan import checkpoints
from mammogan.gan.sampling import Sampler
from mammogan.gan.schedule import Schedule
from mammogan.metrics.distances import laplacian_sizes, patches, sliced_wasserstein


def read_log(run: Path, name: str = "stats.jsonl") -> pd.DataFrame:
    """A log of a run, one row a line; stats.jsonl has images, level, size, alpha, losses and scores."""
    return pd.DataFrame([json.loads(line) for line in (run / name).read_text().splitlines()])


def speeds(run: Path) -> pd.DataFrame:
    """Images a second between two lines of the log, with the level: columns images, level, size, alpha, speed.

    A piece of a run that was continued counts its seconds from its own start; its first line has no speed.
    """
    timing = read_log(run, "timing.jsonl")
    seconds, images = timing["seconds"].diff(), timing["images"].diff()
    timing["speed"] = (images / seconds).where(seconds > 0)
    stats = read_log(run)[["images", "level", "size", "alpha"]]
    return stats.merge(timing[["images", "speed"]], on="images")


def same_vectors(run: Path, count: int, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """Images of the same latent vectors from each generator that a run kept: (images seen and size, (count, h, w))."""
    stages = []
    for images in checkpoints.generators(run):
        sampler = Sampler.open(run, at=images)
        h, w = sampler.size
        stages.append((f"{images:,} images\n{h} x {w}", np.stack(list(sampler.draw(count, seed)))))
    return stages


def film(run: Path, schedule: Schedule, columns: int = 8) -> list[tuple[str, np.ndarray]]:
    """The sheets of samples that a run drew from fixed latent vectors, a strip each: (what it is, (h, columns x w))."""
    frames = []
    for path in sorted((run / "samples").glob("*.npy")):
        images = np.load(path)[:columns]
        phase = schedule.at(int(path.stem))
        fading = f", {phase.alpha:.0%} faded in" if phase.alpha < 1 else ""
        frames.append((f"{int(path.stem):,} images, {images.shape[1]} x {images.shape[2]}{fading}", np.hstack(images)))
    return frames


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
    """
    kept = checkpoints.generators(run)
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


def write_film(frames: list[tuple[str, np.ndarray]], path: Path, bits: int, height: int = 160) -> Path:
    """Write strips (h, w) of grey levels as one animated GIF of 256 greys, `height` pixels high or nearly so."""
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
