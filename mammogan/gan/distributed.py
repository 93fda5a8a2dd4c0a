"""One run on several processes (torchrun): each computes a share of every minibatch, and gradients are summed.

The sum is computed explicitly after the whole backward pass. DistributedDataParallel hooks into the first backward pass
and misses the penalty's gradient of a gradient.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from mammogan.errors import ParameterError, RunError
from mammogan.gan.networks import GROUP


def join(device: str) -> str:
    """Join the processes that torchrun started, if it did, and return the device of this one.

    RunError if all of them were given the same GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    on_gpu = device.startswith("cuda")
    if on_gpu:
        if device != "cuda":
            raise RunError(f"Each process of torchrun uses a GPU of its own; give --device cuda, not {device}.")
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo", device_id=torch.device(device) if on_gpu else None)
    return device


def leave() -> None:
    """Leave the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def all_sum(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over the processes; one message for all."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.reshape(tensor.shape))


def own_pieces(batch: int, micro: int = 0) -> list[Tensor]:
    """Return the positions in the minibatch that this process computes, in pieces of at most `micro` (0: in one).

    The groups over which D computes its standard deviation (every (N / 4)-th image) are not split, so that the
    gradients add up to those of one process that computes the minibatch at once. ParameterError if that is impossible.
    """
    size = min(GROUP, batch)
    groups, processes = batch // size, world_size()
    if batch % size or groups % processes:
        raise ParameterError(
            f"A minibatch of {batch} is not divisible into groups of {GROUP} images for {processes} process(es); set "
            f"batches to multiples of {GROUP * processes}."
        )
    if micro % GROUP:
        raise ParameterError(f"micro={micro} splits the minibatch-stddev groups of {GROUP}; use a multiple of {GROUP}.")
    own = torch.arange(groups).reshape(processes, -1)[rank()]
    pieces = own.split(micro // GROUP if micro else len(own))
    return [(torch.arange(size)[:, None] * groups + piece).reshape(-1) for piece in pieces]
