"""A run on disk: checkpoints that a kill cannot break, without pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mammogan.errors import RunError

KEEP = 2  # the last good one, and the one before it
LOGS = ("stats.jsonl", "timing.jsonl")


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors and a JSON state as one safetensors file: aside, flushed to the disk, renamed.

    Raises:
        RunError: the disk is full or cannot be written; what was at `path` is untouched.
    """
    aside = path.with_name(f".{path.name}.aside")
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            aside,
            metadata={"state": json.dumps(state)},
        )
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        aside.unlink(missing_ok=True)
        raise RunError(f"The checkpoint {path} cannot be written ({error}); free disk space and run again.") from None


def load(path: Path, device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save` wrote.

    Raises:
        RunError: the file is missing or broken.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["state"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"The checkpoint {path} cannot be read ({error}).") from None


def checkpoint_path(run: Path, images: int) -> Path:
    return run / "checkpoints" / f"{images:012d}.safetensors"


def checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("[0-9]*.safetensors"))


def latest(run: Path, device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that can be read, or None where the run has none.

    Raises:
        RunError: there are checkpoints, but none can be read.
    """
    error = None
    for path in reversed(checkpoints(run)):
        try:
            return load(path, device)
        except RunError as broken:
            error = broken
    if error:
        raise error
    return None


def keep_generator(run: Path, average: nn.Module, state: dict[str, Any]) -> None:
    """Keep the averaged generator for good, in half precision: generators/IMAGES.safetensors."""
    path = run / "generators" / f"{state['images']:012d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save(path, {f"average/{name}": tensor.half() for name, tensor in average.state_dict().items()}, state)


def generators(run: Path) -> dict[int, Path]:
    """Generators that a run kept on its way, {images seen: file}, in their order."""
    return {int(path.stem): path for path in sorted((run / "generators").glob("[0-9]*.safetensors"))}


def logged(log: Path, images: int) -> str:
    """The lines of a log up to a checkpoint: later ones, and one that a kill cut short, belong to no weights kept."""

    def upto(line: str) -> bool:
        try:
            return json.loads(line)["images"] <= images
        except ValueError:
            return False

    return "".join(f"{line}\n" for line in log.read_text().splitlines() if upto(line))


def prune(run: Path) -> None:
    """Delete all but the last `KEEP` checkpoints."""
    for path in checkpoints(run)[:-KEEP]:
        path.unlink()


def flatten(modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Adam]) -> dict[str, Tensor]:
    """Everything with a state as one flat dictionary: "generator/first.weight", "adam_d/exp_avg/dense.bias", ..."""
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        parameters = optimizer.param_groups[0]["params"]
        for index, parameter in enumerate(parameters):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{name}/{index}/{key}"] = value
    return tensors


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The state of one module, as `load_state_dict` takes it."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def restore(tensors: dict[str, Tensor], modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Adam]) -> None:
    """Inverse of `flatten`, into modules and optimizers of the same shape."""
    for name, module in modules.items():
        module.load_state_dict(part(tensors, name))
    for name, optimizer in optimizers.items():
        content = optimizer.state_dict()
        content["state"] = {}
        for key, value in tensors.items():
            owner, _, rest = key.partition("/")
            if owner == name:
                index, _, slot = rest.partition("/")
                content["state"].setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict(content)
        # In the layout of their weights, as they were: all weights are updated in one go only then.
        for parameter, slots in optimizer.state.items():
            for slot, value in slots.items():
                if value.shape == parameter.shape:
                    slots[slot] = torch.empty_like(parameter).copy_(value)
