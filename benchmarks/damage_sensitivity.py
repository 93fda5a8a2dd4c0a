"""Sensitivity of each measure: real images, damaged in known ways, scored against other real images.

A measure that does not move when images are blurred says nothing about sharpness, however good its value. For each kind
of damage and each measure two numbers are estimated by drawing sets again and again from a larger one: the effect of
the damage on the measure, in standard deviations of chance, and the strength at which the damage is detected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
from scipy import stats
from scipy.ndimage import gaussian_filter

from mammogan.metrics.coverage import SCORE_GRID
from mammogan.metrics.density import Grid, density, jensen_shannon
from mammogan.metrics.distances import COARSEST, patches, sliced_wasserstein
from mammogan.metrics.features import ALIKE, Feature, extract, gray_features, pixel_features, standardizer
from mammogan.metrics.fidelity import frechet_distance, kernel_distance, manifold
from mammogan.metrics.information import mutual_information
from mammogan.metrics.memorization import nearest_training
from mammogan.metrics.moments import PAIRS, image_moments
from mammogan.metrics.spectrum import image_spectra, spectral_distance
from mammogan.metrics.ssim import ms_ssim
from mammogan.metrics.validation import check_at_least

ALPHA, POWER = 0.05, 0.80
Pair = tuple[np.ndarray, np.ndarray]  # rows of the reference set and of the other one


@dataclass(frozen=True)
class Damage:
    """A way to make a set of images worse.

    Attributes:
        name: name in words.
        unit: unit of the strength.
        nominal: strength of the table.
        most: largest possible strength.
        apply: (images (n, h, w) in [0, 1], strength, rng) -> images; None where the set is damaged instead.
        choose: (own rows, rows of the reference set, strength, rng) -> rows that make up the set; None for own rows.
    """

    name: str
    unit: str
    nominal: float
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray] | None = None
    choose: Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray] | None = None
    most: float = np.inf


def _soften(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    return gaussian_filter(images, (0, strength, strength)) if strength > 0 else images


def _gain(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    return images * (1 + strength / 100)


def _texture(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    smooth = gaussian_filter(images, (0, 2.0, 2.0))
    return smooth + (1 - strength / 100) * (images - smooth)


def _levels(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    # Strength counts the bits that are lost of 12; fractions are steps between them.
    top = 2 ** (12 - strength) - 1
    return np.rint(images * top) / top


def _shift(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    # A window with a higher center shows everything darker; air stays black.
    return images - strength / 100


def _vendor(images: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    # From a straight display curve toward the sigmoid of PS3.3 C.11.2.1.3.1, scaled to keep black and white.
    sigmoid = 1 / (1 + np.exp(-4 * (images - 0.5)))
    low, high = 1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(-2.0))
    return images + strength / 100 * ((sigmoid - low) / (high - low) - images)


def _jitter(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    # The same images with a gain of a few percent and a little noise, like a copy by a network.
    gain = 1 + rng.normal(0, 0.02, (len(images), 1, 1))
    return images * gain + rng.normal(0, 0.005, images.shape)


def _collapse(own: np.ndarray, _: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    # Strength is the share of the set that comes from 20 images only.
    few = rng.choice(own, min(20, len(own)), replace=False)
    return np.where(rng.random(len(own)) < strength / 100, rng.choice(few, len(own)), own)


def _copies(own: np.ndarray, reference: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    # Strength is the share of the set that is copied from the reference set.
    return np.where(
        rng.random(len(own)) < strength / 100, rng.choice(reference, len(own), len(reference) < len(own)), own
    )


DAMAGES = (
    Damage("blur", "px (sigma)", 0.5, apply=_soften),
    Damage("gain", "%", 5.0, apply=_gain),
    Damage("texture removed", "%", 20.0, apply=_texture),
    Damage("collapse to 20 images", "% of the set", 100.0, choose=_collapse, most=100.0),
    Damage("copies", "% of the set", 100.0, choose=_copies, most=100.0),
    Damage("near copies", "% of the set", 100.0, apply=_jitter, choose=_copies, most=100.0),
    Damage("bits lost of 12", "bits", 6.0, apply=_levels, most=11.0),
    Damage("window shifted", "% of range", 5.0, apply=_shift),
    Damage("another vendor's curve", "% of the way", 100.0, apply=_vendor, most=100.0),
)


@dataclass(frozen=True)
class Table:
    """Everything that the measures need of each image of a set, computed once; sets are drawn from it by rows.

    Attributes:
        moments: (n, 5).  features: (n, d), standardized.  spectra: (n, bins).
        fine, coarse: (n, patches, 49), first and last level of the pyramid.
        pixels: (n, p), for copies.  gray: (n, h, w), small, for structural similarity.
    """

    moments: np.ndarray
    features: np.ndarray
    spectra: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    pixels: np.ndarray
    gray: np.ndarray

    def __len__(self) -> int:
        return len(self.moments)

    def rows(self, index: np.ndarray) -> Table:
        """Return a set drawn from this one."""
        return Table(**{name: value[index] for name, value in vars(self).items()})

    def mixed(self, other: Table, take: np.ndarray) -> Table:
        """Return this set, with the images of `other` where `take`, (n,), is True."""

        def choose(own: np.ndarray, others: np.ndarray) -> np.ndarray:
            return np.where(take.reshape(-1, *[1] * (own.ndim - 1)), others, own)

        return Table(**{name: choose(value, vars(other)[name]) for name, value in vars(self).items()})


def describe(images: np.ndarray, standardize: Feature, *, count: int = 8, seed: int = 0) -> Table:
    """Compute everything that the measures need of each image.

    Args:
        images: (n, h, w), uint16 of 12 bits.
        standardize: `standardizer` of the features of undamaged images.
        count: patches per level of an image: fewer than the original's 128, since sets are drawn many times.
        seed: random seed of the patches' positions.
    """
    features = extract(images, 12, gray_features)
    levels = patches(images, 12, count=count, seed=seed)
    pixels = extract(images, 12, lambda x: pixel_features(x, 20))
    step = max(min(images.shape[1:]) // (2 * COARSEST), 1)
    h, w = (side // step * step for side in images.shape[1:])
    gray = images[:, :h, :w].reshape(len(images), h // step, step, w // step, step).mean((2, 4)) / 4095
    return Table(
        moments=image_moments(images, 12),
        features=standardize(features),
        spectra=image_spectra(images.astype(np.float32) / 4095)[1],
        fine=levels[0],
        coarse=levels[-1],
        pixels=pixels.astype(np.float32),
        gray=gray.astype(np.float32),
    )


def _similarity(b: Table) -> float:
    half = len(b) // 2
    pairs = min(half, 100)
    return float(ms_ssim(b.gray[:pairs], b.gray[half : half + pairs]).mean())


def _pairs(a: Table, b: Table) -> float:
    """Return the mean of 1 - sqrt(JSD) over the ten pairs of moments: the primary reading of Table 1."""
    scores = []
    for i, j in PAIRS:
        x, y = a.moments[:, [i, j]], b.moments[:, [i, j]]
        grid = Grid.resolving(x, y, count=SCORE_GRID)
        scores.append(1 - np.sqrt(jensen_shannon(density(x, grid), density(y, grid))))
    return float(np.mean(scores))


def _authentic(a: Table, b: Table) -> float:
    # Every reference image counts as a patient of its own here.
    return float(nearest_training(a.pixels, np.arange(len(a)), b.pixels).authentic.mean())


def scores(a: Table, b: Table) -> dict[str, float]:
    """Return every measure of a set b against the reference a, with fewer projections than in a report."""
    near = manifold(a.features, b.features)
    swd = {
        f"SWD {level}, {name} scale": distance
        for level, x, y in (("finest", a.fine, b.fine), ("coarsest", a.coarse, b.coarse))
        for name, distance in sliced_wasserstein(x, y, projections=32).items()
    }
    return {
        "moments, 1 - sqrt(JSD)": _pairs(a, b),
        "moments, information": float(
            np.mean([mutual_information(a.moments[:, k], b.moments[:, k]).information for k in range(5)])
        ),
        **swd,
        "spectrum, dB": spectral_distance(a.spectra, b.spectra),
        "MS-SSIM of pairs": _similarity(b),
        **vars(near),
        "KID": kernel_distance(a.features, b.features),
        "FID": frechet_distance(a.features, b.features),
        "authenticity": _authentic(a, b),
    }


def quantized(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as 12 bits."""
    return (np.clip(images, 0, 1) * 4095 + 0.5).astype(np.uint16)


def power_of(shifts: np.ndarray, sd: float) -> float:
    """Return the probability that a measure leaves the central 95 % of chance.

    Args:
        shifts: (draws,) differences of damaged sets from the mean of undamaged ones.
        sd: standard deviation by chance.
    """
    spread = max(float(np.std(shifts, ddof=1)), 1e-9 * sd)
    reach = stats.norm.ppf(1 - ALPHA / 2) * sd
    mean = float(np.mean(shifts))
    return float(stats.norm.sf((reach - mean) / spread) + stats.norm.cdf((-reach - mean) / spread))


def detectable(strengths: Sequence[float], power: Sequence[float], wanted: float = POWER) -> float:
    """Return the strength at which the power first reaches `wanted`, between the strengths tried; inf where none does.

    Args:
        strengths: strengths in ascending order, above 0.
        power: share of draws that were detected at each strength.
        wanted: power to reach.
    """
    below, share = 0.0, ALPHA
    for strength, reached in zip(strengths, power, strict=True):
        if reached >= wanted:
            return float(below + (strength - below) * (wanted - share) / (reached - share))
        below, share = strength, reached
    return float("inf")


def _damaged_scores(
    images: np.ndarray, whole: Table, damage: Damage, strength: float, pairs: Sequence[Pair], seed: int, scale: Feature
) -> list[dict[str, float]]:
    """Return the scores of the second set of each pair, damaged, against the first; other arguments as `sensitivity`.

    Args:
        whole: table of all images, undamaged.
        pairs: rows of the two sets of each draw.
        scale: `standardizer` of undamaged images.
    """
    number = crc32(damage.name.encode())  # the same chance whichever damages are tried
    table = whole
    if damage.apply:
        rng = np.random.default_rng([seed, number, int(1000 * strength)])
        blocks = (images[start : start + 64].astype(np.float32) / 4095 for start in range(0, len(images), 64))
        table = describe(np.concatenate([quantized(damage.apply(block, strength, rng)) for block in blocks]), scale)
    values = []
    for k, (a, b) in enumerate(pairs):
        first, second = whole.rows(a), table.rows(b)
        if damage.choose:
            chosen = damage.choose(b, a, strength, np.random.default_rng([seed, number, k]))
            # An image that was not replaced stays undamaged.
            second = whole.rows(b).mixed(table.rows(chosen), chosen != b)
        values.append(scores(first, second))
    return values


def sensitivity(
    images: np.ndarray,
    *,
    n: int = 1000,
    draws: int = 20,
    factors: Sequence[float] = (0.125, 0.25, 0.5, 1.0, 1.5),
    damages: Sequence[Damage] = DAMAGES,
    groups: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Compute the effect of each damage on each measure, and the strength that n + n images detect.

    Two disjoint sets of n images are drawn from the whole, by patient; one is the reference, the other is damaged.
    Undamaged, they give the distribution under chance. A measure detects a damage where it leaves the central 95 % of
    that distribution. Both distributions are taken as normal, with the means and deviations of the draws, so that few
    draws give a smooth power; between the strengths it is interpolated.

    Args:
        images: (N, h, w), unsigned 12 bits, N at least 2 n: the larger, the more independent are the draws.
        n: images per set.
        draws: pairs of sets per strength, three or more; twice as many without damage.
        factors: factors of the nominal strength, ascending, with 1; strengths above a damage's `most` are left out.
        damages: damages to try.
        groups: (N,) patients.
        seed: random seed of all draws.
        progress: called with each damage's name.

    Returns:
        one row per damage and measure: damage, unit, nominal, largest (strength tried), measure, undamaged, damaged
        (means at nominal strength), effect (difference over the standard deviation under chance), power (at nominal
        strength), detectable (strength at 80 % power; inf: not up to the largest tried), n, draws, seed.

    Raises:
        ParameterError: fewer than 2 n images.
    """
    check_at_least(f"The number of images for two sets of {n}", len(images), 2 * n)
    scale = standardizer(extract(images, 12, gray_features), ALIKE)
    whole = describe(images, scale)
    patients = np.arange(len(images)) if groups is None else np.unique(groups, return_inverse=True)[1]

    def draw(number: int) -> Pair:
        rng = np.random.default_rng([seed, number])
        order = np.argsort(rng.permutation(patients.max() + 1)[patients], kind="stable")
        # Images of a patient are neighbors in the order; the two sets are cut from its ends and never share a patient.
        return rng.permutation(order[:n]), rng.permutation(order[-n:])

    # Chance sets the threshold of every cell: twice as many draws.
    pairs = [draw(number) for number in range(2 * draws)]
    null = [scores(whole.rows(a), whole.rows(b)) for a, b in pairs]
    rows = []
    for damage in damages:
        if progress:
            progress(damage.name)
        strengths = [strength for factor in factors if (strength := damage.nominal * factor) <= damage.most]
        damaged = {s: _damaged_scores(images, whole, damage, s, pairs[:draws], seed, scale) for s in strengths}
        for name in null[0]:
            chance = np.array([value[name] for value in null])
            sd = max(float(np.std(chance, ddof=1)), 1e-12)
            # The same sets undamaged: what is left of the difference is the damage.
            center = float(np.mean(chance[:draws]))
            values = {strength: np.array([value[name] for value in each]) for strength, each in damaged.items()}
            power = [power_of(values[strength] - center, sd) for strength in strengths]
            mean = float(np.mean(values[damage.nominal]))
            rows.append(
                {
                    "damage": damage.name,
                    "unit": damage.unit,
                    "nominal": damage.nominal,
                    "largest": strengths[-1],
                    "measure": name,
                    "undamaged": center,
                    "damaged": mean,
                    "effect": (mean - center) / sd,
                    "power": power[strengths.index(damage.nominal)],
                    "detectable": detectable(strengths, power),
                    "n": n,
                    "draws": draws,
                    "seed": seed,
                }
            )
    return pd.DataFrame(rows)
