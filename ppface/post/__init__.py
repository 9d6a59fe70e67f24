"""Post-processing: from raw outputs to faces."""

from ppface.post.blend import Blend
from ppface.post.face_post import FacePost
from ppface.post.nms import NMS

__all__ = ["NMS", "Blend", "FacePost"]
