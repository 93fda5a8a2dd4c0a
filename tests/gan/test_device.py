"""What a GPU may round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gan_runs import SHORT

from mammogan.data.store import Store
from mammogan.errors import ParameterError, RunError
from mammogan.gan.config import Config
from mammogan.gan.device import configure_device
from mammogan.gan.training import Run


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16,tf32"])
def test_a_gpu_rounds_factors_only_where_it_may(store: Store, tmp_path: Path, precision: str) -> None:
    run = Run.open(store, tmp_path / "run", Config().changed({**SHORT, "precision": precision}))
    run.step(run.schedule.at(0))
    kinds = {torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision}
    assert kinds == {"tf32" if "tf32" in precision else "ieee"}
    configure_device("cpu")
    assert {torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision} == {"ieee"}


def test_only_a_processor_repeats_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("cuda:1", "", "cpu"):
        assert configure_device(name) == name or "cuda"
        chosen = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
        assert chosen == ((True, False) if name == "cpu" else (False, True))


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("graphics", ParameterError, "There is no device 'graphics'; the devices are cpu, cuda and cuda:1"),
        ("cuda", RunError, "no device cuda: this machine has no GPU that torch can use; give another --device, as cpu"),
    ],
)
def test_a_device_that_is_missing_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception], sentence: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=sentence):
        configure_device(name)
