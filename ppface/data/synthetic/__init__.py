"""Faces drawn from numbers, with NumPy and OpenCV alone: no files, no downloads, everything about them known.

`identity` says who is drawn, `mood` how (pose, light, expression), `head` draws one head, `portrait` one person, `scene` a whole picture.
"""
