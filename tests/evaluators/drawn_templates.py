"""A small protocol in IJB's file layout: templates of drawn people, in pictures that have to be aligned by their points."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from ppface.data import SyntheticIdentities
from ppface.ops.align import template

SIZE = (32, 32)


@dataclass
class Drawn:
    """What the files say, as plain lists.

    Attributes:
        root: the folder.
        pictures: (N, H, W, 3) the drawn, still aligned pictures.
        points: of each picture as written.
        score: of each picture.
        templates: id of each picture's template.
        media: id of each picture's media.
        people: template -> person.
        pairs: (first, second, same).
        galleries: (ids, people) of two.
        probes: (ids, people).
    """

    root: Path
    pictures: list
    points: list
    score: list
    templates: list
    media: list
    people: dict
    pairs: list
    galleries: list
    probes: tuple


def draw(root: Path, name: str = "ijbc", people: int = 10, each: int = 4, images: int = 2, seed: int = 0) -> Drawn:
    """Writes a protocol of people * each templates with 1 to `images` pictures; the first template of a person is in a gallery."""
    rng = np.random.default_rng(seed)
    drawn = SyntheticIdentities(people, each * images, SIZE, seed=seed, difficulty=0.3)
    (root / "meta").mkdir(parents=True)
    (root / "loose_crop").mkdir()
    found = Drawn(root, [], [], [], [], [], {}, [], [], ())
    rows = []
    for person in range(people):
        for number in range(each):
            ident = 7 * (person * each + number) + 5
            found.people[ident] = person
            for k in range(1 + (person + number) % images):
                rows.append((ident, 100 + k // 2 if number % 2 else 100 + k, (person * each + number) * images + k))
    for at, i in enumerate(rng.permutation(len(rows))):
        ident, media, index = rows[i]
        pixels = drawn.read(index)[0].decode()
        turn = cv2.getRotationMatrix2D((16, 16), float(rng.uniform(-25, 25)), float(rng.uniform(1.1, 1.5)))
        turn[:, 2] += [14, 14]
        points = template(SIZE) @ turn[:, :2].T + turn[:, 2]
        cv2.imwrite(str(root / "loose_crop" / f"{at + 1}.png"), cv2.warpAffine(pixels, turn, (60, 64))[:, :, ::-1])
        found.pictures.append(pixels)
        found.points.append(points)
        found.score.append(round(float(rng.uniform(0.5, 1)), 6))
        found.templates.append(ident)
        found.media.append(media)
    ids = list(found.people)
    found.pairs = [(a, b, int(found.people[a] == found.people[b])) for a, b in combinations(ids, 2)]
    first = ids[::each]
    for gallery in (first[: people // 2], first[people // 2 : -2]):  # the last two people are in no gallery
        found.galleries.append((gallery, [found.people[ident] for ident in gallery]))
    rest = [ident for ident in ids if ident not in first]
    found.probes = (rest, [found.people[ident] for ident in rest])
    write(found, name)
    return found


def write(found: Drawn, name: str) -> None:
    """The lists of a protocol."""
    meta = found.root / "meta"
    files = [f"{at + 1}.png" for at in range(len(found.templates))]
    faces = [f"{file} {ident} {media}" for file, ident, media in zip(files, found.templates, found.media, strict=True)]
    points = [
        f"{file} {' '.join(f'{value:.9f}' for value in xy.ravel())} {score}"
        for file, xy, score in zip(files, found.points, found.score, strict=True)
    ]
    lists = {"face_tid_mid.txt": faces, "name_5pts_score.txt": points}
    lists["template_pair_label.txt"] = [f"{a} {b} {same}" for a, b, same in found.pairs]
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME"
    for label, (ids, people) in (("gallery_G1", found.galleries[0]), ("gallery_G2", found.galleries[1]), ("probe_mixed", found.probes)):
        rows = [f"{ident},{1000 + person},img/{ident}_{k}.jpg" for ident, person in zip(ids, people, strict=True) for k in range(2)]
        lists[f"1N_{label}.csv"] = [header, *rows]
    for label, lines in lists.items():
        (meta / f"{name}_{label}").write_text("\n".join(lines) + "\n")
