"""Heads: map features to the raw outputs that losses and post-processing read."""

from ppface.nets.heads.ada_margin import AdaMargin
from ppface.nets.heads.arc_margin import ArcMargin
from ppface.nets.heads.circle_margin import CircleMargin
from ppface.nets.heads.combined_margin import CombinedMargin
from ppface.nets.heads.cos_margin import CosMargin
from ppface.nets.heads.curricular_margin import CurricularMargin
from ppface.nets.heads.dense_regression import DenseRegression
from ppface.nets.heads.dynamic_class_pool import DynamicClassPool
from ppface.nets.heads.face_head import FaceHead
from ppface.nets.heads.landmark_head import LandmarkHead
from ppface.nets.heads.large_margin import LargeMargin
from ppface.nets.heads.mag_margin import MagMargin
from ppface.nets.heads.norm_face import NormFace
from ppface.nets.heads.softmax import Softmax
from ppface.nets.heads.sphere_margin import SphereMargin
from ppface.nets.heads.uncertainty_head import UncertaintyHead

__all__ = [
    "AdaMargin",
    "ArcMargin",
    "CircleMargin",
    "CombinedMargin",
    "CosMargin",
    "CurricularMargin",
    "DenseRegression",
    "DynamicClassPool",
    "FaceHead",
    "LandmarkHead",
    "LargeMargin",
    "MagMargin",
    "NormFace",
    "Softmax",
    "SphereMargin",
    "UncertaintyHead",
]
