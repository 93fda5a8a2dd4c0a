"""Losses by hand, and one pass of D in place of two."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mammogan.gan.losses import discriminator_losses, gradient_penalty, scores_of_both
from mammogan.gan.networks import Architecture, Discriminator

TINY = Architecture(base=(5, 4), levels=3, latent=6, fmap_base=32, fmap_max=8)


def discriminator_loss(*arguments: object, **options: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the sum of the parts of D's loss and all of their numbers."""
    (scores, first), (penalty, second) = discriminator_losses(*arguments, **options)
    return scores + penalty, first | second


def test_penalty_of_a_linear_critic() -> None:
    slope = torch.randn(1, 1, 5, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 6, 1, 5, 4)
    none = torch.zeros(6, 0)
    penalty = gradient_penalty(lambda x, _: (x.double() * slope).sum((1, 2, 3)), real, fake, none, torch.rand(6))
    expected = (slope.norm() - 1) ** 2
    torch.testing.assert_close(penalty.double(), expected.expand(6), rtol=1e-5, atol=1e-6)
    loss, parts = discriminator_loss(lambda x, _: x.mean((1, 2, 3)), real, fake, none, torch.rand(6))
    gradient = (1 / 20**0.5 - 1) ** 2
    by_hand = fake.mean() - real.mean() + 10 * gradient + 0.001 * real.mean((1, 2, 3)).square().mean()
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=1e-6)
    assert set(parts) == {"real_score", "fake_score", "penalty"}
    for every in (0, 3):  # 0: not this time
        lazy, _ = discriminator_loss(lambda x, _: x.mean((1, 2, 3)), real, fake, none, torch.rand(6), every=every)
        torch.testing.assert_close(lazy, by_hand + 10 * (every - 1) * gradient, rtol=1e-5, atol=1e-6)
    loss, _ = discriminator_loss(lambda x, _: x.mean((1, 2, 3)), real, fake, none, torch.rand(6), "r1")
    means = real.mean((1, 2, 3)), fake.mean((1, 2, 3))
    by_hand = F.softplus(-means[0]).mean() + F.softplus(means[1]).mean() + 10 / 2 / 20
    torch.testing.assert_close(loss, by_hand, rtol=1e-5, atol=1e-6)


def test_the_parts_can_be_differentiated_one_after_the_other() -> None:
    """Their gradients add up to that of the loss, and the maps of the first are gone before the second is computed."""
    torch.manual_seed(3)
    d = Discriminator(TINY).double()
    real, fake = torch.randn(2, 8, 1, 10, 8, dtype=torch.float64)
    labels, mix = torch.zeros(8, 0, dtype=torch.float64), torch.rand(8, dtype=torch.float64)
    for kind in ("wgan-gp", "r1"):
        arguments = (lambda x, y: d(x, 1, 0.5, y), real, fake, labels, mix, kind)
        gradients = []
        for at_once in (True, False):
            d.zero_grad(set_to_none=True)
            if at_once:
                discriminator_loss(*arguments)[0].backward()
            else:
                for loss, _ in discriminator_losses(*arguments):
                    loss.backward()
            gradients.append([p.grad for p in d.parameters() if p.grad is not None])
        assert len(gradients[0]) == len(gradients[1]) > 8
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_one_pass_over_real_and_generated_is_two() -> None:
    torch.manual_seed(2)
    d = Discriminator(Architecture(**{**vars(TINY), "labels": 2})).double()
    real, fake = torch.randn(2, 8, 1, 10, 8, dtype=torch.float64)
    labels = F.one_hot(torch.arange(8) % 2, 2).double()
    both = scores_of_both(lambda x, y: d(x, 1, 0.5, y), real, fake, labels)
    for scores, images in zip(both, (real, fake), strict=True):
        torch.testing.assert_close(scores, d(images, 1, 0.5, labels), rtol=1e-12, atol=1e-12)
