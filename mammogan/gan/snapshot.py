"""A finished run without its training images: what a chapter shows of it, and the small copy that can be published."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Schedule


@dataclass(frozen=True)
class Snapshot:
    """Facts of a run, read from its newest checkpoint.

    Attributes:
        config, schedule, architecture: of the run.
        images: shown so far.
        skipped: updates with a gradient that was not finite.
        bits: of the gray grid.
        weights: {"generator": number of weights, "discriminator": ...}.
    """

    config: Config
    schedule: Schedule
    architecture: Architecture
    images: int
    skipped: int
    bits: int
    weights: dict[str, int]

    @classmethod
    def open(cls, run: str | Path) -> Snapshot:
        """Read a run.

        Raises:
            RunError: it has no checkpoint.
        """
        found = checkpoints.latest(Path(run))
        if not found:
            raise RunError(f"There is no trained generator in {run}; train one with `mammogan train --run {run}`.")
        state = found[1]
        c = state["config"]
        architecture = Architecture.from_dict(state["architecture"])
        with torch.device("meta"):
            nets = {"generator": Generator(architecture), "discriminator": Discriminator(architecture)}
        return cls(
            Config().changed(c),
            Schedule(c["levels"], c["stable_images"], c["fade_images"], c["total_images"], tuple(c["batches"])),
            architecture,
            state["images"],
            state["skipped"],
            state["bits"],
            {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()},
        )


def publish_run(run: str | Path, out: str | Path) -> Path:
    """Copy what of a run can be published: the averaged generator in half precision, logs, settings and sample sheets.

    The copy is a run folder: `Sampler.open` and `Snapshot.open` read it; it cannot be trained on.

    Args:
        run: folder of the run.
        out: folder to write, absent.

    Returns:
        the file of weights.

    Raises:
        RunError: no checkpoint, or a weight that half precision cannot hold.
    """
    run, out = Path(run), Path(out)
    found = checkpoints.latest(run)
    if not found:
        raise RunError(f"There is no trained generator in {run}; train one with `mammogan train --run {run}`.")
    tensors, state = found
    half = {name: t.half() for name, t in tensors.items() if name.startswith("average/")}
    if not all(bool(t.isfinite().all()) for t in half.values()):
        raise RunError(f"A weight of {run} is too large for half precision; publish it as it is.")
    (out / "checkpoints").mkdir(parents=True)
    path = checkpoints.checkpoint_path(out, state["images"])
    checkpoints.save(path, half, state)
    (out / "config.json").write_text(json.dumps({"config": state["config"], "bits": state["bits"]}, indent=1) + "\n")
    for name in checkpoints.LOGS:
        if (run / name).is_file():
            (out / name).write_text(checkpoints.logged(run / name, state["images"]))
    shutil.copytree(run / "samples", out / "samples")
    return path
