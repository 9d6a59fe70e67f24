"""Data sets, transforms and the loader: from files to uint8 batches, without paddle."""

from ppface.data.loader import Loader
from ppface.data.retinaface_labels import RetinaFaceLabels
from ppface.data.subset import Subset
from ppface.data.synthetic_faces import SyntheticFaces
from ppface.data.voc_faces import VocFaces
from ppface.data.wider_face import WiderFace

__all__ = ["Loader", "RetinaFaceLabels", "Subset", "SyntheticFaces", "VocFaces", "WiderFace"]
