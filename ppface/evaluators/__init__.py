"""Evaluation of models: all components of the kinds "evaluator" and "augmented_test", one per line."""

from ppface.evaluators.face_ap import FaceAP
from ppface.evaluators.identification import Identification
from ppface.evaluators.landmark_nme import LandmarkNME
from ppface.evaluators.landmarks import Landmarks
from ppface.evaluators.multi_scale import MultiScale
from ppface.evaluators.template_verification import TemplateVerification
from ppface.evaluators.verification import Verification
from ppface.evaluators.wider_face_ap import WiderFaceAP

__all__ = ["FaceAP", "Identification", "LandmarkNME", "Landmarks", "MultiScale", "TemplateVerification", "Verification", "WiderFaceAP"]
