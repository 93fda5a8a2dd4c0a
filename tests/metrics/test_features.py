"""Features of smooth noise, constant images and a TorchScript network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from breasts import breast
from noise import pictures

from mammogan.errors import InputError, ParameterError
from mammogan.metrics.features import (
    ALIKE,
    centered,
    extract,
    gray_features,
    mirrored,
    pixel_features,
    pixel_size,
    standardizer,
    torchscript_feature,
)
from mammogan.metrics.fidelity import kernel_distance


def test_gray_features_see_place_and_texture_where_moments_do_not() -> None:
    first = pictures(5, 40, 32, smooth=3.0).astype(np.float32) / 4095
    flipped = first[:, ::-1, ::-1]
    a, b = gray_features(first), gray_features(flipped)
    assert a.shape == (5, 93)
    np.testing.assert_allclose(a[:, :13], b[:, :13], atol=1e-3)
    np.testing.assert_allclose(a[:, 13:], b[:, :12:-1], atol=1e-6)
    cells = first.astype(float).reshape(5, 10, 4, 8, 4).mean((2, 4)).reshape(5, -1)
    np.testing.assert_allclose(a[:, 13:], cells, atol=1e-6)
    constant = gray_features(np.zeros((2, 40, 32), np.float32))
    assert np.isfinite(constant).all()
    assert gray_features(np.random.default_rng(0).random((1, 5, 4)).astype(np.float32)).shape[0] == 1


def test_pixel_features_ignore_gain_and_offset() -> None:
    first = pictures(3, 40, 32, smooth=3.0).astype(np.float32) / 4095
    np.testing.assert_allclose(pixel_features(first), pixel_features(first * 0.7 + 0.1), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(pixel_features(first), axis=1), 1)
    large = np.kron(first, np.ones((1, 4, 4), np.float32))
    np.testing.assert_allclose(pixel_features(large), pixel_features(first), atol=1e-5)
    assert (pixel_features(np.ones((1, 40, 32))) == 0).all()


def test_extract_does_not_depend_on_the_block_and_says_what_is_wrong() -> None:
    stack = pictures(10, 40, 32)
    np.testing.assert_allclose(extract(stack, 12, gray_features, block=3), extract(stack, 12, gray_features))
    with pytest.raises(InputError, match="must give"):
        extract(stack, 12, lambda x: x)
    with pytest.raises(InputError, match="not finite"):
        extract(stack, 12, lambda x: np.full((len(x), 2), np.nan))
    with pytest.raises(ParameterError, match="is 0; give 1 or more"):
        extract(stack[:0], 12, gray_features)


def test_standardizer_leaves_constant_columns_alone() -> None:
    table = np.c_[np.random.default_rng(1).normal(5, 3, (50, 2)), np.full(50, 7.0)]
    fitted = standardizer(table)
    out = fitted(table)
    np.testing.assert_allclose(out[:, :2].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(out[:, :2].std(0), 1)
    assert (out[:, 2] == 0).all() and fitted(table + 1)[0, 2] == 1


def test_torchscript_feature(tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.mean((1, 2, 3)), torch.full((x.shape[0],), float(x.shape[1]))], 1)

    torch.jit.script(Mean()).save(str(tmp_path / "mean.pt"))
    stack = pictures(4, 40, 32)
    features = extract(stack, 12, torchscript_feature(tmp_path / "mean.pt", channels=3, white=255.0))
    np.testing.assert_allclose(features[:, 0], stack.mean((1, 2)) / 4095 * 255, rtol=1e-5)
    assert (features[:, 1] == 3).all()
    with pytest.raises(InputError, match="no file"):
        torchscript_feature(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a TorchScript"):
        torchscript_feature(tmp_path / "bad.pt")


def test_centered_images_do_not_depend_on_where_they_were() -> None:
    rng = np.random.default_rng(0)
    images = np.zeros((3, 30, 24), np.float32)
    images[:, 8:20, 7:15] = rng.random((3, 12, 8))
    expected = centered(images)
    np.testing.assert_array_equal(centered(np.roll(images, (5, -4), (1, 2))), expected)
    y, x = (np.tensordot(expected, np.indices((30, 24))[k], 2) / expected.sum((1, 2)) for k in (0, 1))
    assert np.abs(y - 14.5).max() <= 0.51 and np.abs(x - 11.5).max() <= 0.51
    np.testing.assert_array_equal(centered(images[:, ::-1, ::-1]), expected[:, ::-1, ::-1])
    np.testing.assert_array_equal(centered(np.ones((1, 5, 4))), np.ones((1, 5, 4)))


def test_features_of_mirror_images_are_mirrored_features() -> None:
    for h, w in ((80, 64), (83, 61), (20, 16)):
        images = pictures(2, h, w, smooth=3.0).astype(np.float32)
        flips = list(mirrored(pixel_size(h, w)[0])(pixel_features(images)))
        for variant, (rows, columns) in zip(flips, ((1, 1), (1, -1), (-1, 1), (-1, -1)), strict=True):
            theirs = pixel_features(images[:, ::rows, ::columns])
            if h % 2 == w % 2 == 0:
                np.testing.assert_allclose(variant, theirs, atol=1e-9)
            assert (variant * theirs).sum(1).min() > 0.9


def test_cells_that_hardly_vary_do_not_decide() -> None:
    rng = np.random.default_rng(3)
    real, other = (np.concatenate([breast(rng, "CC")[None] for _ in range(60)]) for _ in range(2))
    noise = rng.normal(0, 3e-4, real.shape)
    features = [gray_features(images.astype(np.float32)) for images in (real + abs(noise), other, real[:, :, ::-1])]
    floor, plain = standardizer(features[0], ALIKE), standardizer(features[0])
    lit = gray_features(np.maximum(other, 0.2).astype(np.float32))  # another modality: its background is gray
    kid = {name: kernel_distance(scale(features[0]), scale(lit)) for name, scale in (("floor", floor), ("no", plain))}
    assert 0 < kid["floor"] < 1e4 < 1e15 < kid["no"]
    # Images that differ by nothing but the noise of a black corner are alike.
    alike = [kernel_distance(scale(features[0]), scale(features[1])) for scale in (floor, plain)]
    assert abs(alike[0]) < 0.2 and alike[1] > 1000
    assert max(np.abs(floor(values)).max() for values in features[:3]) < 10
    # No column has most of the distance.
    squares = ((floor(lit) - floor(features[1])) ** 2).mean(0)
    assert squares.max() < 0.3 * squares.sum()
    spread = features[0][:, -80:].std(0)
    scale = (features[0] - features[0].mean(0))[:, -80:] / np.maximum(spread, np.sqrt((spread**2).mean()))
    np.testing.assert_allclose(floor(features[0])[:, -80:], scale)
