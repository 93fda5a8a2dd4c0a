"""Choose and configure the device: determinism, TF32, memory."""

from __future__ import annotations

import os

import torch

from mammogan.parallel import keep_memory


def allow_tf32(use: bool) -> None:
    """Whether a GPU may round factors of float32 to TF32; PyTorch lets it do so in convolutions unless told."""
    kind = "tf32" if use else "ieee"
    torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = kind


def configure_device(name: str = "") -> str:
    """`name`, or the best device of this machine; also makes CPU runs repeat bit for bit, and float32 be float32."""
    allow_tf32(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic algorithms fill fresh memory before it is written, for programs that read it too early.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_memory()
    return name or ("cuda" if torch.cuda.is_available() else "cpu")
