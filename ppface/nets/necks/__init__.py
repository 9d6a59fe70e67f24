"""Necks: map feature maps to feature maps."""

from ppface.nets.necks.blaze_neck import BlazeNeck
from ppface.nets.necks.fpn import FPN

__all__ = ["FPN", "BlazeNeck"]
