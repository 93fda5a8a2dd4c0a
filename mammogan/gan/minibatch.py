"""One minibatch: real images, and every random number of a step, as a function of the seed and of the images seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mammogan.gan import augment, distributed
from mammogan.gan.config import Config
from mammogan.gan.dataset import RealImages, from_gray


def random_at(seed: int, *position: int) -> torch.Generator:
    """Return random numbers for one purpose at one moment, the same wherever the run was interrupted."""
    words = np.random.SeedSequence([seed, *position]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


class Piece(NamedTuple):
    """The n images of a minibatch that are computed at once, on the device.

    Attributes:
        share: share of the minibatch.
        real, labels: real images (n, 1 or 2, h, w), and labels (n, k) of these and of the images that G draws for D.
        z_d, mix: latent vectors of D's update (n, latent), and weights of its penalty's mixtures (n,).
        z_g, labels_g: latent vectors and labels of G's update.
        seeds: of the noise of real images, and of those that G draws in D's update and in its own, (n, 3).
        changes: augmentation of real and drawn images in D's update and of drawn ones in G's, (n, 3, 8); (n, 0) if off.
    """

    share: float
    real: Tensor
    labels: Tensor
    z_d: Tensor
    mix: Tensor
    z_g: Tensor
    labels_g: Tensor
    seeds: Tensor
    changes: Tensor


def draw_minibatch(
    config: Config, dataset: RealImages, images: int, batch: int, augment_p: float, device: torch.device
) -> list[Piece]:
    """Read the real images of this process; every process draws the random numbers of the whole minibatch.

    The minibatch has `batch` images and follows the first `images` ones of the run; `augment_p` is the probability of
    each change.
    """
    c, n = config, batch
    random = random_at(c.seed, images)
    z_d = torch.randn(n, c.latent, generator=random)
    mix = torch.rand(n, generator=random)
    z_g = torch.randn(n, c.latent, generator=random)
    labels_g = dataset.draw_labels(n, random)
    # A stream of its own: settings that need it do not change what the others draw.
    seeds = torch.randint(2**62, (n, 3), generator=random_at(c.seed, images, 2))
    changes = [augment.draw(n, augment_p, random) for _ in range(3)] if c.augment else [torch.empty(n, 0)]
    pieces = distributed.own_pieces(n, c.micro)
    own, sizes = torch.cat(pieces), [len(piece) for piece in pieces]
    drawn = [tensor[own] for tensor in (z_d, mix, z_g, labels_g, seeds, torch.stack(changes, 1))]
    columns = (*dataset.next_batch(images, n, own), *drawn)
    real, *others = (_to_device(tensor, device) for tensor in columns)
    rows = zip(*(tensor.split(sizes) for tensor in (from_gray(real, dataset.bits), *others)), strict=True)
    return [Piece(len(row[0]) / n, *row) for row in rows]


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; to a GPU from pinned memory, without waiting for what it computes."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
