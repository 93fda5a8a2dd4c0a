"""One run on several processes (torchrun): each computes a share of every minibatch, and gradients are summed.

The sum is computed explicitly after the whole backward pass. DistributedDataParallel hooks into the first backward pass
and misses the penalty's gradient of a gradient.
"""

from __future__ import annotations

import math
import os

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from mammogan.errors import ParameterError, RunError
from mammogan.gan.networks import GROUP, append_map, group_stddev, minibatch_stddev
from mammogan.gan.ops import Context


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


def maximum(value: int, device: str | torch.device) -> int:
    """Return the largest value of all processes."""
    if world_size() == 1:
        return value
    everywhere = torch.tensor(value, device=device)
    dist.all_reduce(everywhere, dist.ReduceOp.MAX)
    return int(everywhere)


def own_pieces(batch: int, micro: int = 0) -> list[Tensor]:
    """Return the positions in the minibatch that this process computes, in pieces of at most `micro` (0: in one).

    A minibatch consists of groups over which D computes its standard deviation, every (N / 4)-th image. No group is
    divided among pieces, so that the gradients add up to those of one process that computes the minibatch at once. A
    group is divided among processes only where there are not enough groups for all of them; see `with_stddev`.

    Raises:
        ParameterError: the minibatch is not a multiple of 4 or not divisible by the number of processes, or `micro` is
            not a multiple of 4.
    """
    processes = world_size()
    if batch % GROUP:
        raise ParameterError(
            f"A minibatch of {batch} is not divisible into the minibatch-stddev groups of {GROUP} images; set batches "
            f"to multiples of {GROUP}."
        )
    if batch % processes:
        raise ParameterError(
            f"A minibatch of {batch} is not divisible among {processes} processes; use a number of processes that "
            f"divides it, or set batches to multiples of {math.lcm(GROUP, processes)}."
        )
    if micro % GROUP:
        raise ParameterError(f"micro={micro} splits the minibatch-stddev groups of {GROUP}; use a multiple of {GROUP}.")
    # One row per group. Each piece of this process is a share of whole groups that all processes compute at once.
    groups = torch.arange(batch).reshape(GROUP, -1).T
    pieces = []
    for shared in groups.split(micro // GROUP * processes if micro else len(groups)):
        own = shared.reshape(processes, -1)[rank()]
        pieces.append(own.reshape(-1, GROUP).T.reshape(-1) if len(own) % GROUP == 0 else own)
    return pieces


def with_stddev(x: Tensor) -> Tensor:
    """Append the standard deviation of `minibatch_stddev` to one piece of `own_pieces`: (n, C, H, W) -> (n, C+1, H, W).

    Where n is not a multiple of 4, groups are divided among processes: the maps of all of them are gathered.
    """
    if len(x) % GROUP == 0:
        return minibatch_stddev(x)
    # In float32 at least: not every backend sums half precision.
    everything = all_gather(x.to(torch.promote_types(x.dtype, torch.float32)))
    groups = everything.reshape(-1, GROUP, *x.shape[1:]).transpose(0, 1)
    return append_map(x, group_stddev(groups).repeat_interleave(GROUP).reshape(world_size(), -1)[rank()])


def all_gather(x: Tensor) -> Tensor:
    """Return the tensors of all processes, (processes, *shape); differentiable any number of times.

    Every process must compute the same losses and derivatives, each of which is the sum over the processes.
    """
    return _AllGather.apply(x)


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        everything = x.new_empty(world_size(), *x.shape)
        dist.all_gather(list(everything.unbind()), x.contiguous())
        return everything

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Tensor:
        return _OwnSum.apply(*grads)


class _OwnSum(Function):
    """Sum over the processes of what each of them has for this one: (processes, *shape) -> shape."""

    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total[rank()].clone()

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Tensor:
        return _AllGather.apply(*grads)
