"""Drawn people, and a pipeline that finds and knows them by the colour of their heads: fast and exact, for tests of the service's page."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ppface.predict.face import Face

COLOURS = {"Ann": (236, 130, 96), "Bo": (96, 150, 236), "Cy": (110, 200, 110), "Di": (200, 110, 210)}
POINTS = np.array([[0.32, 0.42], [0.68, 0.42], [0.5, 0.58], [0.36, 0.74], [0.64, 0.74]])  # of a box: eyes, nose, corners of the mouth


def picture(people: dict[str, tuple[int, int, int]], size: tuple[int, int] = (480, 320)) -> Image.Image:
    """Heads of people on grey: name -> left, top and width of the head, which is 1.25 times as high."""
    scale = 4  # drawn larger and reduced, for smooth edges
    canvas = Image.new("RGB", (size[0] * scale, size[1] * scale), (226, 228, 230))
    draw = ImageDraw.Draw(canvas)
    for name, place in people.items():
        x, y, w = (value * scale for value in place)
        h = 1.25 * w
        draw.rectangle((x - 0.15 * w, y + 1.02 * h, x + 1.15 * w, canvas.height), fill=(96, 100, 108))
        draw.ellipse((x - 0.08 * w, y - 0.08 * h, x + 1.08 * w, y + 0.8 * h), fill=(66, 56, 54))
        draw.ellipse((x, y, x + w, y + h), fill=COLOURS[name])
        for px, py in POINTS[:2]:
            draw.ellipse((x + (px - 0.07) * w, y + (py - 0.05) * h, x + (px + 0.07) * w, y + (py + 0.05) * h), fill=(250, 250, 250))
            draw.ellipse((x + (px - 0.03) * w, y + (py - 0.025) * h, x + (px + 0.03) * w, y + (py + 0.025) * h), fill=(30, 30, 30))
        draw.arc((x + 0.34 * w, y + 0.55 * h, x + 0.66 * w, y + 0.78 * h), 10, 170, fill=(60, 40, 40), width=max(4, int(0.03 * w)))
    return canvas.reduce(scale)


def jpeg(image: Image.Image, orientation: int | None = None) -> bytes:
    """Its file; with an orientation, the pixels are turned so that readers who obey it see the picture upright."""
    stream, exif = io.BytesIO(), Image.Exif()
    if orientation:
        back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
        image, exif[0x0112] = image.transpose(back), orientation
    image.save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def pipeline(pictures: Sequence[np.ndarray]) -> list[list[Face]]:
    """(H, W, 3) uint8 RGB each -> its faces from top to bottom; embeddings are colours, so that one person's have a cosine of nearly 1."""
    return [_faces(pixels) for pixels in pictures]


def _faces(pixels: np.ndarray) -> list[Face]:
    coloured = np.ptp(pixels.astype(int), axis=2) > 50
    _, labels, stats, _ = cv2.connectedComponentsWithStats(coloured.astype(np.uint8))
    found = []
    for label, (x, y, w, h, area) in enumerate(stats[1:], 1):
        if area > 60 and 0.4 < w / h < 1.6:
            colour = np.median(pixels[labels == label], axis=0) - 150.0
            embedding = np.array([*colour, 30.0, 0.0, 0.0], np.float32)
            box = (float(x), float(y), float(x + w), float(y + h))
            found.append(Face(box, 0.97, POINTS * (w, h) + (x, y), embedding, quality=float(np.linalg.norm(embedding))))
    return found
