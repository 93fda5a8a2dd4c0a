"""Measure memory and disk of the ingest's bookkeeping for many files: duplicates, manifest, and opening the store.

    python benchmarks/scale.py [20000 200000 1000000]

No image is read: each file is an invented row. Every count runs in a fresh process. The table is printed and kept as
benchmarks/results/scale.md.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mammogan.data.ingest import Seen
from mammogan.data.store import MANIFEST, Store, StoreWriter

RESULT = Path(__file__).parent / "results" / "scale.md"
FACTS = {
    "patient": "c" * 16,
    "split": "train",
    "view": "CC",
    "laterality": "L",
    "manufacturer": "mammogan",
    "model": "procedural",
    "window_function": "LINEAR",
    "window_center": 2047.5,
    "window_width": 4096.0,
    "photometric": "MONOCHROME2",
    "transfer_syntax": "1.2.840.10008.1.2.4.70",
    "flags": [],
}


def peak() -> float:
    """Return the largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts KiB


def measure(count: int) -> list[float]:
    """Return peaks in MB at the start and after duplicates, parts, joined manifest and opening; then MB of disk."""
    peaks = [peak()]
    seen = Seen()
    digests = (hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
    for digest in digests:
        seen.before({"instance": digest[:16], "pixels": digest[16:32]})
    peaks.append(peak())
    seen.close()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        with StoreWriter(path, 40, 32, 12, {"by": "scale"}) as writer:
            for number in range(count):
                digest = hashlib.sha256(str(number).encode()).hexdigest()
                keys = {"id": digest[:16], "source_sha256": digest, "place": digest[16:32], "instance": digest[32:48]}
                writer.refuse("blank", "The image is blank.", **keys, **FACTS)
            peaks.append(peak())
        peaks.append(peak())
        Store.open(path)
        peaks.append(peak())
        return [*peaks, os.path.getsize(path / MANIFEST) / 1e6]


def main() -> None:
    """Measure every count and write the table."""
    counts = [int(argument) for argument in sys.argv[1:]] or [20_000, 200_000, 1_000_000]
    lines = [
        "| Files | Peak memory at the start, MB | Duplicates found | Manifest, in parts | Manifest, joined "
        "| Store opened | Manifest on disk, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in counts:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            megabytes = pool.submit(measure, count).result()
        lines.append(f"| {count:,} | {' | '.join(f'{value:.0f}' for value in megabytes)} |")
        print(lines[-1], flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
