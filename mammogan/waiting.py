"""Threads of PyTorch that wait for each other: in a short loop, so that other processes get the cores."""

import os
from collections.abc import MutableMapping

SPINS = "1000"  # rounds of libgomp's loop before a thread sleeps; benchmarks/waiting.py compares values


def shorten_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set GOMP_SPINCOUNT for this process, before torch is loaded, and for its children, unless the user has chosen.

    By default a thread of OpenMP loops for milliseconds while it waits; where other processes use the same cores, the
    thread that it waits for is not running.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
