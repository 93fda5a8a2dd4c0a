"""Images from a trained generator: any number, each a function of (seed, index), as PNG, store or DICOM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mammogan.data.store import StoreWriter
from mammogan.gan import checkpoints
from mammogan.gan.checkpoints import RunError
from mammogan.gan.networks import Architecture, Generator
from mammogan.gan.schedule import Schedule
from mammogan.gan.training import to_grey

FORMATS = ("png", "zarr")


@dataclass
class Sampler:
    """A trained generator, ready to draw.

    Attributes:
        generator: the running average of the weights.
        level, alpha: where the run stood.
        bits: of the grey grid of the real images.
        images: images that D had seen.
    """

    generator: Generator
    level: int
    alpha: float
    bits: int
    images: int

    @classmethod
    def open(cls, run: str | Path, device: str = "cpu") -> Sampler:
        """Load the newest checkpoint of a run.

        Raises:
            RunError: there is none.
        """
        found = checkpoints.latest(Path(run), device)
        if not found:
            raise RunError(f"There is no trained generator in {run}; train one with `mammogan train --run {run}`.")
        tensors, state = found
        architecture = Architecture.from_dict(state["architecture"])
        generator = Generator(architecture).to(device).requires_grad_(False)
        prefix = "average/"
        generator.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        c = state["config"]
        schedule = Schedule(c["levels"], c["stable_images"], c["fade_images"], c["total_images"], tuple(c["batches"]))
        phase = schedule.at(state["images"])
        return cls(generator, phase.level, phase.alpha, state["bits"], state["images"])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.generator.architecture.size(self.level)

    def latents(self, seed: int, indices: range) -> torch.Tensor:
        """Latent vectors (N, latent): the i-th depends on (seed, i) alone, not on how many are drawn together."""
        length = self.generator.architecture.latent
        rows = [np.random.default_rng([seed, index]).standard_normal(length, np.float32) for index in indices]
        return torch.from_numpy(np.stack(rows))

    @torch.no_grad()
    def draw(self, count: int, seed: int, batch: int = 16, start: int = 0) -> Iterator[np.ndarray]:
        """Yield `count` images (h, w), uint16 on the grey grid of the real ones, from index `start` on."""
        device = next(self.generator.parameters()).device
        for first in range(start, count, batch):
            z = self.latents(seed, range(first, min(first + batch, count))).to(device)
            yield from to_grey(self.generator(z, self.level, self.alpha)[:, 0].cpu().numpy(), self.bits)


def sample(
    run: str | Path,
    out: str | Path,
    count: int,
    seed: int,
    form: str = "zarr",
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """Write `count` images of a run to the folder `out`; only one minibatch is in memory at a time.

    Args:
        run: folder of the run.
        out: folder to write; a store that was cut off is continued.
        count: number of images.
        seed: of the latent vectors.
        form: "png" (16 bits, grey levels spread over the full range) or "zarr" (a store with its pyramid).
        device: where to draw.
        progress: called with the number of images done.

    Raises:
        RunError: no trained generator, a count below 1, or an unknown form.
    """
    if form not in FORMATS:
        raise RunError(f"Images are written as {' or '.join(FORMATS)}, not as {form!r}.")
    if count < 1:
        raise RunError(f"{count} images cannot be drawn; choose a count of 1 or more.")
    sampler = Sampler.open(run, device)
    out = Path(out)
    if form == "png":
        out.mkdir(parents=True, exist_ok=True)
        top = 2**sampler.bits - 1
        for index, image in enumerate(sampler.draw(count, seed)):
            spread = (image.astype(np.uint32) * 65535 // top).astype(np.uint16)
            Image.fromarray(spread).save(out / f"{seed}-{index:07d}.png")
            progress(index + 1)
        return out
    made_by = {"by": "sample", "seed": seed, "count": count, "images": sampler.images}
    with StoreWriter(out, *sampler.size, sampler.bits, made_by) as writer:
        if not writer.complete:
            start = writer.images
            for index, image in enumerate(sampler.draw(count, seed, start=start), start):
                # The pyramid is made from the rounded grey levels: what a reader of the image would compute.
                writer.accept(image / (2**sampler.bits - 1), id=f"synthetic-{seed}-{index}")
                progress(index + 1)
    return out
