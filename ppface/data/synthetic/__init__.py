"""Synthetic faces, drawn by NumPy and OpenCV without files or downloads, with complete annotations.

`identity` holds the parameters of a person, `variation` those of a picture (pose, light, expression); `head` draws a head, `portrait` a
person, `scene` a whole picture.
"""
