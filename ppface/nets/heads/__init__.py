"""Heads: map features to the raw outputs that losses and post-processing read."""

from ppface.nets.heads.ada_margin import AdaMargin
from ppface.nets.heads.arc_margin import ArcMargin
from ppface.nets.heads.combined_margin import CombinedMargin
from ppface.nets.heads.cos_margin import CosMargin
from ppface.nets.heads.dense_regression import DenseRegression
from ppface.nets.heads.face_head import FaceHead
from ppface.nets.heads.landmark_head import LandmarkHead
from ppface.nets.heads.norm_face import NormFace
from ppface.nets.heads.softmax import Softmax

__all__ = ["AdaMargin", "ArcMargin", "CombinedMargin", "CosMargin", "DenseRegression", "FaceHead", "LandmarkHead", "NormFace", "Softmax"]
