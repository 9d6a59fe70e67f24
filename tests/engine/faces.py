"""Pictures for test_resume.py, in a module that reading workers import at once, since it needs no paddle."""

import numpy as np

from ppface.data.pictures.picture import Picture

CLASSES = 11


class Faces:
    """Twenty pictures of 2x2 pixels, of eleven people: five batches of four an epoch."""

    labels = np.arange(20) % CLASSES

    def __init__(self):
        self.pixels = np.random.default_rng(7).integers(0, 256, (20, 2, 2, 3), dtype="uint8")

    def __len__(self):
        return len(self.pixels)

    def name(self, i):
        return f"face-{i}"

    def __getitem__(self, i):
        return {"picture": Picture.of(self.pixels[i], self.name(i)), "label": i % CLASSES}


class Shade:
    """Darkens a picture at random."""

    def __call__(self, sample, rng):
        pixels = (sample["picture"].decode() * rng.uniform(0.3, 1.0)).astype("uint8")
        return sample | {"picture": Picture.of(pixels, sample["picture"].name)}
