"""Load and compile once what all children of an ingest run: they are forked from the process that imports this."""

import numpy as np

from mammogan.data import averaging, ingest

__all__ = ["ingest"]

for looks_up in (True, False):
    averaging.compiled_average(looks_up)
averaging.compiled_halving(np.dtype(np.float32))
