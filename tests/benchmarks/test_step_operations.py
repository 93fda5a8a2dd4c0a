"""A step asks of a GPU no more than the table in benchmarks/results says."""

from __future__ import annotations

import pytest
from step_operations import PRECISION, RESULTS, count


@pytest.mark.slow
def test_a_step_never_waits_and_moves_little() -> None:
    row = next(line for line in (RESULTS / "step_operations.md").read_text().splitlines() if "1280 x 1024" in line)
    launches, waits, moved, memory = (float(row.split("|")[column]) for column in (3, 4, 8, 9))
    operations = count(8)
    assert operations.waits == waits == 0
    assert sum(operations.launches.values()) <= launches <= 1200
    assert sum(operations.moved.values()) / 1e9 <= moved + 0.1 <= 141.1
    assert operations.memory.peak / 1e9 <= memory + 0.1 <= 4
    assert not {"isfinite", "all", "lerp_"} & {name for name, number in operations.launches.items() if number > 4}
    half = count(8, precision=PRECISION)
    assert sum(half.moved.values()) / 1e9 <= 93
    assert sum(half.moved.values()) < 0.7 * sum(operations.moved.values())
