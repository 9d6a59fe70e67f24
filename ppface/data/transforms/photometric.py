"""Random brightness, contrast and saturation factors."""

import numpy as np

from ppface.core.registry import register
from ppface.data.transforms.color_distort import LUMA, after


@register("transform")
class Photometric:
    """With probability `p`, multiplies brightness, contrast and saturation by random factors, in random order.

    Source: AdaFace, Kim et al. 2022, https://arxiv.org/abs/2204.00964, section 4.1 "Training", whose published code uses torchvision's
    ColorJitter, https://pytorch.org/vision/stable/generated/torchvision.transforms.ColorJitter.html. With a factor f, the pixel x,
    its grey g(x) (ITU-R BT.601) and the mean grey m of the picture,

        brightness f x,   contrast f x + (1 - f) m,   saturation f x + (1 - f) g(x)

    all three linear in the pixel and the picture's mean colour, so they become one matrix that is applied once, clipped and rounded once.

    Args:
        brightness: the factor is drawn from 1 - brightness..1 + brightness, 0..1.
        contrast: likewise.
        saturation: likewise.
        p: probability of changing the picture, 0..1.

    Shape:
        sample -> sample; pixels change at rendering

    Raises:
        ValueError: an argument outside 0..1.
    """

    def __init__(self, brightness: float = 0.5, contrast: float = 0.5, saturation: float = 0.5, p: float = 0.2):
        self.strength = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in {**self.strength, "p": p}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"Photometric: expected {name} in 0..1, received {value}")
        self.p = p

    def __call__(self, sample: dict, rng: np.random.Generator) -> dict:
        if rng.random() >= self.p:
            return sample
        color = on_means(sample.get("_color"))
        for name in rng.permutation(list(self.strength)):
            color = changed(color, name, 1 + self.strength[name] * rng.uniform(-1, 1))
        sample["_color"] = color
        return sample


def on_means(color: np.ndarray | None) -> np.ndarray:
    """Converts a 3x4 matrix on (R, G, B, 1), or None, to a 3x7 one on (R, G, B, mean R, mean G, mean B, 1)."""
    color = np.eye(3, 4) if color is None else color
    return color if color.shape[1] == 7 else np.hstack([color[:, :3], np.zeros((3, 3)), color[:, 3:]])


def changed(color: np.ndarray, name: str, factor: float) -> np.ndarray:
    """The 3x7 matrix followed by one more change."""
    if name == "brightness":
        return factor * color
    if name == "saturation":
        return after(color, np.hstack([factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1)), np.zeros((3, 1))]))
    mean = np.hstack([np.zeros((3, 3)), color[:, :3] + color[:, 3:6], color[:, 6:]])  # the mean colour after the changes so far
    return factor * color + (1 - factor) * np.tile(LUMA @ mean, (3, 1))
