"""WGAN-GP with drift, as the original trains (Gulrajani et al. 2017; Karras et al. 2018, A.1), and as a choice R1.

R1 is combined with the non-saturating loss (Mescheder et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mammogan.gan.networks import GROUP
from mammogan.gan.ops.conv2d_gradfix import no_weight_gradients

Critic = Callable[[Tensor, Tensor], Tensor]

LAMBDA, TARGET, DRIFT = 10.0, 1.0, 0.001  # loss.py:44-71 of the original
GAMMA = 10.0  # weight of R1, Mescheder et al. 2018, section 4.1
LOSSES = ("wgan-gp", "r1")


def generator_loss(fake_scores: Tensor, kind: str = "wgan-gp") -> Tensor:
    """Return the mean of -D(G(z)), or of its logistic form for "r1"; scores (N,) -> scalar."""
    return (-fake_scores if kind == "wgan-gp" else F.softplus(-fake_scores)).mean()


def scores_of_both(critic: Critic, real: Tensor, fake: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Score real and generated images in one pass, which reads D's weights once: (N,) and (N,).

    The images are arranged so that each group over which D computes a standard deviation (every (N / 4)-th image) holds
    images of one kind, as it would in two passes.
    """
    n = len(real)
    if n % GROUP:
        return critic(real, labels), critic(fake, labels)

    def joined(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([t.reshape(GROUP, n // GROUP, *t.shape[1:]) for t in (a, b)], 1).flatten(0, 2)

    scores = critic(joined(real, fake.to(real)), joined(labels, labels)).reshape(GROUP, 2, n // GROUP)
    return scores[:, 0].flatten(), scores[:, 1].flatten()


def _full(x: Tensor) -> Tensor:
    """Convert to float32; float64 is kept."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _gradient(critic: Critic, images: Tensor, labels: Tensor) -> Tensor:
    images.requires_grad_(True)
    scores = critic(images, labels)
    with no_weight_gradients():
        return torch.autograd.grad(scores.sum(), images, create_graph=True)[0]


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, labels: Tensor, mix: Tensor) -> Tensor:
    """Return (|grad D(x)| - target)^2 / target^2 at points x between real and generated images, one per image: (N,).

    The critic maps images (N, C, H, W) and labels (N, k), k = 0 without labels, to scores (N,); `mix` (N,) is uniform
    in [0, 1], and 0 is the real image.
    """
    # The penalty is a difference of squares near zero: half precision loses it.
    with torch.autocast(real.device.type, enabled=False):
        between = torch.lerp(_full(real), _full(fake), mix.reshape(-1, 1, 1, 1))
        norm = _gradient(critic, between, labels).square().sum((1, 2, 3)).sqrt()
        return (norm - TARGET).square() / TARGET**2


def r1_penalty(critic: Critic, real: Tensor, labels: Tensor) -> Tensor:
    """Return the squared norm of grad D(x) at real images, one per image: (N,)."""
    with torch.autocast(real.device.type, enabled=False):
        return _gradient(critic, _full(real), labels).square().sum((1, 2, 3))


def discriminator_losses(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    mix: Tensor,
    kind: str = "wgan-gp",
    every: int = 1,
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield the two parts of the discriminator's loss, of scores and of the penalty, which add up to it.

    Each is computed when it is asked for: with a backward pass in between, their maps are not in memory together. Next
    to each part are its {"real_score", "fake_score"} or {"penalty"}, detached. All are means over the minibatch;
    arguments as in `gradient_penalty`, `kind` one of `LOSSES`. The penalty is multiplied by `every`, which is 0 where
    it is left out (lazy regularization, Karras et al. 2020, appendix B).
    """
    real_scores, fake_scores = (_full(scores) for scores in scores_of_both(critic, real, fake, labels))
    means = {"real_score": real_scores.detach().mean(), "fake_score": fake_scores.detach().mean()}
    if kind == "wgan-gp":
        yield (fake_scores - real_scores + DRIFT * real_scores.square()).mean(), means
    else:
        yield (F.softplus(fake_scores) + F.softplus(-real_scores)).mean(), means
    del real_scores, fake_scores
    if not every:
        nothing = torch.zeros_like(means["real_score"])
        yield nothing, {"penalty": nothing}
    elif kind == "wgan-gp":
        penalty = every * gradient_penalty(critic, real, fake, labels, mix).mean()
        yield LAMBDA * penalty, {"penalty": penalty.detach()}
    else:
        penalty = every * r1_penalty(critic, real, labels).mean()
        yield GAMMA / 2 * penalty, {"penalty": penalty.detach()}
