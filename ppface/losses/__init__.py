"""Losses: outputs and batch to named scalars."""

from ppface.losses.ce_loss import CELoss
from ppface.losses.center_loss import CenterLoss
from ppface.losses.ssd_loss import SSDLoss

__all__ = ["CELoss", "CenterLoss", "SSDLoss"]
