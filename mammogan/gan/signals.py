"""Signals that end a training: noted when they arrive, obeyed between two minibatches, once a checkpoint is written."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from mammogan.errors import Stopped
from mammogan.gan import distributed

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """A context in which SIGTERM and SIGINT do not end the process but are noted.

    Outside of the main thread, which alone receives signals, and for a signal that the parent has switched off, as
    `nohup` and `&` do, it has no effect. A second SIGINT ends the process at once, but not under torchrun, which passes
    on what the terminal has sent to every process already.

    Attributes:
        received: number of the first signal that arrived; 0 if none did.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if (before := signal.getsignal(number)) != signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before if callable(before) else signal.SIG_DFL)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise KeyboardInterrupt
        self.received = self.received or number


def stopped(number: int, images: int) -> Stopped:
    """Return the error of a training that a signal ended after `images` images; only the first process speaks."""
    name = signal.Signals(number).name
    sentence = f"{name} stopped the training at {images} images; it is saved, and the same command continues."
    return Stopped("" if distributed.rank() else sentence, 128 + number)
