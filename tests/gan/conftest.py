"""Runs that several tests of the GAN read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gan_runs import BY_VIEW, SCRIPT, SHORT, arguments

from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.training import Run


@pytest.fixture(scope="session")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to the end of its schedule, in a process of its own."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments(store, folder, SHORT, "0")], check=True)
    return folder


@pytest.fixture(scope="session")
def split_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same images, every third of them held out."""
    path = tmp_path_factory.mktemp("split") / "store"
    shutil.copytree(store.path, path)
    held_out = np.arange(len(store)) % 3 == 2
    manifest = store.manifest.assign(split=np.where(held_out, "validation", "train"))
    manifest.to_parquet(path / "manifest.parquet", index=False)
    return Store.open(path)


@pytest.fixture(scope="session")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that is conditioned on the view; its generator draws at 20 x 16."""
    folder = tmp_path_factory.mktemp("runs") / "by_view"
    Run.open(store, folder, Config().changed(BY_VIEW)).train()
    return folder


@pytest.fixture(scope="session")
def pair_run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on pairs of views; its generator draws at 20 x 16."""
    folder = tmp_path_factory.mktemp("runs") / "pairs"
    Run.open(store, folder, Config().changed({**BY_VIEW, "condition": "density", "views": "pair"})).train()
    return folder


@pytest.fixture(scope="session")
def unconditional(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shorter run without conditions."""
    folder = tmp_path_factory.mktemp("runs") / "unconditional"
    Run.open(store, folder, Config().changed({**BY_VIEW, "condition": "", "levels": 1, "total_images": 16})).train()
    return folder
