"""Images from a trained generator: any number, each a function of (seed, index), as PNG, store, DICOM or film.

Nothing depends on how many images are drawn or on where a command was cut off: minibatches lie on a fixed grid of
indices, and only one of them is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mammogan.data.geometry import overview
from mammogan.data.segmentation import chest_side
from mammogan.data.store import StoreWriter
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import CONDITIONS
from mammogan.gan.dataset import labels_of, to_gray
from mammogan.gan.networks import Architecture, Generator
from mammogan.gan.schedule import Schedule
from mammogan.gan.writers import Drawn, Files
from mammogan.types import Progress, no_progress

FORMATS = ("png", "zarr", "dicom", "film")
FILM_STEPS = 15  # pictures from one latent vector to the next, where none are asked for
# A detector is some 240 mm high; serves for DICOM where the real images state no spacing.
DETECTOR_MM = 240


@dataclass(frozen=True)
class Sampler:
    """A trained generator, ready to draw.

    Attributes:
        generator: the running average of the weights.
        level, alpha: where the run stood.
        bits: of the gray grid of the real images.
        images: images that D had seen.
        conditions: facts that the generator is told.
        kinds: columns of `CONDITIONS` and "share": what the real images are, as far as it is known of a drawn one.
        height_mm: of an image; None where the real images state no pixel spacing.
        steps: interpolation: images from one latent vector to the next; 0 draws each from its own vector.
    """

    generator: Generator
    level: int
    alpha: float
    bits: int
    images: int
    conditions: tuple[str, ...]
    kinds: pd.DataFrame
    height_mm: float | None
    steps: int = 0

    @classmethod
    def open(cls, run: str | Path, device: str = "cpu", at: int | None = None) -> Sampler:
        """Load the newest checkpoint of a run, or a generator that it kept on the way.

        Args:
            run: folder of the run.
            device: where to draw.
            at: images seen, one of `checkpoints.generators`; None takes the newest checkpoint.

        Raises:
            RunError: there is none.
        """
        run = Path(run)
        if at is None:
            found = checkpoints.latest(run, device)
            if not found:
                raise RunError(f"There is no trained generator in {run}; train one with `mammogan train --run {run}`.")
            tensors, state = found
        else:
            kept = checkpoints.generators(run)
            if at not in kept:
                raise RunError(
                    f"{run} kept no generator at {at} images; it kept {', '.join(map(str, kept)) or 'none'}."
                )
            tensors, state = checkpoints.load(kept[at], device)
        generator = Generator(Architecture.from_dict(state["architecture"])).to(device).requires_grad_(False)
        generator.load_state_dict({k: v.float() for k, v in checkpoints.part(tensors, "average").items()})
        c = state["config"]
        schedule = Schedule(c["levels"], c["stable_images"], c["fade_images"], c["total_images"], tuple(c["batches"]))
        phase = schedule.at(state["images"])
        conditions = tuple(c.get("condition", "").replace(",", " ").split())
        population = state.get("population", {"kinds": [], "height_mm": None})
        return cls(
            generator,
            state.get("level", phase.level),
            state.get("alpha", phase.alpha),
            state["bits"],
            state["images"],
            conditions,
            kinds_known(population["kinds"], conditions),
            population["height_mm"],
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.generator.architecture.size(self.level)

    @property
    def spacing_mm(self) -> float | None:
        """Of one pixel, at the detector."""
        return self.height_mm and self.height_mm / self.size[0]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for this generator: a hash of its weights and where it stood."""
        digest = hashlib.sha256(f"{self.level} {self.alpha} {self.bits}".encode())
        for name, tensor in sorted(self.generator.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def only(self, **facts: str) -> Sampler:
        """Draw only images of these facts, as view="MLO"; an empty one leaves the fact as in the training data.

        Raises:
            RunError: the generator cannot tell, or has seen no such image.
        """
        kinds = self.kinds
        for name, value in facts.items():
            if not value:
                continue
            if value not in CONDITIONS[name]:
                raise RunError(f"A {name} is {' or '.join(CONDITIONS[name])}, not {value!r}.")
            kinds = kinds[kinds[name] == value]
            if not len(kinds):
                known = sorted(set(self.kinds[name].dropna()))
                why = f"it has seen {' and '.join(known)}" if known else f"it was not told the {name}"
                raise RunError(f"The generator cannot draw {name} {value} ({why}); train with condition={name}.")
        return replace(self, kinds=kinds.assign(share=kinds["share"] / kinds["share"].sum()))

    @cached_property
    def _shares(self) -> np.ndarray:
        """Of the kinds up to each; kept, for a data frame takes half a millisecond to say it of every image."""
        return self.kinds["share"].cumsum().to_numpy(float)

    @cached_property
    def _known(self) -> list[dict[str, str | None]]:
        """View and density of each kind."""
        return self.kinds[list(CONDITIONS)].to_dict("records")

    def _vector(self, seed: int, index: int) -> tuple[np.ndarray, int]:
        """Latent vector and row of `kinds` of (seed, index)."""
        rng = np.random.default_rng([seed, index])
        z = rng.standard_normal(self.generator.architecture.latent, np.float32)
        kind = int(np.searchsorted(self._shares, rng.random(), side="right"))
        return z, min(kind, len(self._shares) - 1)

    def _ends(self, index: int) -> tuple[int, int, float]:
        """The two vectors between which an image lies, and where: t in [0, 1)."""
        if not self.steps:
            return index, index, 0.0
        first, step = divmod(index, self.steps)
        return first, first + 1, step / self.steps

    def inputs(self, seed: int, indices: range) -> tuple[torch.Tensor, torch.Tensor]:
        """Latent vectors (N, latent) and labels (N, k): the i-th depends on (seed, i) alone."""
        labels = labels_of(self.kinds, self.conditions)
        vectors, told = [], []
        for index in indices:
            first, second, t = self._ends(index)
            (a, kind), (b, other) = self._vector(seed, first), self._vector(seed, second)
            vectors.append(slerp(a, b, t))
            told.append((1 - t) * labels[kind] + t * labels[other])
        return torch.from_numpy(np.stack(vectors)), torch.from_numpy(np.stack(told).astype(np.float32))

    def facts(self, seed: int, index: int) -> dict[str, str | None]:
        """What is known of an image: view and density; None where nothing is, as half way from CC to MLO."""
        first, second, t = self._ends(index)
        rows = [self._known[self._vector(seed, end)[1]] for end in ((first, second) if t else (first,))]
        return {name: rows[0][name] if len({row[name] for row in rows}) == 1 else None for name in CONDITIONS}

    @property
    def batch(self) -> int:
        """Images a minibatch: as many as four of 1280 x 1024 have pixels, so that memory does not grow with size."""
        h, w = self.size
        return max(min(4 * 1280 * 1024 // (h * w), 64), 1)

    @torch.no_grad()
    def draw(self, count: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the images `start` ... `start + count` of a seed: (h, w), uint16 on the gray grid of the real ones.

        Minibatches lie on a fixed grid and are always whole: sums of another length may round otherwise.
        """
        device = next(self.generator.parameters()).device
        for first in range(start - start % self.batch, start + count, self.batch):
            z, labels = self.inputs(seed, range(first, first + self.batch))
            images = self.generator(z.to(device), self.level, self.alpha, labels.to(device))[:, 0].cpu().numpy()
            yield from to_gray(images, self.bits)[max(start - first, 0) : max(start + count - first, 0)]


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Point at the share `t` of the great circle from a to b (Shoemake 1985); its length lies between theirs.

    A straight line would leave the shell on which normal vectors of many dimensions lie.
    """
    if t == 0:
        return a
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    u, v = a / lengths[0], b / lengths[1]
    angle = np.arccos(np.clip(u @ v, -1, 1))
    if angle < 1e-6:
        return ((1 - t) * a + t * b).astype(a.dtype)
    direction = (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / np.sin(angle)
    return (((1 - t) * lengths[0] + t * lengths[1]) * direction).astype(a.dtype)


def kinds_known(kinds: list[dict[str, Any]], conditions: tuple[str, ...]) -> pd.DataFrame:
    """Kinds of real images -> kinds of drawn ones, with their shares.

    A fact of a drawn image is known where the generator was told it, or where all real images share it.

    Args:
        kinds: view, density and count of each kind, see `reals.population`.
        conditions: facts that the generator is told.

    Raises:
        RunError: the generator is told facts, and the checkpoint does not say how frequent they are.
    """
    if conditions and not kinds:
        raise RunError("The checkpoint does not say what the real images were; train on with this version.")
    table = pd.DataFrame(kinds or [{"count": 1}]).reindex(columns=[*CONDITIONS, "count"])
    for name in CONDITIONS:
        if name not in conditions and table[name].nunique(dropna=False) > 1:
            table[name] = None
    table = table.groupby(list(CONDITIONS), dropna=False, as_index=False)["count"].sum()
    table = table.astype(object).where(table.notna(), None)
    counts = table.pop("count").astype(float)
    return table.assign(share=counts / counts.sum())


def sample(
    run: str | Path,
    out: str | Path,
    count: int,
    seed: int,
    form: str = "zarr",
    device: str = "cpu",
    progress: Progress = no_progress,
    *,
    first: int = 0,
    steps: int = 0,
    view: str = "",
    density: str = "",
    at: int | None = None,
) -> Path:
    """Write images of a run to the folder `out`; the same command continues one that was cut off.

    Args:
        run: folder of the run.
        out: folder to write. A folder of files may be continued to a larger count; a finished store is closed.
        count: number of images.
        seed: of the latent vectors, and of views and densities.
        form: "png" (16 bits, gray levels spread over the full range), "zarr" (a store with its pyramid), "dicom" or
            "film" (PNG, and an animated WebP of 8 bits made from them).
        device: where to draw.
        progress: counts "images".
        first: index of the first image, so that several machines can share a seed.
        steps: interpolation: images from one latent vector to the next; 0 for none.
        view, density: draw only these; empty draws them as frequent as in the training data.
        at: images seen, to draw from a generator that the run kept on the way; None takes the newest.

    Returns:
        the folder, or the film.

    Raises:
        RunError: no trained generator, a count below 1, an unknown form, facts that the generator was not told, or a
            folder that holds something else.
    """
    if form not in FORMATS:
        raise RunError(f"Images are written as {' or '.join(FORMATS)}, not as {form!r}.")
    if count < 1 or first < 0 or steps < 0:
        raise RunError(f"{count} images from index {first} with {steps} steps cannot be drawn; a count is 1 or more.")
    sampler = Sampler.open(run, device, at).only(view=view, density=density)
    if form == "dicom" and any(value is None for value in sampler.kinds["view"]):
        raise RunError(
            "A DICOM mammogram states its view, and this generator does not know it; give --view to a run that was "
            "trained with condition=view, or write png or zarr."
        )
    if form == "dicom" and steps and sampler.kinds["view"].nunique() > 1:
        raise RunError("Images between CC and MLO have no view that DICOM can state; add --view.")
    sampler = replace(sampler, steps=steps or (FILM_STEPS if form == "film" else 0))
    made_by = {
        "by": "sample",
        "generator": sampler.fingerprint,
        "images": sampler.images,
        "seed": seed,
        "first": first,
        "steps": sampler.steps,
        "view": view,
        "density": density,
    }
    if form == "zarr":
        return _write_store(sampler, Path(out), count, made_by, progress)
    with Files(Path(out), {**made_by, "format": form}) as files:
        start = first + files.done
        for index, image in enumerate(sampler.draw(max(count - files.done, 0), seed, start), start):
            spacing = sampler.spacing_mm or DETECTOR_MM / sampler.size[0]
            files.add(Drawn(image, sampler.bits, index, _facts(sampler, seed, index, image), spacing, files.made_by))
            progress("images", files.done, count)
        return files.film() if form == "film" else files.out


def _facts(sampler: Sampler, seed: int, index: int, image: np.ndarray) -> dict[str, str | None]:
    """View, density, and the laterality that the image shows: the chest wall of a left breast is at the left."""
    return {**sampler.facts(seed, index), "laterality": chest_side(overview(image))}


def _write_store(sampler: Sampler, out: Path, count: int, made_by: dict[str, Any], progress: Progress) -> Path:
    top, seed = 2**sampler.bits - 1, made_by["seed"]
    with StoreWriter(out, *sampler.size, sampler.bits, {**made_by, "count": count}) as writer:
        if not writer.complete:
            done = writer.images
            start = made_by["first"] + done
            for index, image in enumerate(sampler.draw(count - done, seed, start), start):
                # The pyramid is made from the rounded gray levels: what a reader of the image would compute.
                facts = _facts(sampler, seed, index, image)
                writer.accept(image / top, id=f"synthetic-{seed}-{index}", spacing_mm=sampler.spacing_mm, **facts)
                progress("images", index + 1 - made_by["first"], count)
    return out
