"""Brightness, contrast, saturation and hue, as one matrix."""

import numpy as np

from ppface.core.registry import register

LUMA = np.array([0.299, 0.587, 0.114])  # weights of R, G, B in brightness, ITU-R BT.601
TO_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


@register("transform")
class ColorDistort:
    """Changes brightness, contrast, saturation and hue, each with probability `p`, in random order.

    Source: SSD's photometric distortions (Howard 2013, https://arxiv.org/abs/1312.5402), with hue as a rotation in the I-Q plane
    as in PaddleDetection's RandomDistort, so that all four are linear and one 3x4 matrix is applied to the pixels and clipped
    once. There, `prob` is the probability of *not* distorting, brightness adds 0.5 to 1.125 grey levels of 255, and the hue in degrees
    is multiplied by pi and used as radians, an arbitrary angle; here p is the probability of distorting, and units are as given below.

    Args:
        brightness: grey levels added, from..to, -255..255.
        contrast: factor of all channels, from..to, >= 0.
        saturation: factor of the distance from grey, from..to, >= 0.
        hue: rotation in degrees, from..to.
        p: probability of applying each of the four, 0..1.

    Shape:
        sample -> sample; pixels change at rendering

    Raises:
        ValueError: p outside 0..1, a range whose end lies before its beginning, or a negative factor.
    """

    def __init__(
        self,
        brightness: tuple[float, float] = (-32.0, 32.0),
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: tuple[float, float] = (-18.0, 18.0),
        p: float = 0.5,
    ):
        if not 0 <= p <= 1:
            raise ValueError(f"ColorDistort: expected p in 0..1, received {p}")
        self.ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, (low, high) in self.ranges.items():
            if low > high or (name in ("contrast", "saturation") and low < 0):
                raise ValueError(f"ColorDistort: expected {name} as [from, to] in order and not negative, received [{low}, {high}]")
        self.p = p

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        for name in rng.permutation(list(self.ranges)):
            applied, amount = rng.random() < self.p, rng.uniform(*self.ranges[name])
            if applied:
                sample["_color"] = after(sample.get("_color"), step(name, amount))
        return sample


def step(name: str, amount: float) -> np.ndarray:
    """One distortion as a 3x4 matrix on (R, G, B, 1)."""
    linear, added = np.eye(3), np.zeros((3, 1))
    if name == "brightness":
        added[:] = amount
    elif name == "contrast":
        linear *= amount
    elif name == "saturation":
        linear = amount * linear + (1 - amount) * np.tile(LUMA, (3, 1))
    else:
        cosine, sine = np.cos(np.radians(amount)), np.sin(np.radians(amount))
        linear = np.linalg.inv(TO_YIQ) @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ TO_YIQ
    return np.hstack([linear, added])


def after(first: np.ndarray | None, second: np.ndarray) -> np.ndarray:
    """The matrix of the 3x4 `second` applied after `first`, 3x4 or 3x7 (None: nothing before it)."""
    if first is None:
        return second
    both = second[:, :3] @ first
    both[:, -1:] += second[:, 3:]
    return both
