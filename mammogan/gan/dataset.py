"""Minibatches of real images: an endless seeded shuffle, scaled to [-1, 1], with labels and fade-in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mammogan.data.pairs import view_pairs
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan.config import CONDITIONS
from mammogan.gan.networks import RESAMPLINGS

Conditions = Mapping[str, tuple[str, ...]]  # values of each fact that the networks receive


@dataclass(frozen=True)
class Kind:
    """Number of images of one view, density and other facts; None if unknown."""

    view: str | None
    density: str | None
    count: int
    others: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any], count: int) -> Kind:
        """Return the kind of some facts."""
        others = tuple((name, value) for name, value in facts.items() if name not in CONDITIONS)
        return cls(facts.get("view"), facts.get("density"), count, others)

    @property
    def facts(self) -> dict[str, str | None]:
        """The facts by name."""
        return {"view": self.view, "density": self.density, **dict(self.others)}


class Population(TypedDict):
    """`Kind` of the real images as JSON, and their height in mm (median; None if no pixel spacing is stated)."""

    kinds: list[dict[str, Any]]
    height_mm: float | None


class RealImages:
    """Real images of one level and split, in an order that is a function of the seed: one permutation per epoch.

    Labels are one-hot facts of `conditions`, of a pair those of its CC. The split "" is the whole store; for `views`
    and errors see `rows_of`.
    """

    def __init__(
        self,
        store: Store,
        size: tuple[int, int],
        split: str,
        seed: int,
        conditions: Conditions | None = None,
        views: str = "single",
    ) -> None:
        self.array = store.images(size)
        self.rows = rows_of(store, split, views)
        self.bits = store.bits
        self.seed = seed
        self._labels = labels_of(store.manifest, conditions or {})
        # Low levels fit in memory; a large one is read image by image.
        small = len(store) * size[0] * size[1] * 2 < 2**31
        self._pixels = self.array[:] if small else None
        self._order = lru_cache(2)(self._order)  # type: ignore[method-assign]
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, int, Future[tuple[Tensor, Tensor]]] | None = None

    def _order(self, epoch: int) -> np.ndarray:
        return self.rows[np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))]

    def batch(self, images: int, count: int, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return images `images` ... `images + count` of the endless order, or those at some positions among them.

        Images are (n, 1, h, w), or (n, 2, h, w) of pairs, float32 in [-1, 1], and labels (n, k), float32.
        """
        gray, labels = self.gray_batch(images, count, positions)
        return from_gray(gray, self.bits), labels

    def gray_batch(self, images: int, count: int, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return `batch` with the gray levels of the store, uint16."""
        n = len(self.rows)
        offsets = range(count) if positions is None else positions.tolist()
        rows = np.stack([self._order((images + i) // n)[(images + i) % n] for i in offsets])
        pixels = (self.array if self._pixels is None else self._pixels)[rows]
        return torch.from_numpy(pixels), torch.from_numpy(self._labels[rows[:, 0]])

    def next_batch(self, images: int, count: int, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return `gray_batch` and start to read the following one, so that training does not wait for the disk."""
        ready, self._ahead = self._ahead, None
        is_next = ready is not None and ready[:2] == (images, count)
        batch = ready[2].result() if ready and is_next else self.gray_batch(images, count, positions)
        self._ahead = images + count, count, self._reader.submit(self.gray_batch, images + count, count, positions)
        return batch

    def draw_labels(self, count: int, random: torch.Generator) -> Tensor:
        """Draw labels of random images, with replacement: (count, k)."""
        picked = torch.randint(len(self.rows), (count,), generator=random).numpy()
        return torch.from_numpy(self._labels[self.rows[picked, 0]])


def rows_of(store: Store, split: str, views: str = "single") -> np.ndarray:
    """Return the rows of the images of a split, (n, 1), or for "pair" of the CC and MLO of each breast, (n, 2).

    Raises:
        StoreError: the split has no images.
        RunError: it has no pairs.
    """
    members = store.in_split(split)
    if views == "single":
        return np.flatnonzero(members)[:, None]
    rows = view_pairs(store)[["cc", "mlo"]].to_numpy()
    rows = rows[members[rows].all(1)]
    if not len(rows):
        of_split = f" of the split {split!r}" if split else ""
        raise RunError(
            f"No breast of {store.path}{of_split} has both a CC and an MLO; ingest both views with a table that states "
            "patient and laterality, or omit views=pair."
        )
    return rows


def labels_of(facts: pd.DataFrame, conditions: Conditions) -> np.ndarray:
    """Return one-hot facts of every row, (n, k) float32; zeros if a fact is unknown."""
    columns = [facts[name] == value for name, values in conditions.items() for value in values]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(facts), 0), np.float32)


def population(store: Store, split: str, views: str = "single", conditions: Iterable[str] = ()) -> Population:
    """Return what sampling must know of the real images of a split: how many are of each kind, and their height.

    Kinds differ in view, density and the facts named by `conditions`. Pairs count once, with the facts of the CC and
    without a view.
    """
    rows = store.manifest.iloc[rows_of(store, split, views)[:, 0]]
    if views == "pair":
        rows = rows.assign(view=None)
    counts = (
        rows.groupby(list({**CONDITIONS, **dict.fromkeys(conditions)}), dropna=False).size().reset_index(name="count")
    )
    height = rows["spacing_mm"].median() * store.sizes[-1][0]
    return {
        "kinds": counts.astype(object).where(counts.notna(), None).to_dict("records"),
        "height_mm": None if np.isnan(height) else float(height),
    }


def blend(real: Tensor, alpha: float, resampling: str = "nearest") -> Tensor:
    """Return real images as a fade shows them: mixed with their copy halved and enlarged again (train.py:67)."""
    scaling = RESAMPLINGS[resampling]
    return real if alpha >= 1 else torch.lerp(scaling.double(scaling.halve(real)), real, alpha)


def dequantize(images: Tensor, bits: int, seeds: Tensor) -> Tensor:
    """Add uniform noise of one gray level to images in [-1, 1], a function of the seed (n,) of each, and clip."""
    shape, randoms = images.shape[1:], (torch.Generator().manual_seed(seed) for seed in seeds.tolist())
    noise = torch.stack([torch.rand(shape, generator=random) for random in randoms]).to(images)
    return (images + (noise - 0.5) * (2 / (2**bits - 1))).clamp(-1, 1)


def from_gray(gray: Tensor, bits: int) -> Tensor:
    """Convert gray levels 0 ... 2^bits - 1, uint16, to float32 from -1 to 1, where the images are."""
    return gray.float().mul_(2 / (2**bits - 1)).sub_(1)


def to_gray(images: np.ndarray, bits: int) -> np.ndarray:
    """Convert G's output to gray levels: -1 ... 1 -> 0 ... 2^bits - 1, rounded and clipped; uint16."""
    top = 2**bits - 1
    return np.clip(np.rint((images.astype(np.float64) + 1) * (top / 2)), 0, top).astype(np.uint16)
