"""Hyper-parameters of the original, and settings that are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mammogan.errors import ParameterError
from mammogan.gan import losses, networks
from mammogan.gan.config import Config, preset
from mammogan.gan.networks import Architecture, Generator
from mammogan.gan.ops.activation import LEAK


def test_widths_and_sizes_of_the_original() -> None:
    full = Architecture()
    assert [full.maps(level) for level in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert full.size(8) == (1280, 1024)
    config = Config()
    assert (config.adam_beta1, config.adam_beta2, config.adam_eps, config.ema) == (0.0, 0.99, 1e-8, 0.999)
    assert config.batches == (128, 128, 128, 64, 32, 16, 8, 4, 4)
    assert (config.total_images, config.stable_images, config.fade_images) == (12_000_000, 600_000, 600_000)


NOTES = Path(__file__).resolve().parents[3] / "shared" / "pggan.md"


def test_hyper_parameters_are_the_originals() -> None:
    """Every value in the table of the original's hyper-parameters, read from the notes next to the checkout."""
    if not NOTES.is_file():
        pytest.skip("no notes on the original next to the checkout")
    rows = [line.split("|")[1:3] for line in NOTES.read_text().splitlines() if line.startswith("| ")]
    stated = {name.strip(): value.strip() for name, value in rows}
    c, a = Config(), Architecture()

    def numbers(row: str) -> list[float]:
        return [float(x) for x in re.findall(r"(?<![\w.])\d*\.?\d+(?:e-\d+)?", stated[row])]

    assert numbers("feature maps")[:3] == [a.fmap_base, 2, a.fmap_max]
    assert numbers("feature maps")[3:] == [a.maps(level) for level in range(a.levels)]
    assert numbers("latent")[0] == c.latent == a.latent
    assert "gain sqrt(2)/4" in stated["first layer"]
    tiny = Generator(Architecture(levels=2, fmap_max=4))
    assert tiny.dense.scale == pytest.approx(2**0.5 / 4 / 512**0.5)
    assert "gain sqrt(2); 1 for toRGB" in stated[next(name for name in stated if name.startswith("equali"))]
    assert tiny.first.scale == pytest.approx((2 / 36) ** 0.5)
    assert tiny.to_image[0].scale == pytest.approx(0.5)
    assert numbers("order")[-1] == LEAK
    assert numbers("minibatch stddev")[0] == networks.GROUP
    assert "fused" in stated["up and down"] and c.fused
    assert numbers("loss") == [losses.LAMBDA, losses.TARGET, losses.DRIFT]
    adam = re.match(r"Adam beta1 (\S+), beta2 (\S+), eps (\S+); lr (\S+)", stated["optimiser"])
    assert adam is not None
    assert [float(x) for x in adam.groups()] == [c.adam_beta1, c.adam_beta2, c.adam_eps, c.learning_rate[0]]
    assert numbers("critic steps")[-1] == c.repeats
    assert numbers("EMA of G")[0] == c.ema
    fade, stable, total = re.match(r"(\d+) thousand.* (\d+) thousand.* (\d+) million", stated["phases"]).groups()
    assert (c.fade_images, c.stable_images, c.total_images) == (
        int(fade) * 1000,
        int(stable) * 1000,
        int(total) * 10**6,
    )
    assert numbers("minibatch on one GPU") == list(c.batches)


def test_learning_rates_are_the_originals() -> None:
    # config.py:100 as well: "G_lrate_dict = {1024: 0.0015}", which the notes leave out.
    assert Config().learning_rate == (0.001,) * 8 + (0.0015,)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"speed": 1}, "There is no setting 'speed'; the settings are levels, first_level, latent"),
        ({"levels": "many"}, "levels='many' is not of type"),
        ({"levels": 3.5}, "levels=3.5 is not of type"),
        ({"fused": "maybe"}, "fused='maybe' is not of type"),
        (
            {"views": "pair", "condition": "density,view"},
            "draws both views from one latent vector; omit condition=view",
        ),
        ({"views": "both"}, "views must be single or pair, not 'both'"),
        ({"levels": -1}, "levels must be 0 or more, not -1"),
        ({"batches": ""}, "batches must be positive, not ()"),
        ({"batches": "8 0"}, "batches must be positive, not (8, 0)"),
        ({"total_images": 0}, "total_images must be positive, not 0"),
        ({"learning_rate": "nan"}, "learning_rate must be positive, not (nan,)"),
        ({"ema": 1}, "ema must be 0 or more and below 1, not 1.0"),
        ({"loss": "hinge"}, "loss must be wgan-gp or r1, not 'hinge'"),
        ({"precision": "float16"}, "precision must be float32 or"),
        ({"resampling": "cubic"}, "resampling must be nearest or bilinear, not 'cubic'"),
        ({"penalty_every": 0}, "penalty_every must be positive, not 0"),
        ({"condition": "age"}, "condition may name text in the manifest (id, "),
        ({"augment": 0.6}, "augment needs images that D never sees; add split=train"),
    ],
)
def test_settings_that_are_impossible_are_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ParameterError) as error:
        Config().changed(settings)
    assert sentence in str(error.value)


def test_presets_are_settings() -> None:
    smoke = preset("smoke")
    assert (smoke.levels, smoke.batches, smoke.learning_rate, smoke.total_images) == (4, (16,), (0.003,), 32_000)
    assert preset("paper") == Config()
    large = preset("paper-2560").at_levels(10)
    assert large.architecture((5, 4)).size(9) == (2560, 2048)
    # The last level is trained as long, and in minibatches as small, as the paper's.
    paper = Config().at_levels(9)
    assert large.schedule.images_by_level[-1] == paper.schedule.images_by_level[-1] == 3_000_000
    assert (large.batches[-1], large.learning_rate[-1]) == (4, 0.0015)
    with pytest.raises(ParameterError, match="no training profile 'nope'; the profiles are paper, paper-2560, smoke"):
        preset("nope")


def test_average_by_images_does_not_depend_on_the_minibatch() -> None:
    config = Config(average_images=1000)
    assert config.decay_of_average(8) ** 4 == pytest.approx(config.decay_of_average(32))
    assert config.decay_of_average(1000) == 0.5
    assert Config().decay_of_average(8) == 0.999


def test_values_of_levels_are_extended_and_stored() -> None:
    config = Config(batches=(8, 4), learning_rate=(0.1,)).at_levels(4)
    assert (config.levels, config.batches, config.learning_rate) == (4, (8, 4, 4, 4), (0.1,) * 4)
    assert Config(batches=(8, 4)).at_levels(1).batches == (8,)
    assert Config().changed(json.loads(json.dumps(config.to_dict()))) == config
