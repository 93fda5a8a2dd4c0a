"""Convert weights of another implementation.

Of the public PyTorch ports of the progressively grown GAN, only pytorch_GAN_zoo (facebookresearch, b75dee4) computes a
function that ours can: the original's with scaling as a step of its own. pro_gan_pytorch leaves out the norm after the
first layer, and progressive-gan-pytorch normalizes before it activates and uses the standard deviation of the input.
"""

from __future__ import annotations

import math

from torch import Tensor

from mammogan.errors import RunError
from mammogan.gan.networks import Architecture

State = dict[str, Tensor]


def kernel_of_transposed(weight: Tensor) -> Tensor:
    """Return the kernel of a convolution from that of a transposed one: (in, out, kh, kw) -> (out, in, kh, kw).

    A transposed convolution adds its kernel around each pixel, while a convolution gathers: the same map needs the
    kernel flipped in both axes.
    """
    return weight.transpose(0, 1).flip(2, 3).contiguous()


def from_gan_zoo(generator: State, discriminator: State | None = None) -> tuple[Architecture, State, State | None]:
    """Convert state dictionaries of GAN zoo's GNet and DNet to an architecture and state dictionaries of ours.

    There, a layer multiplies its bias by the run-time scale too, every layer has the gain sqrt(2), the first layer has
    one bias per pixel, and the minibatch standard deviation divides by 3, not by 4, in groups of four neighbors, while
    the original's are strided: scores agree for minibatches of four. The result is not fused: convolution, activation,
    halving, in this order.

    Args:
        generator: `GNet(...).state_dict()`.
        discriminator: `DNet(...).state_dict()`, with the minibatch standard deviation; or None.

    Returns:
        the architecture; states for `Generator` and `Discriminator`, the latter None if none was given.

    Raises:
        RunError: the names or shapes are not those of GAN zoo, or the widths are not those of an `Architecture`.
    """
    try:
        levels = 1 + len({key.split(".")[1] for key in generator if key.startswith("scaleLayers.")})
        widths = [generator[f"toRGBLayers.{level}.module.weight"].shape[1] for level in range(levels)]
        channels = generator["toRGBLayers.0.module.weight"].shape[0]
        units, latent = generator["formatLayer.module.weight"].shape
    except (KeyError, IndexError, ValueError):
        raise RunError("These are not the weights of a GNet of pytorch_GAN_zoo; give its state_dict().") from None
    architecture = Architecture(
        base=(4, 4),
        levels=levels,
        channels=channels,
        latent=latent,
        fmap_max=widths[0],
        fmap_base=max(width * 2 ** (level + 1) for level, width in enumerate(widths)),
        fused=False,
        position_bias=True,
    )
    if units != 16 * widths[0] or [architecture.maps(level) for level in range(levels)] != widths:
        raise RunError(
            f"Widths of {widths} are not min(base / 2^(level + 1), max); such a network cannot be converted."
        )

    def layer(state: State, theirs: str, ours: str, gain: float = math.sqrt(2)) -> State:
        try:
            weight, bias = state[f"{theirs}.module.weight"], state[f"{theirs}.module.bias"]
        except KeyError:
            raise RunError(f"The weights lack {theirs}; give a whole state_dict() of pytorch_GAN_zoo.") from None
        scale = math.sqrt(2 / math.prod(weight.shape[1:]))
        return {f"{ours}.weight": weight * (math.sqrt(2) / gain), f"{ours}.bias": bias * scale}

    g = layer(generator, "formatLayer", "dense", gain=math.sqrt(2) / 4)
    g |= layer(generator, "groupScale0.0", "first")
    d: State = {}
    for level in range(levels):
        g |= layer(generator, f"toRGBLayers.{level}", f"to_image.{level}", gain=1)
        if level:
            g |= layer(generator, f"scaleLayers.{level - 1}.0", f"up.{level - 1}")
            g |= layer(generator, f"scaleLayers.{level - 1}.1", f"conv.{level - 1}")
    if discriminator is None:
        return architecture, g, None
    for level in range(levels):
        d |= layer(discriminator, f"fromRGBLayers.{level}", f"from_image.{level}")
        if level:
            d |= layer(discriminator, f"scaleLayers.{level - 1}.0", f"conv.{level - 1}")
            d |= layer(discriminator, f"scaleLayers.{level - 1}.1", f"down.{level - 1}")
    d |= layer(discriminator, "groupScaleZero.0", "last")
    if d["last.weight"].shape[1] != widths[0] + 1:
        raise RunError("This DNet has no minibatch standard deviation; convert its GNet alone.")
    d["last.weight"] = d["last.weight"].clone()
    d["last.weight"][:, -1] *= math.sqrt(4 / 3)
    d |= layer(discriminator, "groupScaleZero.1", "dense")
    d |= layer(discriminator, "decisionLayer", "score", gain=1)
    return architecture, g, d
