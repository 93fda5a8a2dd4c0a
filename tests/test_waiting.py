"""Waiting threads: the commands choose before torch is loaded, unless the user has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mammogan.waiting import shorten_waiting


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_the_user_may_choose(given: dict[str, str], expected: str | None) -> None:
    environment = dict(given)
    shorten_waiting(environment)
    assert environment.get("GOMP_SPINCOUNT") == expected
    assert environment == {**environment, **given}


def test_a_command_chooses_before_torch_is_loaded() -> None:
    code = (
        "import os, sys; from mammogan.__main__ import main; "
        "main(lambda: print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT']))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "False 1000\n"
