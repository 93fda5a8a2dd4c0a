"""One run on several processes (torchrun): each takes a share of every minibatch, and gradients are summed.

The sum is taken by hand after the whole backward pass. DistributedDataParallel hooks into the first backward pass it
sees, and the penalty's gradient of a gradient passes it by.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from mammogan.errors import RunError
from mammogan.gan.networks import GROUP


def start(device: str) -> str:
    """Join the processes that torchrun started, if it did; returns the device of this one.

    Raises:
        RunError: all of them were given the same GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        if device != "cuda":
            raise RunError(f"Each process of torchrun takes a GPU of its own; say --device cuda, not {device}.")
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo", device_id=torch.device(device) if on_gpu else None)
    return device


def stop() -> None:
    """Leave the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Go on when all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def add_up(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over the processes; one message for all."""
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.reshape(tensor.shape))


def shares(batch: int, micro: int = 0) -> list[Tensor]:
    """Positions in the minibatch of the images that this process takes, in pieces of at most `micro` (0: in one).

    The groups over which D takes its standard deviation (every (N / 4)-th image) stay whole, so that the gradients add
    up to those of one process that takes the minibatch at once.

    Raises:
        RunError: the minibatch cannot be divided so.
    """
    size = min(GROUP, batch)
    groups, processes = batch // size, count()
    if groups % processes:
        raise RunError(
            f"A minibatch of {batch} cannot be shared by {processes} processes; set batches to multiples of "
            f"{GROUP * processes}."
        )
    if micro and micro % GROUP:
        raise RunError(f"Pieces of {micro} images would tear groups of {GROUP} apart; set micro to a multiple of 4.")
    own = torch.arange(groups).reshape(processes, -1)[rank()]
    pieces = own.split(micro // GROUP if micro else len(own))
    return [(torch.arange(size)[:, None] * groups + piece).reshape(-1) for piece in pieces]
