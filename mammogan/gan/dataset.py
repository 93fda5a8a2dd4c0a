"""Real images as training sees them: in endless order, gray levels in [-1, 1], labels, fades; and the way back."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan.config import CONDITIONS
from mammogan.gan.networks import downscale, upscale


class RealImages:
    """Real images of one level, in an order that is a function of the seed: every epoch is a new permutation.

    Args:
        store: where they are.
        size: (height, width) of the level.
        split: take only images of this split; "" for all.
        seed: of the order.
        conditions: facts of which `labels` are made.
    """

    def __init__(
        self, store: Store, size: tuple[int, int], split: str, seed: int, conditions: tuple[str, ...] = ()
    ) -> None:
        chosen = np.flatnonzero(store.manifest["split"] == split) if split else np.arange(len(store))
        if not chosen.size:
            raise RunError(f"The store {store.path} has no images in the split {split!r}; choose another or none.")
        self.array = store.images(size)
        self.chosen = chosen
        self.top = 2**store.bits - 1
        self.seed = seed
        self._labels = labels_of(store.manifest, conditions)
        # Low levels fit in memory; a large one is read image by image.
        small = len(store) * size[0] * size[1] * 2 < 2**31
        self.memory = self.array[:] if small else None
        self._order = lru_cache(2)(self._order)  # type: ignore[method-assign]
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, int, Future[tuple[Tensor, Tensor]]] | None = None

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.chosen)

    def batch(self, images: int, count: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images `images` ... `images + count` of the endless order, or those at the positions `own` among them.

        Returns:
            (n, 1, h, w), float32 in [-1, 1]; labels (n, k), float32.
        """
        n = len(self.chosen)
        positions = range(count) if own is None else own.tolist()
        indices = [self._order((images + i) // n)[(images + i) % n] for i in positions]
        pixels = self.memory[indices] if self.memory is not None else np.stack([self.array[i] for i in indices])
        scaled = pixels[:, None].astype(np.float32)
        scaled *= 2 / self.top
        scaled -= 1
        return torch.from_numpy(scaled), torch.from_numpy(self._labels[indices])

    def next_batch(self, images: int, count: int, own: Tensor) -> tuple[Tensor, Tensor]:
        """`batch`, and start to read the one behind it, so that training does not wait for the disk."""
        ready, self._ahead = self._ahead, None
        same = ready is not None and ready[:2] == (images, count)
        found = ready[2].result() if ready and same else self.batch(images, count, own)
        self._ahead = images + count, count, self._reader.submit(self.batch, images + count, count, own)
        return found

    def draw_labels(self, count: int, random: torch.Generator) -> Tensor:
        """Labels of images drawn at random, with replacement: (count, k)."""
        picked = torch.randint(len(self.chosen), (count,), generator=random).numpy()
        return torch.from_numpy(self._labels[self.chosen[picked]])


def labels_of(manifest: pd.DataFrame, conditions: tuple[str, ...]) -> np.ndarray:
    """One-hot facts of every row, (n, k) float32; zeros where a fact is not known."""
    columns = [manifest[name] == value for name in conditions for value in CONDITIONS[name]]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(manifest), 0), np.float32)


def population(store: Store, split: str) -> dict[str, Any]:
    """What sampling must know of the real images: how many are of each kind, and their height in mm (median)."""
    rows = store.manifest[store.manifest["split"] == split] if split else store.manifest
    counts = rows.groupby(list(CONDITIONS), dropna=False).size().reset_index(name="count")
    height = rows["spacing_mm"].median() * store.sizes[-1][0]
    return {
        "kinds": counts.astype(object).where(counts.notna(), None).to_dict("records"),
        "height_mm": None if np.isnan(height) else float(height),
    }


def blend(real: Tensor, alpha: float) -> Tensor:
    """RealImages as a fade shows them: mixed with their own copy halved and enlarged again (train.py:67)."""
    return real if alpha >= 1 else torch.lerp(upscale(downscale(real)), real, alpha)


def to_gray(images: np.ndarray, bits: int) -> np.ndarray:
    """G's output onto the gray grid of the real images: -1 ... 1 -> 0 ... 2^bits - 1, rounded and clipped; uint16."""
    top = 2**bits - 1
    return np.clip(np.rint((images.astype(np.float64) + 1) * (top / 2)), 0, top).astype(np.uint16)
