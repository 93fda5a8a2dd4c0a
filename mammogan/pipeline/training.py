"""The training of a build outside of its notebook, by torchrun: in a folder of the build that no stage deletes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mammogan.data.store import Store
from mammogan.errors import PipelineError, Stopped
from mammogan.gan.checkpoints import checkpoints
from mammogan.gan.config import Config, pairs, preset
from mammogan.gan.record import Record, fitted
from mammogan.gan.signals import Signals
from mammogan.pipeline.stages import TRAINING, Pipeline

POLL = 0.2  # seconds between two looks at a training


@dataclass(frozen=True)
class Training:
    """The training of a build, as its notebook would do it.

    Attributes:
        store: store of the real images.
        run: folder of the run.
        config: settings.
        device: "" for the best one.
    """

    store: Path
    run: Path
    config: Config
    device: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> Self:
        """Return the training of a build; PipelineError if it trains nothing, or its store is not made yet."""
        values = pipeline.values(TRAINING)
        if values["finished"]:
            raise PipelineError(f"The profile {pipeline.profile} trains nothing: it shows a published run.")
        store = pipeline.root / str(values["store"])
        if not (store / "zarr.json").is_file():
            raise PipelineError(
                f"{pipeline.name} has no store yet; run `mammogan run --only 01` with the same profile and data first."
            )
        config = preset(str(values["profile"])).changed({**pairs(str(values["settings"])), "seed": values["seed"]})
        return cls(store, pipeline.trained, config, str(values["device"]))

    @property
    def is_finished(self) -> bool:
        """The run has seen all of its images."""
        return any(int(path.stem) >= self.config.total_images for path in checkpoints(self.run)[-1:])


def take_run(pipeline: Pipeline, folder: Path) -> None:
    """Link the run that was trained outside of the stage into the folder of the stage, where the notebook looks.

    Raises:
        RunError: the run has other settings than the stage, or another store.
    """
    link = folder / "run"
    if link.is_symlink():
        link.unlink()
    if (pipeline.trained / "config.json").is_file():
        training = Training.of(pipeline)
        store = Store.open(training.store)
        Record.read(training.run, fitted(training.config, store), store)
        link.symlink_to(os.path.relpath(training.run, folder))


def train(pipeline: Pipeline, echo: Callable[[str], None] = print) -> None:
    """Train the run of a build on `pipeline.processes` processes of torchrun, unless it is finished.

    SIGTERM and SIGINT end the training, which saves a checkpoint.

    Raises:
        PipelineError: the training failed.
        Stopped: a signal arrived.
    """
    training = Training.of(pipeline)
    if training.is_finished:
        return
    processes = pipeline.processes or most_processes(training.config)
    echo(f"{TRAINING}: training on {processes} process{'es' if processes > 1 else ''}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "mammogan", "train", "--profile", pipeline.profile]
    command += ["--data", str(pipeline.data)] if pipeline.data else []
    # In a session of its own, it receives a signal of the terminal once, from here.
    with Signals() as signals, subprocess.Popen(command, cwd=pipeline.root, start_new_session=True) as process:
        passed_on = False
        while process.poll() is None:
            if signals.received and not passed_on:
                process.send_signal(signal.SIGTERM)
                passed_on = True
            try:
                process.wait(POLL)
            except subprocess.TimeoutExpired:
                continue
    if signals.received:
        name = signal.Signals(signals.received).name
        sentence = f"{name} stopped the training; it is saved, and the same command continues."
        raise Stopped(sentence, 128 + signals.received)
    if process.returncode:
        raise PipelineError(f"The training of {pipeline.name} failed with exit code {process.returncode}; see above.")


def most_processes(config: Config) -> int:
    """Return how many of the GPUs of this machine can share every minibatch, at least 1."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 1
    return max(n for n in range(1, gpus + 1) if all(batch % n == 0 for batch in config.batches))
