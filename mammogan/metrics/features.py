"""Features of images, by which sets are compared: of any network, and some that need no download."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mammogan.errors import InputError
from mammogan.metrics.distances import blocks
from mammogan.metrics.moments import moments_of_counts
from mammogan.metrics.spectrum import image_spectra
from mammogan.metrics.validation import check_images
from mammogan.types import ImageStack, Size

Feature = Callable[[np.ndarray], np.ndarray]  # (b, h, w) float32 in [0, 1] -> (b, d)
COARSE = (10, 8)  # cells of the coarse picture
BANDS = 8
CELLS = COARSE[0] * COARSE[1]
ALIKE = (slice(5, -CELLS), slice(-CELLS, None))  # columns of `gray_features` of one unit: bands, cells


def extract(images: ImageStack, bits: int, feature: Feature, *, block: int = 4) -> np.ndarray:
    """Compute the features of every image of a set, (n, d), float64.

    Args:
        images, bits: (n, h, w), unsigned integers in 0 ... 2^bits - 1, read `block` images at a time.
        feature: function of images (b, h, w), float32 in [0, 1]; returns (b, d).

    Raises:
        InputError: the feature returns another shape, or a number that is not finite.
    """
    check_images(images)
    parts = []
    for batch in blocks(images, bits, block):
        values = np.asarray(feature(batch), np.float64)
        if values.ndim != 2 or len(values) != len(batch):
            raise InputError(f"The feature gave {values.shape} for {len(batch)} images; it must give (images, d).")
        if not np.isfinite(values).all():
            raise InputError("The feature gave a number that is not finite; look at the image or the network.")
        parts.append(values)
    return np.concatenate(parts)


def gray_features(images: np.ndarray) -> np.ndarray:
    """Return features of images (b, h, w) in [0, 1], with sides of 4 pixels or more: (b, 93).

    Five moments, the spectrum in 8 bands and a picture of 10 x 8 cells: no network, no download. These are not
    Inception's features: their FID is not comparable with that of another paper. Skewness and the higher moments enter
    by asinh, variance by its root and power by its logarithm, which tames their tails.
    """
    b, h, w = images.shape
    gray = np.rint(np.clip(images, 0, 1) * 4095).astype(np.int64)
    moments = moments_of_counts(np.stack([np.bincount(image.ravel(), minlength=4096) for image in gray]))
    moments[:, 1] = np.sqrt(moments[:, 1])
    moments[:, 2:] = np.arcsinh(moments[:, 2:])
    frequency, power = image_spectra(images)
    band = np.minimum((frequency * 2 * BANDS).astype(int), BANDS - 1)
    # One gray level of 12 bits is the floor: an image without any texture has a spectrum too.
    floor = 1 / 4095**2
    bands = np.stack([np.log(power[:, band == k].mean(1) + floor) for k in range(BANDS) if (band == k).any()], 1)
    rows, columns = (np.arange(count) * side // count for count, side in zip(COARSE, (h, w), strict=True))
    cells = np.add.reduceat(np.add.reduceat(images.astype(np.float64), rows, 1), columns, 2)
    sizes = np.diff([*rows, h])[:, None] * np.diff([*columns, w])[None, :]
    return np.concatenate([moments, bands, (cells / np.maximum(sizes, 1)).reshape(b, -1)], 1)


def pixel_size(h: int, w: int, longest: int = 40) -> tuple[Size, int]:
    """Return the size of `pixel_features` of images of h x w pixels, and the side of a cell; 1 where they stay."""
    step = -(-max(h, w) // longest)
    return (Size(h // step, w // step), step) if min(h, w) >= step else (Size(h, w), 1)


def pixel_features(images: np.ndarray, longest: int = 40) -> np.ndarray:
    """Return images (b, h, w) themselves, `longest` pixels long or less, with mean 0 and length 1: (b, d).

    Made to search for copies: brightness, contrast and noise, which a copy may have changed, are removed. A constant
    image is 0 throughout.
    """
    b, h, w = images.shape
    (rows, columns), step = pixel_size(h, w, longest)
    top, left = (h - rows * step) // 2, (w - columns * step) // 2  # in the middle, also of a mirror image
    small = images[:, top : top + rows * step, left : left + columns * step].astype(np.float64)
    small = small.reshape(b, rows, step, columns, step).mean((2, 4)).reshape(b, -1)
    small = small - small.mean(1, keepdims=True)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return np.divide(small, length, out=np.zeros_like(small), where=length > 1e-9)


def centered(images: np.ndarray) -> np.ndarray:
    """Return images (b, h, w) moved, across their edges, so that the center of their gray is in the middle.

    Gray counts from the darkest level of an image. A copy that was shifted comes to where its original is.
    """
    moved = np.empty_like(images)
    for number, image in enumerate(images):
        gray = image.astype(np.float64) - image.min()
        shift = []
        for axis, side in enumerate(image.shape):
            along = gray.sum(1 - axis)
            from_middle = np.arange(side) - (side - 1) / 2  # the shift of a mirror image is the opposite one
            shift.append(-round(float(along @ from_middle) / total) if (total := float(along.sum())) > 0 else 0)
        moved[number] = np.roll(image, shift, (0, 1))
    return moved


def mirrored(size: Size) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
    """Return a function that yields pictures (n, height * width) as they are and mirrored along each axis and both."""

    def variants(features: np.ndarray) -> Iterator[np.ndarray]:
        pictures = features.reshape(len(features), *size)
        for rows in (1, -1):
            for columns in (1, -1):
                yield pictures[:, ::rows, ::columns].reshape(len(features), -1)

    return variants


def standardizer(real: np.ndarray, alike: Sequence[slice] = ()) -> Callable[[np.ndarray], np.ndarray]:
    """Return the scaling of features by which columns of the real set, (n, d), have mean 0 and standard deviation 1.

    No unit decides which column counts. A column that never changes keeps its unit.

    Args:
        real: features of the real set.
        alike: columns of one unit each, as `ALIKE` of `gray_features`. The root mean square of their standard
            deviations is the least scale of each, a choice of this project: a corner that is black in all real images
            would otherwise count a thousand times, and be all that KID and FID see.
    """
    mean, scale = real.mean(0), real.std(0)
    for columns in alike:
        scale[columns] = np.maximum(scale[columns], np.sqrt(np.mean(scale[columns] ** 2)))
    scale = np.where(scale > 1e-12 * (1 + np.abs(mean)), scale, 1.0)
    return lambda features: (features - mean) / scale


def torchscript_feature(
    path: str | Path, *, channels: int = 1, white: float = 1.0, device: str = "cpu", **options: object
) -> Feature:
    """Load a TorchScript network as a feature; its output is flattened to (b, d).

    Args:
        path: file that `torch.jit.save` wrote. It is code: load only what you trust.
        channels: 1, or 3 for networks that expect color: the gray channel is repeated.
        white: value that the network expects for white: 1, or 255.
        device: "cpu", "cuda" and so on.
        options: further named arguments of the network, such as return_features=True.

    Raises:
        InputError: the file does not exist, or is not TorchScript.
    """
    import torch  # the other features do without it

    if not Path(path).is_file():
        raise InputError(f"There is no file {path}; give a network saved by torch.jit.save.")
    try:
        network = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError:
        raise InputError(f"{path} is not a TorchScript file; save the network with torch.jit.save.") from None

    def feature(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device)[:, None] * white
            return network(batch.expand(-1, channels, -1, -1), **options).flatten(1).double().cpu().numpy()

    return feature
