"""Two classifiers of images, small and fully stated: a linear model on the project's features, and a network.

They measure what a set of images is worth as training data, not what a classifier could reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from mammogan.gan import augment
from mammogan.metrics.features import gray_features

COPIES = 4  # changed copies of each image, for the linear model; the network sees a new one each time
PENALTY = 0.1  # C of the logistic regression, on standardized features
MAPS = (8, 16, 32, 32)  # of the network's convolutions
STEPS, BATCH, RATE, DECAY = 300, 32, 3e-3, 1e-3
# Standard deviations of changes, apart from the angle: degrees at most, octaves, sides, full range.
ANGLE, SCALE, ASPECT, SHIFT, CONTRAST, BRIGHTNESS = 15.0, 0.1, 0.05, 0.04, 0.2, 0.05


@dataclass(frozen=True)
class Labeled:
    """Images with labels.

    Attributes:
        images: (n, h, w) float32 in [0, 1], chest wall at the left, sides of 16 pixels or more.
        labels: (n,) True where positive.
        patients: (n,) patient of each image.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def joined(self, other: Labeled) -> Labeled:
        """Return these images and then other ones."""
        pairs = ((self.images, other.images), (self.labels, other.labels), (self.patients, other.patients))
        return Labeled(*(np.concatenate(pair) for pair in pairs))

    @cached_property
    def features(self) -> np.ndarray:
        """`gray_features`, (n, d)."""
        return gray_features(self.images)

    @cached_property
    def changed(self) -> np.ndarray:
        """Features of `COPIES` changed copies of each image, (n, COPIES, d)."""
        random = torch.Generator().manual_seed(0)
        copies = [gray_features(change(self.images, random)) for _ in range(COPIES)]
        return np.stack(copies, 1)


@dataclass(frozen=True)
class TrainingSet:
    """Rows of real and of synthetic images to train on, and whether the real ones are augmented classically."""

    real: Labeled
    rows: np.ndarray
    synthetic: Labeled
    picks: np.ndarray
    classical: bool = False

    @property
    def labels(self) -> np.ndarray:
        """(n,) labels of the real and then the synthetic images."""
        return np.concatenate([self.real.labels[self.rows], self.synthetic.labels[self.picks]])


def change(images: np.ndarray, random: torch.Generator) -> np.ndarray:
    """Change images (n, h, w) in [0, 1] as classical augmentation does: turn, scale, shift, contrast and brightness."""
    noise = torch.randn(len(images), 7, generator=random)
    angle = math.radians(ANGLE) * (2 * torch.rand(len(images), generator=random) - 1)
    columns = [torch.ones(len(images)), angle, torch.exp2(SCALE * noise[:, 0]), torch.exp2(ASPECT * noise[:, 1])]
    columns += [SHIFT * noise[:, 2], SHIFT * noise[:, 3], torch.exp2(CONTRAST * noise[:, 4])]
    # `augment.apply` has black at -1, about which the contrast must not move it.
    columns.append(2 * BRIGHTNESS * noise[:, 5] + columns[6] - 1)
    moved = augment.apply(torch.from_numpy(images)[:, None] * 2 - 1, torch.stack(columns, 1))
    return ((moved[:, 0] + 1) / 2).clamp(0, 1).numpy()


def linear(train: TrainingSet, tested: Labeled, seed: int = 0) -> np.ndarray:
    """Train a logistic regression on standardized `gray_features`; return P of positive of tested images, (m,)."""
    features = np.concatenate([train.real.features[train.rows], train.synthetic.features[train.picks]])
    labels = train.labels
    if train.classical:
        changed = train.real.changed[train.rows]
        features = np.concatenate([features, changed.reshape(-1, changed.shape[-1])])
        labels = np.concatenate([labels, np.repeat(train.real.labels[train.rows], COPIES)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=2000, random_state=seed))
    return model.fit(features, labels).predict_proba(tested.features)[:, 1]


def new_network() -> nn.Module:
    """Return the network of `network`, untrained: images (n, 1, h, w) -> scores (n, 1)."""
    layers: list[nn.Module] = []
    for before, after in zip((1, *MAPS), MAPS, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(4, after), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(MAPS[-1], 1))


def network(train: TrainingSet, tested: Labeled, seed: int = 0, steps: int = STEPS) -> np.ndarray:
    """Train a convolutional network; return P of positive of tested images, (m,).

    Four times a convolution of 3 x 3, group normalization, ReLU and the mean of 2 x 2 pixels, with `MAPS` maps, then
    the mean over the image and a linear layer. Trained for `steps` minibatches of 32 images, drawn
    with replacement, by AdamW on the cross-entropy, whatever the number of images, so that every training costs the
    same.
    """
    images = np.concatenate([train.real.images[train.rows], train.synthetic.images[train.picks]])
    labels = torch.from_numpy(train.labels.astype(np.float32))
    mean, spread = float(images.mean()), float(images.std()) or 1.0
    random = torch.Generator().manual_seed(seed)

    def prepared(values: np.ndarray) -> Tensor:
        return (torch.from_numpy(values)[:, None] - mean) / spread

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_network()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    for _ in range(steps):
        rows = torch.randint(len(labels), (BATCH,), generator=random).numpy()
        batch = change(images[rows], random) if train.classical else images[rows]
        loss = F.binary_cross_entropy_with_logits(model(prepared(batch))[:, 0], labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers = [model(prepared(tested.images[k : k + 256]))[:, 0] for k in range(0, len(tested), 256)]
        return torch.sigmoid(torch.cat(answers)).double().numpy()


Classifier = Callable[[TrainingSet, Labeled, int], np.ndarray]
CLASSIFIERS: dict[str, Classifier] = {"linear": linear, "network": network}
