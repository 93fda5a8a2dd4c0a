"""Every hyper-parameter of a run in one table, the presets of the profiles, and the conversion of text to settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args, get_type_hints
from urllib.parse import quote, unquote

from mammogan.data.manifest import TRAITS
from mammogan.errors import ParameterError
from mammogan.gan.losses import LOSSES
from mammogan.gan.networks import RESAMPLINGS, Architecture
from mammogan.gan.schedule import Schedule

CONDITIONS = {"view": ("CC", "MLO"), "density": ("A", "B", "C", "D")}
MOST_VALUES = 16  # of another column that conditions the networks
VIEWS = {"single": 1, "pair": 2}  # images that G draws from one latent vector
# Settings that may differ when a run is continued. The first five change what it computes by no more than rounding.
CHANGEABLE = (
    *("micro", "checkpoint_images", "checkpoint_minutes", "sample_images", "precision"),
    *("learning_rate", "edge_levels", "total_images"),  # the last of these may only grow
)
PRECISIONS = ("float32", "tf32", "bfloat16", "bfloat16,tf32")
RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "latent fmap_base fmap_max stable_images fade_images total_images batches learning_rate adam_eps repeats "
    "augment_images penalty_every": ("positive", lambda value: value > 0),
    "levels first_level edge_levels micro checkpoint_images checkpoint_minutes sample_images average_images "
    "decay_images seed": (
        "0 or more",
        lambda value: value >= 0,
    ),
    "adam_beta1 adam_beta2 ema": ("0 or more and below 1", lambda value: 0 <= value < 1),
}


@dataclass(frozen=True)
class Config:
    """Every hyper-parameter of a run; the defaults are the original's (config.py, train.py, loss.py at 2504c3f).

    ParameterError if one is out of its range.

    Attributes:
        levels: number of levels; 9 grow from 5 x 4 to 1280 x 1024. 0 means all levels of the store.
        first_level: level at which the run begins; above 0 the networks had better start from those of another run.
        latent: length of the latent vector.
        fmap_base, fmap_max: feature maps, see `Architecture`.
        fused: scale inside the convolutions.
        resampling: filters that double and halve images and maps: "nearest" (and the mean of 2 x 2 pixels) as in the
            original, or "bilinear" (and [1 3 3 1] / 8), against lattices.
        edge_levels: last levels at which G's convolutions see the pixels of the edge again beyond it and not zeros,
            against lit rows and columns at the edge. At small levels zeros tell G where it is.
        noise: give G noise at every layer, with a learned strength per map, for texture that no latent vector states.
        clip: clip the images that G shows to D to the range of real ones, so that its black can be exact.
        dequantize: add noise of one gray level to real images, so that D cannot tell them by their grid of gray levels.
        stable_images, fade_images: length of each phase, in images shown to D.
        total_images: length of the run, in images shown to D.
        batches: minibatch of each level; the last entry applies to all levels after it.
        learning_rate: learning rate of both Adams at each level; the last entry applies to all levels after it.
        adam_beta1, adam_beta2, adam_eps: parameters of both Adams.
        ema: decay of the running average of G's weights, per minibatch.
        average_images: half-life of that average in images instead, the same for every minibatch; 0 applies `ema`.
        decay_images: images over which the learning rate falls linearly to 0 at the end of the run; 0 keeps it.
        repeats: minibatches between two updates of the schedule.
        loss: "wgan-gp" as in the original, or "r1".
        penalty_every: minibatches per penalty of D's gradient, which is weighted by their number (lazy regularization).
        views: "single", or "pair": G draws CC and MLO of one breast, in this order, from one latent vector.
        condition: facts that both networks receive, separated by commas: "", "view", "view,finding". Of a column of the
            manifest that is not one of `CONDITIONS` the run keeps the values too: "view,finding=lesion|none".
        augment: overfitting of D (r_v) at which augmentation holds it, for few images; 0 is off. Needs split "train".
        augment_images: images in which the probability of augmentation may rise from 0 to 1.
        micro: images that are computed at once if memory is short, a multiple of 4; the minibatch and its gradient
            do not change. 0 means the whole minibatch.
        precision: "float32"; "tf32", a GPU may multiply factors of 10 bits after the point; "bfloat16" for all but the
            penalty; "bfloat16,tf32", for the penalty as "tf32".
        channels_last: memory layout of the maps.
        split: split of the store whose images are trained on; "" for all.
        checkpoint_images: images between two checkpoints; 0 writes one only at the end of each phase.
        checkpoint_minutes: minutes between two checkpoints, which are written in addition; 0 is off.
        sample_images: images between two sheets of samples from fixed latents.
        seed: random seed of weights, batches and latents.
    """

    levels: int = 0
    first_level: int = 0
    latent: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    fused: bool = True
    resampling: str = "nearest"
    edge_levels: int = 0
    noise: bool = False
    clip: bool = False
    dequantize: bool = False
    stable_images: int = 600_000
    fade_images: int = 600_000
    total_images: int = 12_000_000
    batches: tuple[int, ...] = (128, 128, 128, 64, 32, 16, 8, 4, 4)
    learning_rate: tuple[float, ...] = (0.001,) * 8 + (0.0015,)
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_eps: float = 1e-8
    ema: float = 0.999
    average_images: int = 0
    decay_images: int = 0
    repeats: int = 4
    loss: str = "wgan-gp"
    penalty_every: int = 1
    views: str = "single"
    condition: str = ""
    augment: float = 0.0
    augment_images: int = 500_000
    micro: int = 0
    precision: str = "float32"
    channels_last: bool = False
    split: str = ""
    checkpoint_images: int = 100_000
    checkpoint_minutes: float = 15.0
    sample_images: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        for names, (meaning, is_valid) in RANGES.items():
            for name in names.split():
                value = getattr(self, name)
                if value == () or not all(map(is_valid, value if isinstance(value, tuple) else (value,))):
                    raise ParameterError(f"The setting {name} must be {meaning}, not {value}.")
        choices_of = {"loss": LOSSES, "precision": PRECISIONS, "resampling": tuple(RESAMPLINGS), "views": tuple(VIEWS)}
        for name, choices in choices_of.items():
            if getattr(self, name) not in choices:
                raise ParameterError(f"The setting {name} must be {' or '.join(choices)}, not {getattr(self, name)!r}.")
        if unknown := [name for name in self.conditions if name not in TRAITS]:
            names = ", ".join(TRAITS)
            raise ParameterError(f"The setting condition may name text in the manifest ({names}), not {unknown[0]!r}.")
        if self.views == "pair" and "view" in self.conditions:
            raise ParameterError("The setting views=pair draws both views from one latent vector; omit condition=view.")
        if self.augment and self.split != "train":
            raise ParameterError("The setting augment needs images that D never sees; add split=train.")

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """`condition` as {name: values}, no values where `record.fitted` has still to find them in a store."""
        stated = (item.partition("=") for item in self.condition.replace(",", " ").split())
        return {
            name: tuple(map(unquote, values.split("|"))) if values else CONDITIONS.get(name, ())
            for name, _, values in stated
        }

    def conditioned(self, conditions: Mapping[str, tuple[str, ...]]) -> Config:
        """Return a copy that states the values of its conditions; those of `CONDITIONS` are known."""
        if set(conditions) <= set(CONDITIONS):
            return self
        items = (
            name if name in CONDITIONS else f"{name}={'|'.join(quote(value, safe='') for value in values)}"
            for name, values in conditions.items()
        )
        return replace(self, condition=",".join(items))

    def architecture(self, base: tuple[int, int]) -> Architecture:
        """Return the shape of the networks over a base grid."""
        names = ("levels", "latent", "fmap_base", "fmap_max", "fused", "resampling", "edge_levels", "noise")
        values = {name: getattr(self, name) for name in names}
        labels = sum(map(len, self.conditions.values()))
        return Architecture(base=base, channels=VIEWS[self.views], labels=labels, **values)

    def decay_of_average(self, batch: int) -> float:
        """Return how much the average of G's weights keeps per minibatch of so many images."""
        return 0.5 ** (batch / self.average_images) if self.average_images else self.ema

    def learning_rate_at(self, images: int, level: int) -> float:
        """Return the learning rate of a level after so many images."""
        left = (self.total_images - images) / self.decay_images if self.decay_images else 1.0
        return self.learning_rate[level] * min(max(left, 0.0), 1.0)

    @property
    def schedule(self) -> Schedule:
        """Schedule of the run; only after `at_levels`."""
        lengths = self.stable_images, self.fade_images, self.total_images
        return Schedule(self.levels, *lengths, self.batches, self.first_level)

    def at_levels(self, levels: int) -> Config:
        """Return a copy for so many levels, with a minibatch and a learning rate of each."""
        batches, rates = ((*values, *values[-1:] * levels)[:levels] for values in (self.batches, self.learning_rate))
        return replace(self, levels=levels, batches=batches, learning_rate=rates)

    def to_dict(self) -> dict[str, object]:
        """Return a form that JSON can store and `changed` reads."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def changed(self, settings: Mapping[str, object]) -> Config:
        """Return a copy with some values replaced; text is converted to the type of the value that it replaces.

        Raises:
            ParameterError: an unknown name, a value of another type, or one out of its range.
        """
        types = get_type_hints(Config)
        values: dict[str, Any] = {}
        for key, value in settings.items():
            if key not in types:
                raise ParameterError(f"There is no setting {key!r}; the settings are {', '.join(types)}.")
            try:
                values[key] = _parse(value, types[key])
            except (TypeError, ValueError, KeyError):
                raise ParameterError(f"The setting {key}={value!r} is not of type {types[key]}; correct it.") from None
        return replace(self, **values)


# Differences from the original's values in a profile; the paper's own are unknown (its supplement is not available).
PRESETS = {
    "paper": "",
    # One level more, as the paper's discussion proposes; that level is trained as long as the paper's last one.
    "paper-2560": "levels=10 total_images=13200000",
    # Minutes on two cores: narrow maps, 40 x 32 pixels, a short schedule with larger steps to make up for it.
    "smoke": "levels=4 latent=64 fmap_base=512 fmap_max=32 stable_images=4000 fade_images=4000 total_images=32000 "
    "batches=16 ema=0.99 learning_rate=0.003 checkpoint_images=4000 sample_images=0",
}


def preset(name: str) -> Config:
    """Return the hyper-parameters of a profile; ParameterError if there is none of that name."""
    if name not in PRESETS:
        raise ParameterError(f"There is no training profile {name!r}; the profiles are {', '.join(PRESETS)}.")
    return Config().changed(pairs(PRESETS[name]))


def pairs(text: str) -> dict[str, str]:
    """Return settings that are written as NAME=VALUE, separated by blanks; ParameterError for any other text."""
    split = [pair.partition("=") for pair in text.split()]
    if wrong := [name for name, sign, _ in split if not sign]:
        raise ParameterError(f"Settings are written as NAME=VALUE, separated by blanks, not {wrong[0]!r}.")
    return {name: value for name, _, value in split}


def _parse(value: object, kind: object) -> object:
    """Return a value as `kind`; TypeError, ValueError or KeyError if that is impossible."""
    if kind is bool:
        return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
    if isinstance(kind, type):
        if kind is int and isinstance(value, float):
            raise TypeError
        return kind(value)
    items = value.replace(",", " ").split() if isinstance(value, str) else value
    items = items if isinstance(items, Iterable) else [items]
    return tuple(_parse(item, get_args(kind)[0]) for item in items)
