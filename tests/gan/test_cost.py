"""Counted arithmetic and memory against sums by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mammogan.gan.cost import Counter, count_step, seconds_left
from mammogan.gan.networks import Architecture, Discriminator, Generator
from mammogan.gan.schedule import Schedule


def test_counted_memory_is_what_lives_at_once() -> None:
    with Counter() as counter:
        a = torch.ones(1000)  # 4000 bytes
        b = a * 2
        del a
        c = b + 1
        view = c[:10]
        del b, c
        assert counter.now == 4000
        del view
    assert (counter.now, counter.peak) == (0, 8000)


def test_counted_arithmetic_of_a_forward_pass_is_torchs() -> None:
    architecture = Architecture(levels=3, latent=8, fmap_base=64, fmap_max=8)
    g, z = Generator(architecture), torch.randn(4, 8)
    with FlopCounterMode(display=False) as theirs:
        g(z, 2)
    with Counter() as ours:
        g(z, 2)
    assert ours.flop == theirs.get_total_flops() > 0


@pytest.mark.slow
def test_cost_of_the_whole_size() -> None:
    """The paper's resolution fits an ordinary card, and the arithmetic is that of the notes on the original."""
    full = Architecture()
    top, low = count_step(full, 8, 4), count_step(full, 3, 4)
    assert top.peak_bytes < 24e9
    assert top.flop == pytest.approx(1235e9, rel=0.01)
    assert low.flop == pytest.approx(208e9, rel=0.01)
    # At the top every layer is used but to_image and from_image of the levels below the fade.
    used = sum(p.numel() for p in Generator(full).parameters())
    unused = sum(full.maps(level) + 1 for level in range(7))
    assert top.parameters[0] == used - unused
    used = sum(p.numel() for p in Discriminator(full).parameters())
    assert top.parameters[1] == used - sum(2 * full.maps(level) for level in range(7))
    # Maps grow with the minibatch, weights do not.
    double = count_step(full, 8, 8)
    assert 1.5 < double.peak_bytes / top.peak_bytes < 2


def test_a_penalty_of_some_steps_is_divided_among_all() -> None:
    architecture = Architecture(levels=2, latent=8, fmap_base=64, fmap_max=8)
    costs = [count_step(architecture, 1, 4, penalty_every=every) for every in (1, 2, 4, 10**9)]
    flop = [cost.flop for cost in costs]
    assert flop[0] - flop[1] == pytest.approx(2 * (flop[1] - flop[2]))
    # Without its penalty D needs three passes: forward, and derivatives by maps and by weights.
    counter = FlopCounterMode(display=False)
    d, images = Discriminator(architecture), torch.randn(8, 1, 10, 8, requires_grad=True)
    with counter:
        d(images, 1, 0.5).sum().backward()
    assert flop[3] > counter.get_total_flops() / 4 > 0.3 * flop[3]
    assert flop[0] > 1.4 * flop[3]
    assert {cost.peak_bytes for cost in costs} == {costs[0].peak_bytes}


def test_noise_takes_memory() -> None:
    plain = Architecture(levels=2, latent=8, fmap_base=64, fmap_max=8)
    assert count_step(replace(plain, noise=True), 1, 64).peak_bytes > count_step(plain, 1, 64).peak_bytes


def test_time_left_counts_the_levels_to_come() -> None:
    architecture = Architecture(levels=3, latent=8, fmap_base=64, fmap_max=8)
    schedule = Schedule(3, 100, 100, 1000, (4, 4, 4))
    flop = [count_step(architecture, level, 4, alpha=1.0).flop for level in range(3)]
    expected = 50 / 10 + (200 * flop[1] + 700 * flop[2]) / (10 * flop[0])
    assert seconds_left(schedule, architecture, 50, {0: 10.0}) == pytest.approx(expected)
    # What was measured at a level is used there, and the fastest arithmetic above it.
    expected = 150 / 8 + 700 * flop[2] / max(8 * flop[1], 10 * flop[0])
    assert seconds_left(schedule, architecture, 150, {0: 10.0, 1: 8.0}) == pytest.approx(expected)
    assert seconds_left(schedule, architecture, 1000, {2: 10.0}) == 0
