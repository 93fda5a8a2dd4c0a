"""Threads of PyTorch: they wait in a short loop, so that others get the cores, and change no sum that they share."""

import os
from collections.abc import MutableMapping

SPINS = "1000"  # rounds of libgomp's loop before a thread sleeps; benchmarks/waiting.py compares values


def prepare_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set GOMP_SPINCOUNT and MKL_CBWR for this process, before torch is loaded, and for its children.

    What the user has set stays. By default a thread of OpenMP loops for milliseconds while it waits; where other
    processes use the same cores, the thread that it waits for is not running. And a matrix product of MKL depends on
    the number of threads in its last bits, on processors without AVX-512 at least; its mode for "conditional numerical
    reproducibility" (MKL's developer guide) makes a drawn image the same with any number.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    environment.setdefault("MKL_CBWR", "AUTO,STRICT")
