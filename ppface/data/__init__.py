"""Data sets, transforms and the loader: from files to uint8 batches, without paddle."""

from ppface.data.detection.retinaface_labels import RetinaFaceLabels
from ppface.data.detection.voc_faces import VocFaces
from ppface.data.detection.wider_face import WiderFace
from ppface.data.landmarks.landmark_list import LandmarkList
from ppface.data.landmarks.pts_landmarks import PtsLandmarks
from ppface.data.landmarks.wflw import WFLW
from ppface.data.loading.concat import Concat
from ppface.data.loading.easy_hard_batches import EasyHardBatches
from ppface.data.loading.identity_instance_batches import IdentityInstanceBatches
from ppface.data.loading.loader import Loader
from ppface.data.loading.offline_triplets import OfflineTriplets
from ppface.data.loading.samplers import IdentityBatches, Shuffled
from ppface.data.loading.subset import Subset
from ppface.data.recognition.easy_hard import EasyHard
from ppface.data.recognition.identity_folder import IdentityFolder
from ppface.data.recognition.identity_list import IdentityList
from ppface.data.recognition.identity_subset import IdentitySubset
from ppface.data.recognition.record_identities import RecordIdentities
from ppface.data.recognition.tiny_face import TinyFace
from ppface.data.synthetic.synthetic_faces import SyntheticFaces
from ppface.data.synthetic.synthetic_identities import SyntheticIdentities
from ppface.data.synthetic.synthetic_landmarks import SyntheticLandmarks

__all__ = [
    "WFLW",
    "Concat",
    "EasyHard",
    "EasyHardBatches",
    "IdentityBatches",
    "IdentityFolder",
    "IdentityInstanceBatches",
    "IdentityList",
    "IdentitySubset",
    "LandmarkList",
    "Loader",
    "OfflineTriplets",
    "PtsLandmarks",
    "RecordIdentities",
    "RetinaFaceLabels",
    "Shuffled",
    "Subset",
    "SyntheticFaces",
    "SyntheticIdentities",
    "SyntheticLandmarks",
    "TinyFace",
    "VocFaces",
    "WiderFace",
]
