"""People and their embeddings in one file: stored, encrypted, searched, removed; see `ppface.Gallery`."""

from ppface.gallery.calibration import Calibration, calibrate
from ppface.gallery.gallery import Gallery
from ppface.gallery.identity import UNKNOWN, Match, ModelIdentity
from ppface.gallery.keys import new_key, read_key

__all__ = ["UNKNOWN", "Calibration", "Gallery", "Match", "ModelIdentity", "calibrate", "new_key", "read_key"]
