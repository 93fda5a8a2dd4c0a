"""Sheets of samples that a run draws on its way, from latent vectors that stay the same."""

from __future__ import annotations

import numpy as np
import torch

from mammogan.gan.config import Config
from mammogan.gan.dataset import RealImages, to_gray
from mammogan.gan.minibatch import random_at
from mammogan.gan.networks import Generator, Noise

IMAGES = 16


@torch.no_grad()
def draw_sheet(
    average: Generator, dataset: RealImages, config: Config, level: int, alpha: float, bits: int, count: int
) -> np.ndarray:
    """Draw the images of fixed latent vectors, `count` at a time: (16, h, w), uint16 of so many bits.

    CC and MLO of a pair are neighbors.
    """
    random, device = random_at(config.seed, 2**40), average.dense.weight.device
    vectors = IMAGES // average.architecture.channels
    z = torch.randn(vectors, config.latent, generator=random).to(device)
    labels = dataset.draw_labels(vectors, random).to(device)
    parts = zip(*(tensor.split(count) for tensor in (z, labels, torch.arange(vectors))), strict=True)
    drawn = (average(z, level, alpha, y, Noise(seeds)).flatten(0, 1) for z, y, seeds in parts)
    return np.concatenate([to_gray(part.cpu().numpy(), bits) for part in drawn])
