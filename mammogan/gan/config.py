"""Every hyper-parameter of a run in one table, the presets of the profiles, and how text becomes a setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from mammogan.errors import RunError
from mammogan.gan.losses import LOSSES

CONDITIONS = {"view": ("CC", "MLO"), "density": ("A", "B", "C", "D")}
# What may change when a run is continued: what it computes stays, but for rounding.
CHANGEABLE = ("micro", "checkpoint_images", "sample_images")
PRECISIONS = ("float32", "tf32", "bfloat16", "bfloat16,tf32")


@dataclass(frozen=True)
class Config:
    """Every hyper-parameter of a run; the defaults are the original's (config.py, train.py, loss.py at 2504c3f).

    Attributes:
        levels: number of levels; 9 lead from 5 x 4 to 1280 x 1024. 0 takes all that the store has.
        latent: length of the latent vector.
        fmap_base, fmap_max: feature maps, see `Architecture`.
        fused: scale inside the convolutions.
        stable_images, fade_images: length of each phase, in images shown to D.
        total_images: length of the run, in images shown to D.
        batches: minibatch of each level; the last entry serves for levels beyond it.
        learning_rate: of both Adams at each level; the last entry serves for levels beyond it.
        adam_beta1, adam_beta2, adam_eps: of both Adams.
        ema: decay of the running average of G's weights, a minibatch.
        repeats: minibatches between two looks at the schedule.
        loss: "wgan-gp" as the original, or "r1".
        condition: facts that both networks are told, of `CONDITIONS`, separated by commas: "", "view", "view,density".
        augment: overfitting of D (r_v) that augmentation holds it at, for few images; 0 is off. Needs split "train".
        augment_images: images in which the probability of augmentation may rise from 0 to 1.
        micro: images that are computed at once where memory is short, a multiple of 4; the minibatch and its gradient
            stay what they are. 0 takes the whole minibatch.
        precision: "float32"; "tf32", a GPU may multiply factors of 10 bits after the point; "bfloat16" for all but the
            penalty; "bfloat16,tf32", for the penalty as "tf32".
        channels_last: memory layout of the maps.
        split: images of this split are trained on; "" for all.
        checkpoint_images: images between two checkpoints; 0 writes one only at the end of each phase.
        sample_images: images between two sheets of samples from fixed latents.
        seed: of weights, batches and latents.
    """

    levels: int = 0
    latent: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    fused: bool = True
    stable_images: int = 600_000
    fade_images: int = 600_000
    total_images: int = 12_000_000
    batches: tuple[int, ...] = (128, 128, 128, 64, 32, 16, 8, 4, 4)
    learning_rate: tuple[float, ...] = (0.001,) * 8 + (0.0015,)
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    adam_eps: float = 1e-8
    ema: float = 0.999
    repeats: int = 4
    loss: str = "wgan-gp"
    condition: str = ""
    augment: float = 0.0
    augment_images: int = 500_000
    micro: int = 0
    precision: str = "float32"
    channels_last: bool = False
    split: str = ""
    checkpoint_images: int = 100_000
    sample_images: int = 100_000
    seed: int = 0

    def changed(self, settings: dict[str, Any]) -> Config:
        """A copy with some values replaced; text is read as the type of the value that it replaces.

        Raises:
            RunError: an unknown name, or a value of another type.
        """
        types = get_type_hints(Config)
        for key, value in settings.items():
            if key not in types:
                known = ", ".join(field.name for field in fields(self))
                raise RunError(f"There is no setting {key!r}; the settings are {known}.")
            try:
                settings = {**settings, key: _parse(value, types[key])}
            except (TypeError, ValueError):
                raise RunError(f"The setting {key}={value!r} is not of type {types[key]}; correct it.") from None
        changed = replace(self, **settings)
        for key, choices in (("loss", LOSSES), ("precision", PRECISIONS)):
            if getattr(changed, key) not in choices:
                raise RunError(f"The setting {key} is {' or '.join(choices)}, not {getattr(changed, key)!r}.")
        if unknown := set(changed.conditions) - set(CONDITIONS):
            raise RunError(f"Images are conditioned on {' or '.join(CONDITIONS)}, not on {sorted(unknown)[0]!r}.")
        if changed.augment and changed.split != "train":
            raise RunError("Augmentation is steered by images that D never sees; set split=train.")
        return changed

    @property
    def conditions(self) -> tuple[str, ...]:
        """`condition` as names."""
        return tuple(name for name in self.condition.replace(",", " ").split())


def by_level(values: tuple[Any, ...], levels: int) -> tuple[Any, ...]:
    """A value each level, the last one for levels beyond."""
    return tuple(values[min(level, len(values) - 1)] for level in range(levels))


# What differs from the original's values in a profile; the paper's own are not known (its supplement is not at hand).
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    # Minutes on two cores: narrow maps, 40 x 32 pixels, a short schedule with a larger step to make up for it.
    "smoke": {
        "levels": 4,
        "latent": 64,
        "fmap_base": 512,
        "fmap_max": 32,
        "stable_images": 4000,
        "fade_images": 4000,
        "total_images": 32_000,
        "batches": (16,),
        "ema": 0.99,
        "learning_rate": (0.003,),
        "checkpoint_images": 4000,
        "sample_images": 0,
    },
}


def preset(name: str) -> Config:
    """The hyper-parameters of a profile.

    Raises:
        RunError: there is none of that name.
    """
    if name not in PRESETS:
        raise RunError(f"There is no training profile {name!r}; the profiles are {', '.join(PRESETS)}.")
    return Config().changed(PRESETS[name])


def _parse(value: Any, kind: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
    if kind in (int, float, str):
        if kind is int and isinstance(value, float):
            raise TypeError
        return kind(value)
    items = value.replace(",", " ").split() if isinstance(value, str) else value
    found = tuple(_parse(item, get_args(kind)[0]) for item in (items if isinstance(items, Iterable) else [items]))
    if not found:
        raise ValueError("empty")
    return found
