"""A finished run without its training images: the facts that a chapter shows, and a small copy for publication."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from mammogan import atomic
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Schedule


@dataclass(frozen=True)
class Snapshot:
    """Facts of a run, read from its newest checkpoint.

    Attributes:
        images: images shown to D so far.
        skipped: updates with a gradient that was not finite.
        bits: bits of the gray levels.
        weights: {"generator": number of weights, "discriminator": ...}.
        store: fingerprint of the store of real images; "" where the run does not state it.
    """

    config: Config
    schedule: Schedule
    architecture: Architecture
    images: int
    skipped: int
    bits: int
    weights: dict[str, int]
    store: str

    @classmethod
    def open(cls, run: str | Path) -> Snapshot:
        """Read a run; RunError if it has no checkpoint."""
        checkpoint = checkpoints.trained(run)
        config, architecture, state = checkpoint.config, checkpoint.architecture, checkpoint.state
        with torch.device("meta"):
            nets = {"generator": Generator(architecture), "discriminator": Discriminator(architecture)}
        weights = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
        images, skipped, bits = state["images"], state["skipped"], state["bits"]
        store = state.get("store", "")
        if not store:  # early runs state it in config.json alone
            with suppress(OSError, ValueError):
                store = json.loads((Path(run) / "config.json").read_text(encoding="utf-8")).get("store", "")
        return cls(config, config.schedule, architecture, images, skipped, bits, weights, store)


def publish_run(run: str | Path, out: str | Path, at: int | None = None) -> Path:
    """Copy what can be published of a run: the averaged generator in half precision, logs, settings and sample sheets.

    The copy is a run folder: `Sampler.open` and `Snapshot.open` read it; training cannot continue it.

    Args:
        run: folder of the run.
        out: folder to write, absent.
        at: images at which the published generator was kept; None publishes the newest. What came later is left out.

    Returns:
        the file of weights.

    Raises:
        RunError: no checkpoint, or a weight that half precision cannot represent.
    """
    run, out = Path(run), Path(out)
    tensors, state = checkpoints.trained(run, at=at)
    half = {name: t.half() for name, t in tensors.items() if name.startswith("average/")}
    if not all(bool(t.isfinite().all()) for t in half.values()):
        raise RunError(f"A weight of {run} is too large for half precision; publish the run itself.")
    atomic.make_folder(out / "checkpoints")
    atomic.make_folder(out / "samples")
    for sheet in (run / "samples").glob("[0-9]*.npy"):
        if int(sheet.stem) <= state["images"]:
            shutil.copy(sheet, out / "samples")
    atomic.write_json(out / "config.json", {"config": state["config"], "bits": state["bits"]})
    for log in (run / name for name in checkpoints.LOGS):
        if log.is_file():
            atomic.write_text(out / log.name, checkpoints.lines_until(log, state["images"]))
    return checkpoints.save_run(out, half, state)
