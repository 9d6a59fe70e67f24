"""Draws faces into a picture, with line width and font size in proportion to it."""

import unicodedata

import cv2
import numpy as np

BOX, TEXT, POINT, EDGE = (0, 230, 118), (12, 32, 20), (255, 64, 96), (255, 255, 255)  # RGB
FONT = cv2.FONT_HERSHEY_SIMPLEX


FEW = 6  # landmarks that are drawn large, with an edge; more would hide the face


def draw(image: np.ndarray, faces: list, boxes: bool = True) -> np.ndarray:
    """(H, W, 3) uint8 RGB and its faces -> a copy with landmarks, boxes and names or scores, or landmarks alone; the best face on top."""
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(image.shape[:2]) / 320))
    for face in reversed(faces):
        x1, y1, x2, y2 = (round(value) for value in face.box)
        if boxes:
            cv2.rectangle(canvas, (x1, y1), (x2, y2), BOX, thickness)
            _label(canvas, _plain(getattr(face, "name", None)) or f"{face.score:.2f}", x1, y1, x2 - x1, thickness)
        if face.landmarks is not None:
            _points(canvas, face.landmarks, x2 - x1, thickness)
    return canvas


def _points(canvas: np.ndarray, landmarks: np.ndarray, width: int, thickness: int) -> None:
    few = len(landmarks) <= FEW
    radius = max(thickness + 1, round(width / 40)) if few else max(1, round(width / 120))
    for x, y in np.nan_to_num(landmarks).clip(-1e4, 1e4):
        at = round(float(x)), round(float(y))
        if few:
            cv2.circle(canvas, at, radius + 1, EDGE, -1, cv2.LINE_AA)
        cv2.circle(canvas, at, radius, POINT, -1, cv2.LINE_AA)


def _plain(name: str | None) -> str:
    """A name in the letters that OpenCV draws: accents are dropped, other letters become question marks."""
    letters = unicodedata.normalize("NFKD", name or "")
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).encode("ascii", "replace").decode()


def _label(canvas: np.ndarray, text: str, x: int, y: int, width: int, thickness: int) -> None:
    """The text above the box, or inside it at the edge of the picture; left out where the text would hide a small face."""
    height = max(8, round(min(6 * thickness + 6, width / 3)))  # of the text, pixels
    if width < 20:
        return
    scale = cv2.getFontScaleFromHeight(FONT, height)
    stroke = max(1, round(height / 10))
    (wide, high), below = cv2.getTextSize(text, FONT, scale, stroke)
    top = y - high - below - 2 if y - high - below - 2 >= 0 else y
    left = min(x, max(0, canvas.shape[1] - wide - 4))
    cv2.rectangle(canvas, (left, top), (left + wide + 4, top + high + below + 2), BOX, -1)
    cv2.putText(canvas, text, (left + 2, top + high + 1), FONT, scale, TEXT, stroke, cv2.LINE_AA)
