"""Transforms of training samples. Each changes boxes and landmarks at once; pixels are rendered once after all of them (render.py)."""

from ppface.data.transforms.color_distort import ColorDistort
from ppface.data.transforms.crop_pad import CropPad
from ppface.data.transforms.data_anchor_sampling import DataAnchorSampling
from ppface.data.transforms.expand import Expand
from ppface.data.transforms.flip import Flip
from ppface.data.transforms.landmark_crop import LandmarkCrop
from ppface.data.transforms.low_resolution import LowResolution
from ppface.data.transforms.on_hard import OnHard
from ppface.data.transforms.photometric import Photometric
from ppface.data.transforms.resize import Resize
from ppface.data.transforms.square_crop import SquareCrop
from ppface.data.transforms.ssd_crop import SsdCrop

__all__ = [
    "ColorDistort",
    "CropPad",
    "DataAnchorSampling",
    "Expand",
    "Flip",
    "LandmarkCrop",
    "LowResolution",
    "OnHard",
    "Photometric",
    "Resize",
    "SquareCrop",
    "SsdCrop",
]
