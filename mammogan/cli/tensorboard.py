"""A run's log and sample sheets in TensorBoard, in addition to stats.jsonl, which remains the record."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes the lines of the log one by one: the argument `log` of `Run.train`.

    Args:
        folder: folder of the run; events are written to its folder tensorboard.
        images: images seen so far; later events are of an attempt that was cut off, and are hidden.
        bits: bits of the gray levels.
    """

    def __init__(self, folder: str | Path, images: int, bits: int) -> None:
        self.samples = Path(folder) / "samples"
        self.top = 2**bits - 1
        self.written = {path for path in self.samples.glob("*.npy") if int(path.stem) < images}
        self.writer = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=images)

    def __call__(self, line: Mapping[str, float | str]) -> None:
        """Add the numbers of one line, and the sample sheets that were written with it."""
        for name, value in line.items():
            if isinstance(value, int | float) and name not in ("images", "seconds"):
                self.writer.add_scalar(name, value, line["images"])
        for path in sorted(set(self.samples.glob("*.npy")) - self.written):
            sheet = np.load(path)[:16]
            tiled = np.concatenate([np.concatenate(row, 1) for row in np.array_split(sheet, 4)], 0)
            self.writer.add_image("samples", (tiled / self.top)[None].astype(np.float32), int(path.stem))
            self.written.add(path)

    def close(self) -> None:
        """Flush to the disk."""
        self.writer.close()
