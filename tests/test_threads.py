"""Threads of torch: the commands choose before it is loaded, unless the user has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mammogan.threads import prepare_threads


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000", "MKL_CBWR": "AUTO,STRICT"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "MKL_CBWR": "AUTO,STRICT"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "MKL_CBWR": "AUTO,STRICT"}),
        ({"MKL_CBWR": "COMPATIBLE"}, {"GOMP_SPINCOUNT": "1000", "MKL_CBWR": "COMPATIBLE"}),
    ],
)
def test_the_user_may_choose(given: dict[str, str], expected: dict[str, str]) -> None:
    environment = dict(given)
    prepare_threads(environment)
    assert environment == expected


def test_a_command_chooses_before_torch_is_loaded() -> None:
    code = (
        "import os, sys; from mammogan.__main__ import main; "
        "main(lambda: print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT']))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "False 1000\n"


@pytest.mark.slow
def test_a_product_is_the_same_with_any_number_of_threads() -> None:
    """Also on a processor without AVX-512, where MKL shares sums among threads unless it is told not to."""
    code = (
        "import sys; from mammogan.threads import prepare_threads; prepare_threads(); import torch; "
        "torch.set_num_threads(int(sys.argv[1])); torch.manual_seed(0); "
        "print([(torch.randn(64, n) @ torch.randn(n, 20 * n)).double().sum().item() for n in (8, 16, 64)])"
    )
    environment = {**os.environ, "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    said = {
        subprocess.run([sys.executable, "-c", code, threads], env=environment, capture_output=True, check=True).stdout
        for threads in ("1", "2", "3")
    }
    assert len(said) == 1
