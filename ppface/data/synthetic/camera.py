"""Camera effects on a finished picture: colour cast, contrast, blur, noise, greyscale, JPEG."""

import cv2
import numpy as np

LEVELS = np.arange(256, dtype=np.float32)[:, None]


def expose(image: np.ndarray, rng: np.random.Generator, difficulty: float) -> np.ndarray:
    """Simulates a camera; at difficulty 0 only colours vary slightly.

    Args:
        image: (height, width, 3) uint8 RGB.
        rng: source of all randomness.
        difficulty: 0..1, scales probability and strength of the effects.
    """
    image = _colors(image, rng, difficulty)
    short = min(image.shape[:2])
    if rng.random() < 0.6 * difficulty:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.3 + 1.4 * difficulty)) * max(1.0, short / 300))
    elif rng.random() < 0.3 * difficulty:
        image = _shake(image, rng, 1 + round(difficulty * short / 40))
    if rng.random() < 0.1:
        image = cv2.merge([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3)
    if difficulty > 0:
        grain = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        share = float(rng.uniform(0, 0.28 * difficulty))
        image = cv2.addWeighted(image, 1.0, grain, share, -127.5 * share)
    if rng.random() < 0.5 * difficulty:
        quality = int(rng.integers(round(90 - 65 * difficulty), 96))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return image


def _colors(image: np.ndarray, rng: np.random.Generator, difficulty: float) -> np.ndarray:
    cast = 1 + rng.uniform(-0.18, 0.18, 3) * (0.3 + difficulty)
    contrast, brightness = 1 + rng.uniform(-0.35, 0.2) * (0.2 + difficulty), rng.uniform(-35, 25) * difficulty
    table = ((LEVELS - 128) * contrast + 128 + brightness) * cast
    return cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None])


def _shake(image: np.ndarray, rng: np.random.Generator, length: int) -> np.ndarray:
    """Blurs along one direction, `length` pixels to each side of the middle."""
    kernel = np.zeros((2 * length + 1,) * 2, np.float32)
    turn = rng.uniform(0, np.pi)
    reach = np.array([np.cos(turn), np.sin(turn)]) * length
    ends = np.rint(np.array([length - reach, length + reach])).astype(int)
    cv2.line(kernel, tuple(ends[0].tolist()), tuple(ends[1].tolist()), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())
