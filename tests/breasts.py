"""Drawn breasts for tests that need many images: phantoms would take longer to draw than everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from mammogan.data.images import Images
from mammogan.data.store import Store, StoreWriter, quantize

SIZE = (80, 64)


def breast(rng: np.random.Generator, view: str) -> np.ndarray:
    """Draw a half ellipse with a soft edge and cloudy tissue, and a bright triangle in an MLO: (80, 64) in [0, 1]."""
    rows, columns = np.indices(SIZE)
    y, height, depth = 40 + rng.normal(0, 2), rng.uniform(28, 36), rng.uniform(32, 48)
    edge = 1 / (1 + np.exp(4 * (np.hypot((rows - y) / height, columns / depth) - 1) * depth / 4))
    clouds = sum(s * ndimage.gaussian_filter(rng.standard_normal(SIZE), s) for s in (1, 2, 4, 8))
    gray = edge * np.clip(0.35 + 0.06 * clouds, 0.1, 0.9)
    if view == "MLO":
        muscle = 1 / (1 + np.exp(columns + 0.4 * rows - rng.uniform(14, 20)))
        gray = np.maximum(gray, rng.uniform(0.5, 0.6) * muscle)
    return np.clip(gray, 0, 1) * (edge > 0.02)


def breasts() -> Images:
    """Draw 80 breasts of 20 patients, 80 x 64."""
    rng = np.random.default_rng(5)
    views = np.array(["CC", "MLO"] * 40)
    pixels = np.stack([quantize(breast(rng, view), 12) for view in views])
    names = np.arange(80).astype(str)
    return Images(pixels, 12, names, views, np.repeat(np.arange(20), 4), np.full(80, 2.75))


def pairs_store(path: Path, count: int, *, agree: bool = True, seed: int = 0) -> Store:
    """Write a store of both views of `count` breasts, one per patient, of one anatomy or of two."""
    with StoreWriter(path, *SIZE, 12, {"by": "test"}) as writer:
        for number in range(count):
            for view in ("CC", "MLO"):
                rng = np.random.default_rng([seed, number, 0 if agree else len(view)])
                facts = {"id": f"{number}-{view}", "patient": f"patient {number}", "laterality": "L", "view": view}
                writer.accept(breast(rng, view), **facts)
    return Store.open(path)
