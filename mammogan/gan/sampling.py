"""Images from a trained generator: any number, each a function of (seed, index), as PNG, store, DICOM or film.

Nothing depends on how many images are drawn or on where a command was cut off: minibatches are aligned to a fixed grid
of indices, and only one of them is in memory at a time. Where the generator draws both views of a breast, its images
follow each other: image 2k is the CC of vector k, and image 2k + 1 its MLO.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mammogan.data.geometry import overview
from mammogan.data.segmentation import chest_side
from mammogan.data.store import StoreWriter
from mammogan.errors import ParameterError, RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import CONDITIONS
from mammogan.gan.dataset import Conditions, Kind, Population, labels_of, to_gray
from mammogan.gan.networks import Generator, Noise
from mammogan.gan.writers import Draw, ImageFolder
from mammogan.types import Progress, Size, no_progress

FORMATS = ("png", "zarr", "dicom", "film")
FILM_STEPS = 15  # default number of images from one latent vector to the next
# A detector is some 240 mm high; used in DICOM if the real images state no spacing.
DETECTOR_MM = 240


@dataclass(frozen=True)
class Sampler:
    """A trained generator, ready to draw.

    Attributes:
        generator: running average of the weights.
        level, alpha: level of the images, and its share against the level below.
        bits: bits of the gray levels of the real images.
        images: images that D had seen.
        conditions: facts that the generator receives, and their values.
        kinds: facts of the drawn images, which are as frequent as the counts say.
        height_mm: height of an image; None if the real images state no pixel spacing.
        steps: interpolation, see `Draw`.
    """

    generator: Generator
    level: int
    alpha: float
    bits: int
    images: int
    conditions: Conditions
    kinds: tuple[Kind, ...]
    height_mm: float | None
    steps: int = 0

    @classmethod
    def open(cls, run: str | Path, device: str = "cpu", at: int | None = None) -> Sampler:
        """Load the newest checkpoint of a run, or the generator that it kept at `at` images; see `trained`."""
        checkpoint = checkpoints.trained(run, device, at)
        state, config = checkpoint.state, checkpoint.config
        generator = Generator(checkpoint.architecture).to(device).requires_grad_(False)
        generator.load_state_dict({key: value.float() for key, value in checkpoint.part("average").items()})
        phase = config.schedule.at(state["images"])
        level, alpha = state.get("level", phase.level), state.get("alpha", phase.alpha)
        population = state.get("population") or Population(kinds=[], height_mm=None)
        kinds = drawn_kinds(
            [Kind.of(kind, kind.pop("count")) for kind in map(dict, population["kinds"])], config.conditions
        )
        bits, images, height_mm = state["bits"], state["images"], population["height_mm"]
        return cls(generator, level, alpha, bits, images, config.conditions, kinds, height_mm)

    @property
    def size(self) -> Size:
        """Size of the images, pixels."""
        return self.generator.architecture.size(self.level)

    @property
    def views(self) -> int:
        """Images per latent vector: 2 where it draws CC and MLO of one breast."""
        return self.generator.architecture.channels

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the conditions other than view and density."""
        return tuple(name for name in self.conditions if name not in CONDITIONS)

    @property
    def spacing_mm(self) -> float | None:
        """Size of one pixel at the detector."""
        return self.height_mm and self.height_mm / self.size.height

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify this generator: a hash of its weights and of its level."""
        digest = hashlib.sha256(f"{self.level} {self.alpha} {self.bits}".encode())
        for name, tensor in sorted(self.generator.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def only(self, **facts: str) -> Sampler:
        """Return a sampler of only these facts, as view="MLO"; an empty one is drawn as in the training data.

        ParameterError if a value is impossible, RunError if the generator cannot draw only these.
        """
        kinds = self.kinds
        if self.views > 1 and facts.get("view"):
            raise RunError("The generator draws CC and MLO of each breast; omit --view.")
        for name, value in facts.items():
            if not value:
                continue
            possible = CONDITIONS.get(name) or self.conditions.get(name, (value,))
            if value not in possible:
                raise ParameterError(f"The {name} must be {' or '.join(possible)}, not {value!r}.")
            kinds = tuple(kind for kind in kinds if kind.facts.get(name) == value)
            if not kinds:
                seen = sorted({fact for kind in self.kinds if (fact := kind.facts.get(name))})
                reason = f"it has seen {' and '.join(seen)}" if seen else f"it was not trained with condition={name}"
                raise RunError(f"The generator cannot draw {name} {value} ({reason}); train with condition={name}.")
        return replace(self, kinds=kinds)

    def _vector(self, seed: int, index: int) -> tuple[np.ndarray, int]:
        """Draw the latent vector of a number and a position in `kinds`."""
        rng = np.random.default_rng([seed, index])
        z = rng.standard_normal(self.generator.architecture.latent, np.float32)
        counts = np.array([kind.count for kind in self.kinds], float)
        kind = int(np.searchsorted(np.cumsum(counts / counts.sum()), rng.random(), side="right"))
        return z, min(kind, len(self.kinds) - 1)

    def _input(self, seed: int, index: int) -> tuple[np.ndarray, list[tuple[int, float]]]:
        """Draw the latent vector of an image or pair, and the kinds that it is between with their weights."""
        first, step = divmod(index, self.steps or 1)
        t = step / (self.steps or 1)
        (a, kind), (b, other) = self._vector(seed, first), self._vector(seed, first + 1)
        return slerp(a, b, t), [(kind, 1 - t), (other, t)]

    def inputs(self, seed: int, indices: range) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw latent vectors (N, latent) and labels (N, k); those of one index depend on it and the seed alone."""
        of_kinds = labels_of(pd.DataFrame([kind.facts for kind in self.kinds]), self.conditions)
        vectors, mixtures = zip(*(self._input(seed, index) for index in indices), strict=True)
        labels = np.stack([sum(weight * of_kinds[kind] for kind, weight in mixture) for mixture in mixtures])
        return torch.from_numpy(np.stack(vectors)), torch.from_numpy(labels.astype(np.float32))

    def noise(self, seed: int, indices: range) -> Callable[[int, int], torch.Tensor]:
        """Return the noise of images, see `Noise`; between two images it is a mixture of theirs of unit variance."""

        def of(offset: int) -> Noise:
            keys = [[seed, index // (self.steps or 1) + offset, 1] for index in indices]
            seeds = [int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1) for key in keys]
            return Noise(torch.tensor(seeds))

        if not self.steps:
            return of(0)
        first, second = of(0), of(1)
        angle = torch.tensor([index % self.steps / self.steps * math.pi / 2 for index in indices])[:, None, None, None]
        return lambda height, width: angle.cos() * first(height, width) + angle.sin() * second(height, width)

    def facts(self, seed: int, index: int) -> dict[str, str | None]:
        """Return view, density and other conditions of an image; None if unknown, as between CC and MLO."""
        vector, channel = divmod(index, self.views)
        kinds = [self.kinds[kind] for kind, weight in self._input(seed, vector)[1] if weight]
        values = {name: {kind.facts[name] for kind in kinds} for name in kinds[0].facts}
        if self.views > 1:
            values["view"] = {CONDITIONS["view"][channel]}
        return {name: ends.pop() if len(ends) == 1 else None for name, ends in values.items()}

    @property
    def batch(self) -> int:
        """Vectors per minibatch: as many as have the pixels of four of 1280 x 1024, so that memory is bounded."""
        h, w = self.size
        return max(min(4 * 1280 * 1024 // (h * w), 64), 1)

    @torch.no_grad()
    def draw(self, count: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
        """Yield the images `start` ... `start + count` of a seed: (h, w), uint16, gray levels as of the real ones.

        Minibatches are aligned to a fixed grid and always whole: sums of another length may round otherwise.
        """
        device = next(self.generator.parameters()).device
        step = self.batch * self.views
        for first in range(start - start % step, start + count, step):
            vectors = range(first // self.views, first // self.views + self.batch)
            z, labels = self.inputs(seed, vectors)
            noise = self.noise(seed, vectors)
            drawn = self.generator(z.to(device), self.level, self.alpha, labels.to(device), noise)
            images = drawn.flatten(0, 1).cpu().numpy()
            yield from to_gray(images, self.bits)[max(start - first, 0) : max(start + count - first, 0)]


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Return the point at the share `t` of the great circle from a to b (Shoemake 1985), of intermediate length.

    A straight line would leave the shell on which normal vectors of many dimensions concentrate.
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


def drawn_kinds(kinds: list[Kind], conditions: Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds of drawn images from the kinds of real images (`dataset.population`).

    A fact of a drawn image is known if it is one of the conditions, which the generator receives, or if all real images
    share it. RunError if there are conditions, and early versions did not store how frequent they are.
    """
    if conditions and not kinds:
        raise RunError("The checkpoint does not state what the real images were; train on with this version.")
    kinds = kinds or [Kind(None, None, 1)]
    names = list(kinds[0].facts)
    known = {name: name in conditions or len({kind.facts[name] for kind in kinds}) == 1 for name in names}
    counts: Counter[tuple[str | None, ...]] = Counter()
    for kind in kinds:
        counts[tuple(kind.facts[name] if known[name] else None for name in names)] += kind.count
    ordered = sorted(counts, key=lambda facts: [(fact is None, fact or "") for fact in facts])
    return tuple(Kind.of(dict(zip(names, facts, strict=True)), counts[facts]) for facts in ordered)


def sample(
    run: str | Path,
    out: str | Path,
    draw: Draw,
    form: str = "zarr",
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Path:
    """Write images of a run to the folder `out`; the same command continues one that was cut off.

    Args:
        run: folder of the run.
        out: folder to write. A folder of files may be continued to a larger count; a finished store is closed.
        draw: images to draw.
        form: "png" (16 bits, gray levels spread over the full range), "zarr" (a store with its pyramid), "dicom" or
            "film" (PNG, and an animated WebP of 8 bits made from them).
        device: device to draw on.
        progress: counts "images".

    Returns:
        the folder, or the film.

    Raises:
        ParameterError: an unknown form, or an odd number of images where they are drawn in pairs.
        RunError: no trained generator, or facts that it did not receive.
        OutputError: the folder holds something else.
    """
    if form not in FORMATS:
        raise ParameterError(f"The format must be {' or '.join(FORMATS)}, not {form!r}.")
    sampler = Sampler.open(run, device, draw.at).only(view=draw.view, density=draw.density, **dict(draw.only))
    if draw.count % sampler.views or draw.first % sampler.views:
        raise ParameterError("The generator draws two views of each breast; give an even --count and --first.")
    views = {kind.view for kind in sampler.kinds} if sampler.views == 1 else set(CONDITIONS["view"])
    if form == "dicom" and None in views:
        raise RunError(
            "A DICOM mammogram states its view, and this generator does not know it; give --view to a run that was "
            "trained with condition=view, or write png or zarr."
        )
    if form == "dicom" and draw.steps and len(views) > sampler.views:
        raise RunError("Images between CC and MLO have no view that DICOM can state; add --view.")
    draw = replace(draw, steps=draw.steps or (FILM_STEPS if form == "film" else 0))
    sampler, out = replace(sampler, steps=draw.steps), Path(out)
    made_by = draw.record(sampler.fingerprint, sampler.images)
    if form == "zarr":
        with StoreWriter(out, *sampler.size, sampler.bits, {**made_by, "count": draw.count}) as writer:
            done = draw.count if writer.complete else writer.images
            for index, pixels, facts in _images(sampler, draw, done):
                # The pyramid is made from the rounded gray levels: what a reader of the image would compute.
                levels, name = pixels / (2**sampler.bits - 1), f"synthetic-{draw.seed}-{index}"
                writer.accept(levels, id=name, spacing_mm=sampler.spacing_mm, **facts)
                progress("images", index + 1 - draw.first, draw.count)
        return out
    spacing = sampler.spacing_mm or DETECTOR_MM / sampler.size.height
    with ImageFolder(
        out, draw, {**made_by, "format": form}, sampler.bits, spacing, sampler.views, sampler.others
    ) as folder:
        for index, pixels, facts in _images(sampler, draw, folder.done):
            folder.add(index, pixels, facts)
            progress("images", folder.done, draw.count)
        return folder.film() if form == "film" else out


def _images(sampler: Sampler, draw: Draw, done: int) -> Iterator[tuple[int, np.ndarray, dict[str, str | None]]]:
    """Yield index, pixels and facts of the images that are not done yet."""
    views, end = sampler.views, draw.first + draw.count
    start = draw.first + done - done % views
    images = sampler.draw(max(end - start, 0), draw.seed, start)
    for first in range(start, end, views):
        breast = list(islice(images, views))
        # The laterality is the one that the images show: the chest wall of a left breast is at the left.
        side = chest_side(overview(np.max(breast, axis=0)))
        patient = f"synthetic-{draw.seed}-{first // views}" if views > 1 else None
        for index, pixels in enumerate(breast, first):
            if index >= draw.first + done:
                yield index, pixels, {**sampler.facts(draw.seed, index), "laterality": side, "patient": patient}
