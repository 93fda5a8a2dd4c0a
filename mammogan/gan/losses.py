"""WGAN-GP with drift, as the original trains (Gulrajani et al. 2017; Karras et al. 2018, A.1), and R1 beside it.

R1 goes with the non-saturating loss (Mescheder et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]

LAMBDA, TARGET, DRIFT = 10.0, 1.0, 0.001  # loss.py:44-71 of the original
GAMMA = 10.0  # weight of R1, Mescheder et al. 2018, section 4.1
LOSSES = ("wgan-gp", "r1")


def generator_loss(fake_scores: Tensor, kind: str = "wgan-gp") -> Tensor:
    """Mean of -D(G(z)), or of its logistic form for "r1"; scores (N,) -> scalar."""
    return (-fake_scores if kind == "wgan-gp" else F.softplus(-fake_scores)).mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """(|grad D(x)| - target)^2 / target^2 at points x between real and generated images, one an image: (N,).

    Args:
        critic: images (N, C, H, W) -> scores (N,).
        real, fake: (N, C, H, W).
        mix: (N,), uniform in [0, 1]; 0 is the real image.
    """
    # The penalty is a difference of squares near zero: half precision loses it.
    with torch.autocast(real.device.type, enabled=False):
        between = torch.lerp(real.float(), fake.float(), mix.reshape(-1, 1, 1, 1)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = gradient.square().sum((1, 2, 3)).sqrt()
        return (norm - TARGET).square() / TARGET**2


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """|grad D(x)|^2 at real images, one an image: (N,)."""
    with torch.autocast(real.device.type, enabled=False):
        images = real.float().requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
        return gradient.square().sum((1, 2, 3))


def discriminator_loss(
    critic: Critic, real: Tensor, fake: Tensor, mix: Tensor, kind: str = "wgan-gp"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of the discriminator and its parts, each a mean over the minibatch.

    Args:
        critic, real, fake, mix: as for `gradient_penalty`.
        kind: one of `LOSSES`.

    Returns:
        the scalar loss; {"real_score", "fake_score", "penalty"} detached.
    """
    real_scores, fake_scores = critic(real).float(), critic(fake).float()
    if kind == "wgan-gp":
        penalty = gradient_penalty(critic, real, fake, mix)
        loss = fake_scores - real_scores + LAMBDA * penalty + DRIFT * real_scores.square()
    else:
        penalty = r1_penalty(critic, real)
        loss = F.softplus(fake_scores) + F.softplus(-real_scores) + GAMMA / 2 * penalty
    parts = {"real_score": real_scores, "fake_score": fake_scores, "penalty": penalty}
    return loss.mean(), {name: part.detach().mean() for name, part in parts.items()}
