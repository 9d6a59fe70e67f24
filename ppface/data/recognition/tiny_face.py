"""The gallery or the probes of TinyFace, by its MATLAB lists."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files import mat_file
from ppface.core.registry import register
from ppface.data.loading import label_files
from ppface.data.recognition.identities import Identities, renumber

ORIGIN = "TinyFace's Testing_Set"
KINDS = ("gallery", "probe")


@register("dataset")
class TinyFace(Identities):
    """Pictures of TinyFace, Cheng et al. 2018, https://arxiv.org/abs/1811.08965, that one of its official lists names.

    Args:
        list_file: `gallery_match_img_ID_pairs.mat` or `probe_img_ID_pairs.mat`.
        root: folder of their pictures, `Gallery_Match` or `Probe`, aligned to `size`.
        size: (height, width) that every picture must have.
        resize: stretch pictures of other sizes to it instead of refusing them.

    Shape:
        sample: picture, label (): 0..class_num-1

    Raises:
        DataError: no such list or folder, or a list of another layout; later a missing or broken picture, or one of another size.
    """

    def __init__(self, list_file: str, root: str, size: tuple[int, int] = (112, 112), resize: bool = False):
        super().__init__(size, resize)
        self.root = label_files.folder(Path(root), "TinyFace", f"expected the pictures that {list_file} names")
        kind = next((kind for kind in KINDS if Path(list_file).name.startswith(kind)), "gallery")
        files, ids = mat_file.read(Path(list_file), f"{kind}_set", f"{kind}_ids", origin=ORIGIN)
        try:
            self.files = [str(np.asarray(cell).item()) for cell in files.ravel()]
            people = [int(number) for number in ids.ravel()]
        except (TypeError, ValueError) as error:
            raise DataError(f"{list_file}: expected a name in each cell of {kind}_set and numbers in {kind}_ids ({error})") from None
        if len(people) != len(self.files):
            raise DataError(f"{list_file}: expected a number for each of {len(self.files)} pictures, received {len(people)}")
        kinds, self.labels = renumber(people, list_file)
        self.class_names, self.class_num = [str(person) for person in kinds], len(kinds)

    def name(self, index: int) -> str:
        return str(self.root / self.files[index])
