"""Choose and configure the device: determinism, TF32, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mammogan.errors import ParameterError, RunError
from mammogan.gan.networks import GROUP
from mammogan.parallel import keep_memory


def allow_tf32(use: bool) -> None:
    """Let a GPU round factors of float32 to TF32, or not; PyTorch's default allows it in convolutions."""
    kind = "tf32" if use else "ieee"
    torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = kind


def configure_device(name: str = "") -> str:
    """Configure this process to compute reproducibly, and return the device to compute on.

    Sets, for the whole process: on a processor deterministic algorithms of PyTorch, so that runs repeat bit for bit,
    and on a GPU, where they would be slower and runs differ by rounding anyway, the choice of the fastest convolution
    by trying; no TF32, so that float32 is float32; and options of the C library's malloc, so that freed memory is kept.

    Args:
        name: "cpu", "cuda", "cuda:1"; empty chooses the best device of this machine.

    Raises:
        ParameterError: there is no such kind of device.
        RunError: this machine has no such GPU.
    """
    if name:
        _check_device(name)
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = name.startswith("cuda")
    allow_tf32(False)
    torch.use_deterministic_algorithms(not on_gpu, warn_only=True)
    torch.backends.cudnn.benchmark = on_gpu
    # Deterministic algorithms fill fresh memory before it is written, in case a program reads it too early.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_memory()
    return name


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ParameterError(f"There is no device {name!r}; the devices are cpu, cuda and cuda:1.") from None
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= gpus:
        which = f"{gpus} GPU(s)" if gpus else "no GPU that torch can use"
        raise RunError(f"There is no device {name}: this machine has {which}; give another --device, as cpu.")


@contextmanager
def explaining_memory(device: torch.device, count: int) -> Iterator[None]:
    """Turn a lack of the device's memory for `count` images at a time into a RunError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        way = f"with --set micro={GROUP}" if count > GROUP else "on a device that has more"
        raise RunError(f"{device} has too little memory for {count} images at a time; continue {way}.") from None
