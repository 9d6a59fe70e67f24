"""Backbones: normalised pixels to feature maps."""

from ppface.nets.backbones.blazenet import BlazeNet

__all__ = ["BlazeNet"]
