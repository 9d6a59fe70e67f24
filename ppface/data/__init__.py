"""Data sets, transforms and the loader: from files to uint8 batches, without paddle."""

from ppface.data.identity_folder import IdentityFolder
from ppface.data.identity_list import IdentityList
from ppface.data.identity_subset import IdentitySubset
from ppface.data.loader import Loader
from ppface.data.record_identities import RecordIdentities
from ppface.data.retinaface_labels import RetinaFaceLabels
from ppface.data.samplers import IdentityBatches, Shuffled
from ppface.data.subset import Subset
from ppface.data.synthetic_faces import SyntheticFaces
from ppface.data.synthetic_identities import SyntheticIdentities
from ppface.data.voc_faces import VocFaces
from ppface.data.wider_face import WiderFace

__all__ = [
    "IdentityBatches",
    "IdentityFolder",
    "IdentityList",
    "IdentitySubset",
    "Loader",
    "RecordIdentities",
    "RetinaFaceLabels",
    "Shuffled",
    "Subset",
    "SyntheticFaces",
    "SyntheticIdentities",
    "VocFaces",
    "WiderFace",
]
