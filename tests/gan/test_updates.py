"""Updates of the weights: as PyTorch's plain Adam and a loop over the average, without waiting for the device."""

from __future__ import annotations

import copy

import pytest
import torch

from mammogan.gan.config import Config
from mammogan.gan.networks import Architecture, Generator
from mammogan.gan.updates import follow, new_adam, update

CONFIG = Config(learning_rate=(0.01,), adam_beta1=0.0, adam_beta2=0.99)
TINY = Architecture(levels=3, latent=6, fmap_base=32, fmap_max=8, noise=True)


@pytest.fixture
def weights() -> list[torch.nn.Parameter]:
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in ((3, 4), (5,), (2, 3, 3, 3))]


def give_gradients(weights: list[torch.nn.Parameter], step: int) -> None:
    torch.manual_seed(step)
    for weight in weights:
        weight.grad = torch.randn_like(weight)


def test_updates_are_those_of_plain_adam(weights: list[torch.nn.Parameter]) -> None:
    others = copy.deepcopy(weights)
    ours = new_adam(weights, CONFIG)
    plain = torch.optim.Adam(others, lr=0.01, betas=(0.0, 0.99), eps=CONFIG.adam_eps, foreach=False)
    for step in range(20):
        for group in (weights, others):
            give_gradients(group, step)
        assert float(update(ours)) == 0
        plain.step()
    for a, b in zip(weights, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(weights: list[torch.nn.Parameter], bad: float) -> None:
    others = copy.deepcopy(weights)
    adams = [new_adam(group, CONFIG) for group in (weights, others)]
    for step in range(4):
        for group, adam in zip((weights, others), adams, strict=True):
            give_gradients(group, step)
            if step == 2 and group is weights:
                before = copy.deepcopy((weights, adam.state_dict()))
                group[1].grad[0] = bad
                assert float(update(adam)) == 1
                assert all(torch.equal(a, b) for a, b in zip(weights, before[0], strict=True))
                for index, slots in adam.state_dict()["state"].items():
                    assert all(torch.equal(value, before[1]["state"][index][name]) for name, value in slots.items())
                give_gradients(group, step)
            update(adam)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def test_a_large_gradient_is_finite(weights: list[torch.nn.Parameter]) -> None:
    """The square of its norm would not be."""
    weights = [torch.nn.Parameter(weight.detach().float()) for weight in weights]
    adam = new_adam(weights, CONFIG)
    give_gradients(weights, 0)
    weights[0].grad[0, 0] = 3e38
    assert float(update(adam)) == 0


def test_the_average_follows_the_levels_that_have_grown() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY)
    average, expected = copy.deepcopy(generator), copy.deepcopy(generator)
    for level in range(TINY.levels):
        drawn = generator(torch.randn(4, 6), level, 0.5, noise=lambda h, w: torch.randn(4, 1, h, w))
        generator.zero_grad(set_to_none=True)
        drawn.square().sum().backward()
        trained = {id(p) for p in generator.parameters() if p.grad is not None}
        assert trained <= {id(p) for p in generator.grown(level)}
        with torch.no_grad():
            for parameter in generator.grown(level):
                parameter.add_(torch.randn_like(parameter))
            for a, b in zip(expected.parameters(), generator.parameters(), strict=True):
                a.lerp_(b, 0.25)
        follow(average, generator, level, 0.75)
        for a, b in zip(average.parameters(), expected.parameters(), strict=True):
            assert torch.equal(a, b)
    assert len(generator.grown(2)) == len(list(generator.parameters()))
