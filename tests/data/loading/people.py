"""A data set of people for tests of samplers."""

import numpy as np

from ppface.data.pictures.picture import Picture


class People:
    """`counts[p]` pictures of person p, in a mixed order; a picture's pixels are its number."""

    def __init__(self, counts):
        self.labels = np.random.default_rng(9).permutation(np.repeat(np.arange(len(counts)), counts))

    def __len__(self):
        return len(self.labels)

    def name(self, i):
        return str(i)

    def __getitem__(self, i):
        return {"picture": Picture.of(np.full((1, 1, 3), i, np.uint8)), "label": self.labels[i]}
