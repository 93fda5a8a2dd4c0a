"""Small stores of random images, and the same images as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mammogan.data.store import Store, StoreWriter


def make_store(
    path: Path, count: int, seed: int, bits: int = 12, size: tuple[int, int] = (40, 32), **made_by: str
) -> Store:
    """Write a store of random images, two per patient, four fifths of them in the split "train"."""
    rng = np.random.default_rng(seed)
    with StoreWriter(path, *size, bits, {"by": "test", **made_by}) as writer:
        for number in range(count):
            image = rng.beta(1 + rng.random(), 3, size)
            image[:, : rng.integers(4, size[1] // 2)] = 0
            split = "train" if number < 0.8 * count else "test"
            writer.accept(image, id=f"{seed}-{number}", patient=f"patient {number // 2}", split=split)
    return Store.open(path)


def write_pngs(store: Store, folder: Path, bits: int = 16) -> None:
    """Write the images of a store as PNG."""
    folder.mkdir()
    for number, image in enumerate(store.images()):
        gray = image.astype(np.uint32) * (2**bits - 1) // (2**store.bits - 1)
        Image.fromarray(gray.astype(np.uint16 if bits == 16 else np.uint8)).save(folder / f"{number:04d}.png")
