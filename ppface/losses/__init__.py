"""Losses: outputs and batch to named scalars."""

from ppface.losses.ssd_loss import SSDLoss

__all__ = ["SSDLoss"]
