"""Losses: outputs and batch to named scalars."""

from ppface.losses.angular_distillation import AngularDistillation
from ppface.losses.aofd_loss import AOFDLoss
from ppface.losses.ce_loss import CELoss
from ppface.losses.center_loss import CenterLoss
from ppface.losses.circle_loss import CircleLoss
from ppface.losses.class_pool_loss import ClassPoolLoss
from ppface.losses.distribution_distillation import DistributionDistillation
from ppface.losses.landmark_loss import PFLDLoss, WingLoss
from ppface.losses.magnitude_loss import MagnitudeLoss
from ppface.losses.mesh_loss import MeshLoss
from ppface.losses.mls_loss import MLSLoss
from ppface.losses.ssd_loss import SSDLoss
from ppface.losses.triplet_loss import TripletLoss

__all__ = [
    "AOFDLoss",
    "AngularDistillation",
    "CELoss",
    "CenterLoss",
    "CircleLoss",
    "ClassPoolLoss",
    "DistributionDistillation",
    "MLSLoss",
    "MagnitudeLoss",
    "MeshLoss",
    "PFLDLoss",
    "SSDLoss",
    "TripletLoss",
    "WingLoss",
]
