"""Files of a run: checkpoints that a kill cannot break, without pickle, kept generators, and logs."""

from __future__ import annotations

import json
import logging
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import google_crc32c
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mammogan import atomic
from mammogan.errors import OutputError, RunError
from mammogan.gan import distributed
from mammogan.gan.config import Config
from mammogan.gan.dataset import Population
from mammogan.gan.networks import Architecture

KEEP = 2  # the newest checkpoint, and the one before it
LOGS = ("stats.jsonl", "timing.jsonl")
BROKEN = (OSError, SafetensorError, KeyError, TypeError, ValueError)  # errors of a file that is not whole
LogLine = dict[str, float | str]
log = logging.getLogger(__name__)


class State(TypedDict):
    """Facts that a checkpoint states next to its tensors. Early runs lack some; level and alpha are of generators.

    `line_start` is the number of images at which the line of the log under way begins, `sums` are its numbers so far;
    `sheet` is the level and alpha of a sheet of samples that is drawn after the checkpoint; `skipped_at` are the images
    seen at the latest updates with non-finite gradients; `crc32c` are checksums of the tensors; `start` are the images
    and the store of the run whose networks this one began with.
    """

    images: int
    skipped: int
    skipped_at: NotRequired[list[int]]
    line_start: NotRequired[int]
    sums: NotRequired[dict[str, float]]
    sheet: NotRequired[list[float] | None]
    crc32c: NotRequired[dict[str, int]]
    store: NotRequired[str]
    start: NotRequired[dict[str, int | str]]
    optimizer_epoch: int
    augment_p: NotRequired[float]
    overfit: NotRequired[float]
    architecture: dict[str, object]
    config: dict[str, object]
    bits: int
    population: NotRequired[Population]
    level: NotRequired[int]
    alpha: NotRequired[float]


class Checkpoint(NamedTuple):
    """Tensors by name, as "generator/first.weight" or "adam_d/0/exp_avg", and the state."""

    tensors: dict[str, Tensor]
    state: State

    @property
    def architecture(self) -> Architecture:
        """Shape of both networks."""
        return Architecture.from_dict(self.state["architecture"])

    @property
    def config(self) -> Config:
        """Hyper-parameters of the run; a setting that did not exist when it began has its default."""
        return Config().changed(self.state["config"])

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the state of one module, for its `load_state_dict`."""
        prefix = f"{name}/"
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def save(path: Path, tensors: dict[str, Tensor], state: State) -> None:
    """Write tensors, their checksums and a JSON state as one safetensors file, as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    state = {**state, "crc32c": {name: checksum(tensor) for name, tensor in contents.items()}}
    try:
        with atomic.replacing(path) as aside:
            save_file(contents, aside, metadata={"state": json.dumps(state)})
            # safetensors makes a file that only its owner may read.
            os.umask(mask := os.umask(0o077))
            aside.chmod(0o666 & ~mask)
    except SafetensorError as error:
        raise OutputError(f"{path} cannot be written ({error}); free disk space and run again.") from None


def checksum(tensor: Tensor) -> int:
    """Return the CRC32C of the bytes of a tensor, which is contiguous and on the CPU."""
    content = tensor.reshape(-1).view(torch.uint8).numpy()
    content.flags.writeable = False
    return google_crc32c.value(content)


def load(path: Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a file that `save` wrote; RunError if it is missing, broken or damaged."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state: State = json.loads(file.metadata()["state"])
            sums = state.get("crc32c", {})
            damaged = [name for name, stated in sums.items() if checksum(tensors[name]) != stated]
    except BROKEN as error:
        raise RunError(f"The checkpoint {path} cannot be read ({error}).") from None
    if damaged:
        raise RunError(f"The checkpoint {path} is damaged ({damaged[0]} does not have its checksum).")
    return Checkpoint({name: tensor.to(device) for name, tensor in tensors.items()}, state)


def checkpoints(run: Path) -> list[Path]:
    """Return the files of the checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("[0-9]*.safetensors"))


def generators(run: Path) -> dict[int, Path]:
    """Return the generators that a run kept during training, {images seen: file}, oldest first."""
    return {int(path.stem): path for path in sorted((run / "generators").glob("[0-9]*.safetensors"))}


def latest(run: Path, device: str | torch.device = "cpu") -> Checkpoint | None:
    """Read the newest checkpoint that is whole, and warn if it is not the last one.

    Returns:
        the checkpoint; None if the run has none.

    Raises:
        RunError: none is whole.
    """
    problem: RunError | None = None
    for path in reversed(checkpoints(run)):
        try:
            checkpoint = load(path, device)
        except RunError as error:
            problem = problem or error
            continue
        if problem and not distributed.rank():
            log.warning("%s The one before is used, %s.", problem, path)
        return checkpoint
    if problem:
        raise problem
    return None


def before_skips(run: Path) -> Checkpoint | None:
    """Read the newest checkpoint before which all gradients of a while were finite; None if there is none."""
    for path in reversed(checkpoints(run)):
        if _is_healthy(path):
            with suppress(RunError):
                return load(path)
    return None


def _is_healthy(path: Path) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            return not json.loads(file.metadata()["state"]).get("skipped_at")
    except BROKEN:
        return False


def trained(run: str | Path, device: str | torch.device = "cpu", at: int | None = None) -> Checkpoint:
    """Read the newest checkpoint of a run, or the generator that it kept at `at` images; RunError if there is none."""
    run = Path(run)
    if at is not None:
        kept = generators(run)
        if at not in kept:
            raise RunError(f"{run} kept no generator at {at} images; it kept {', '.join(map(str, kept)) or 'none'}.")
        return load(kept[at], device)
    if newest := latest(run, device):
        return newest
    raise RunError(f"There is no trained generator in {run}; train one with `mammogan train --out {run}`.")


def save_run(run: Path, tensors: dict[str, Tensor], state: State) -> Path:
    """Write a checkpoint of a run, delete old ones, and return its file. See `save`.

    The last `KEEP` remain, and the newest one of a time at which gradients were finite.
    """
    path = run / "checkpoints" / f"{state['images']:012d}.safetensors"
    save(path, tensors, state)
    newest_first = checkpoints(run)[::-1]
    kept = {*newest_first[:KEEP], next(filter(_is_healthy, newest_first), None)}
    for old in set(newest_first) - kept:
        old.unlink()
    return path


def keep_generator(run: Path, average: nn.Module, state: State) -> None:
    """Keep the averaged generator permanently, in half precision: generators/IMAGES.safetensors. See `save`."""
    path = run / "generators" / f"{state['images']:012d}.safetensors"
    atomic.make_folder(path.parent)
    save(path, {f"average/{name}": tensor.half() for name, tensor in average.state_dict().items()}, state)


def append_line(path: Path, line: LogLine) -> None:
    """Add a line to a log of a run, in the first process; numbers that are not finite, which JSON lacks, are null."""
    valid = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in line.items()}
    if not distributed.rank():
        with atomic.writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(valid, allow_nan=False) + "\n")


def forget_later(run: Path, images: int, line_start: int) -> None:
    """Delete what is later than the checkpoint that a run continues from, of `images` images.

    These are checkpoints that are damaged or abandoned, and lines of the logs that will be written again, which end
    after `line_start` images.
    """
    for path in checkpoints(run):
        if int(path.stem) > images:
            path.unlink()
    for path in (run / name for name in LOGS):
        if path.is_file():
            atomic.write_text(path, lines_until(path, line_start))


def lines_until(path: Path, images: int) -> str:
    """Return the lines of a log up to a checkpoint, without later ones or one that a kill cut short."""

    def is_before(line: str) -> bool:
        try:
            return json.loads(line)["images"] <= images
        except ValueError:
            return False

    return "".join(f"{line}\n" for line in path.read_text().splitlines() if is_before(line))


def flatten(modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Adam]) -> dict[str, Tensor]:
    """Collect everything that has a state, by the names of `Checkpoint`."""
    states = {name: module.state_dict() for name, module in modules.items()}
    for name, optimizer in optimizers.items():
        slots = optimizer.state_dict()["state"].items()
        states[name] = {f"{index}/{slot}": value for index, values in slots for slot, value in values.items()}
    return {f"{name}/{key}": value for name, state in states.items() for key, value in state.items()}


def restore(checkpoint: Checkpoint, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Adam]) -> None:
    """Invert `flatten`, into modules and optimizers of the same shape."""
    for name, module in modules.items():
        module.load_state_dict(checkpoint.part(name))
    for name, optimizer in optimizers.items():
        content = optimizer.state_dict()
        content["state"] = {}
        for key, value in checkpoint.part(name).items():
            index, _, slot = key.partition("/")
            content["state"].setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict(content)
        # In the layout of their weights, as they were: only then are all weights updated at once.
        for parameter, slots in optimizer.state.items():
            for slot, value in slots.items():
                if value.shape == parameter.shape:
                    slots[slot] = torch.empty_like(parameter).copy_(value)


def origin(start: Checkpoint) -> dict[str, int | str]:
    """Return what a run states of the one with whose networks it began; see `State`."""
    return {"images": start.state["images"], "store": start.state.get("store", "")}


def begin(start: Checkpoint, architecture: Architecture, networks: dict[str, nn.Module]) -> dict[str, int | str]:
    """Copy the networks of another run and return its `origin`.

    Raises:
        RunError: they have another shape, or the run lacks one.
    """
    if not start.architecture.fits(architecture):
        raise RunError(
            f"The networks to start from have another shape ({start.architecture}) than the settings ask for; repeat "
            "the settings of their run."
        )
    if not start.part("discriminator"):
        raise RunError("The run to start from is a copy for publication, without discriminator; give the run itself.")
    for name, network in networks.items():
        network.load_state_dict(start.part(name))
    return origin(start)
