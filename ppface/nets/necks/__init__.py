"""Necks: map feature maps to feature maps."""

from ppface.nets.necks.blaze_neck import BlazeNeck

__all__ = ["BlazeNeck"]
