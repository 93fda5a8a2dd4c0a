"""Children of an ingest find compiled what they run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mammogan.data.averaging import compiled_average, compiled_halving

PROGRAM = """
from test_preload import count_compiled
from mammogan.data.ingest import PRELOAD
from mammogan.parallel import guarded_map
if __name__ == "__main__":
    print(*guarded_map(count_compiled, [()], preload=PRELOAD))
"""


def count_compiled() -> int:
    """Return the number of passes that this process has compiled or was forked with."""
    return compiled_average.cache_info().currsize + compiled_halving.cache_info().currsize


@pytest.mark.slow
def test_children_are_forked_with_compiled_passes() -> None:
    # A process of its own: here the children's server may have been started by another test.
    path = [*sys.path, __file__.rpartition("/")[0]]
    program = f"import sys; sys.path[:] = {path!r}\n{PROGRAM}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "3\n"
