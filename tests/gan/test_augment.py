"""Augmentation by known changes, and its probability."""

from __future__ import annotations

import pytest
import torch

from mammogan.gan import augment


def test_augmentation_by_known_changes() -> None:
    image = torch.rand(1, 1, 20, 16, dtype=torch.float64) * 2 - 1
    nothing = torch.tensor([[1.0, 0, 1, 1, 0, 0, 1, 0]])
    torch.testing.assert_close(augment.apply(image, nothing), image, rtol=1e-9, atol=1e-9)

    def changed(**values: float) -> torch.Tensor:
        names = ["flip", "angle", "scale", "aspect", "down", "right", "contrast", "brightness"]
        row = nothing.clone()
        for name, value in values.items():
            row[0, names.index(name)] = value
        return augment.apply(image, row)

    torch.testing.assert_close(changed(flip=-1), image.flip(3), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(changed(angle=torch.pi), image.flip(2, 3), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(changed(contrast=0.5, brightness=0.25), image * 0.5 + 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        same = augment.apply(image.float(), nothing.float())
    torch.testing.assert_close(same, image.float())
    down = changed(down=0.25)  # a quarter of the height comes from beyond the edge, black
    assert torch.all(down[..., -5:, :] == -1)
    torch.testing.assert_close(down[..., :15, :], image[..., 5:, :], rtol=1e-9, atol=1e-9)
    # A quarter turn of a square is numpy's rot90; a rectangle is not sheared, only cut.
    square = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    turn = nothing.clone()
    turn[0, 1] = torch.pi / 2
    turned = augment.apply(square, turn)
    either = [torch.rot90(square, k, (2, 3)) for k in (1, 3)]
    assert min(float((turned - other).abs().max()) for other in either) < 1e-5


def test_augmentation_follows_overfitting() -> None:
    random = torch.Generator().manual_seed(0)
    untouched = augment.draw(64, 0.0, random)
    torch.testing.assert_close(untouched, torch.tensor([[1.0, 0, 1, 1, 0, 0, 1, 0]]).expand(64, 8))
    often = augment.draw(4000, 0.5, random)
    assert 0.45 < float((often[:, 1] != 0).float().mean()) < 0.55
    assert augment.overfitting(2.0, 2.0, -1.0) == 0
    assert augment.overfitting(2.0, -1.0, -1.0) == 1
    assert augment.adapt(0.1, 0.9, 0.6, 1000, 100_000) == pytest.approx(0.11)
    assert augment.adapt(0.1, 0.2, 0.6, 1000, 100_000) == pytest.approx(0.09)
    assert augment.adapt(0.8, 0.9, 0.6, 1000, 10_000) == augment.MAX_P
