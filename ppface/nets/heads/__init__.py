"""Heads: feature maps to the raw outputs that losses and post-processing read."""

from ppface.nets.heads.face_head import FaceHead

__all__ = ["FaceHead"]
