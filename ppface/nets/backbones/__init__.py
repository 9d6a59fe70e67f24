"""Backbones: map normalised pixels to feature maps, or to an embedding."""

from ppface.nets.backbones.adaface_ir import (
    AdaFace_IR_18,
    AdaFace_IR_34,
    AdaFace_IR_50,
    AdaFace_IR_101,
    AdaFace_IR_152,
    AdaFace_IR_200,
    AdaFace_IR_SE_50,
    AdaFace_IR_SE_101,
    AdaFace_IR_SE_152,
    AdaFace_IR_SE_200,
)
from ppface.nets.backbones.blazenet import BlazeNet
from ppface.nets.backbones.face_net_mobile_net import FaceNetMobileNet
from ppface.nets.backbones.face_vit import FaceViT
from ppface.nets.backbones.inception_resnet_v1 import InceptionResNetV1
from ppface.nets.backbones.insight_mobile_facenet import InsightMobileFaceNet
from ppface.nets.backbones.iresnet import IResNet
from ppface.nets.backbones.mobilefacenet import MobileFaceNet
from ppface.nets.backbones.mobilenet_v1 import MobileNetV1
from ppface.nets.backbones.pfld import PFLD
from ppface.nets.backbones.resnet import ResNet
from ppface.nets.backbones.slim_face_net import SlimFaceNet
from ppface.nets.backbones.varg_face_net import VarGFaceNet

__all__ = [
    "PFLD",
    "AdaFace_IR_18",
    "AdaFace_IR_34",
    "AdaFace_IR_50",
    "AdaFace_IR_101",
    "AdaFace_IR_152",
    "AdaFace_IR_200",
    "AdaFace_IR_SE_50",
    "AdaFace_IR_SE_101",
    "AdaFace_IR_SE_152",
    "AdaFace_IR_SE_200",
    "BlazeNet",
    "FaceNetMobileNet",
    "FaceViT",
    "IResNet",
    "InceptionResNetV1",
    "InsightMobileFaceNet",
    "MobileFaceNet",
    "MobileNetV1",
    "ResNet",
    "SlimFaceNet",
    "VarGFaceNet",
]
