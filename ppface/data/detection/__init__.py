"""Data sets of pictures with face boxes: WIDER FACE, RetinaFace labels, Pascal VOC."""
