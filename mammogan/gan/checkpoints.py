"""Files of a run: checkpoints that a kill cannot break, without pickle, kept generators, and logs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mammogan import atomic
from mammogan.errors import OutputError, RunError
from mammogan.gan.config import Config
from mammogan.gan.dataset import Population
from mammogan.gan.networks import Architecture

KEEP = 2  # the newest checkpoint, and the one before it
LOGS = ("stats.jsonl", "timing.jsonl")


class State(TypedDict):
    """Facts that a checkpoint states next to its tensors. Early runs lack some; level and alpha are of generators."""

    images: int
    skipped: int
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
    """Write tensors and a JSON state as one safetensors file, as a whole; OutputError if that is impossible."""
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic.replacing(path) as aside:
            save_file(contents, aside, metadata={"state": json.dumps(state)})
    except SafetensorError as error:
        raise OutputError(f"{path} cannot be written ({error}); free disk space and run again.") from None


def load(path: Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a file that `save` wrote; RunError if it is missing or broken."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, json.loads(file.metadata()["state"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"The checkpoint {path} cannot be read ({error}).") from None


def checkpoints(run: Path) -> list[Path]:
    """Return the files of the checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("[0-9]*.safetensors"))


def generators(run: Path) -> dict[int, Path]:
    """Return the generators that a run kept during training, {images seen: file}, oldest first."""
    return {int(path.stem): path for path in sorted((run / "generators").glob("[0-9]*.safetensors"))}


def latest(run: Path, device: str | torch.device = "cpu") -> Checkpoint | None:
    """Read the newest checkpoint that is whole; None if the run has none, RunError if all are broken."""
    paths = checkpoints(run)
    for path in reversed(paths[1:]):
        with suppress(RunError):
            return load(path, device)
    return load(paths[0], device) if paths else None


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
    """Write a checkpoint of a run, delete all but the last `KEEP`, and return its file. See `save`."""
    path = run / "checkpoints" / f"{state['images']:012d}.safetensors"
    save(path, tensors, state)
    for old in checkpoints(run)[:-KEEP]:
        old.unlink()
    return path


def keep_generator(run: Path, average: nn.Module, state: State) -> None:
    """Keep the averaged generator permanently, in half precision: generators/IMAGES.safetensors. See `save`."""
    path = run / "generators" / f"{state['images']:012d}.safetensors"
    atomic.make_folder(path.parent)
    save(path, {f"average/{name}": tensor.half() for name, tensor in average.state_dict().items()}, state)


def lines_until(log: Path, images: int) -> str:
    """Return the lines of a log up to a checkpoint, without later ones or one that a kill cut short."""

    def is_before(line: str) -> bool:
        try:
            return json.loads(line)["images"] <= images
        except ValueError:
            return False

    return "".join(f"{line}\n" for line in log.read_text().splitlines() if is_before(line))


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
