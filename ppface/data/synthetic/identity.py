"""The identity of a drawn person: all parameters that are the same in every picture of that person."""

from dataclasses import dataclass

import numpy as np

SKIN = np.array(
    [(250, 219, 197), (241, 203, 176), (229, 184, 152), (212, 163, 128)]  # light
    + [(190, 138, 102), (158, 109, 78), (122, 82, 58), (90, 60, 45)]  # dark
)
HAIR = np.array(
    [(28, 23, 22), (46, 33, 27), (74, 50, 36), (110, 75, 46)]  # black to brown
    + [(158, 118, 72), (205, 172, 118), (142, 64, 38), (150, 146, 142), (218, 214, 208)]  # blond, red, grey
)
IRIS = np.array([(52, 34, 24), (80, 52, 32), (112, 84, 48), (92, 112, 74), (84, 116, 140), (112, 128, 138)])  # brown, then green to grey
STYLES = ("bald", "cropped", "short", "swept", "fringe", "long", "bob", "bun", "curly")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
SIZES = {  # name -> (mean, standard deviation); drawn within two deviations
    "width": (1.0, 0.055),
    "cheek": (1.0, 0.045),
    "jaw": (1.0, 0.085),
    "chin": (1.0, 0.14),
    "forehead": (-0.60, 0.035),
    "eye_height": (0.0, 0.025),
    "eye_spacing": (0.295, 0.022),
    "eye_width": (0.148, 0.013),
    "eye_opening": (0.074, 0.012),
    "eye_slant": (0.012, 0.022),
    "brow_height": (0.20, 0.025),
    "brow_arch": (0.045, 0.020),
    "brow_slant": (0.0, 0.030),
    "brow_thickness": (0.034, 0.011),
    "nose_length": (0.40, 0.035),
    "nose_width": (0.135, 0.022),
    "nose_depth": (0.20, 0.035),
    "mouth_height": (0.625, 0.022),
    "mouth_width": (0.245, 0.026),
    "upper_lip": (0.045, 0.014),
    "lower_lip": (0.066, 0.017),
    "ear": (0.20, 0.022),
    "part": (0.0, 0.25),
}


@dataclass(frozen=True)
class Identity:
    """The parameters of one person. Lengths are in half head heights: crown at y = -1, eyes near 0, chin at +1.

    Skin, hair and beard are chosen from short lists, so that people differ mainly in their geometry.

    Args:
        width: factor of the whole head's width.
        cheek: factor of the width at the cheekbones.
        jaw: factor of the width at the corners of the jaw.
        chin: factor of the width at the chin.
        forehead: y of the hairline above the nose.
        eye_height: y of the eyes.
        eye_spacing: x of the left and right eye's centre from the middle.
        eye_width: half the width of one eye.
        eye_opening: half the height of one open eye.
        eye_slant: height of the outer corner above the centre.
        brow_height: height of the brow above the eye.
        brow_arch: height of the brow's middle above the line between its ends.
        brow_slant: height of the outer end above the inner one.
        brow_thickness: full thickness of the brow.
        nose_length: y of the nose's base.
        nose_width: x of the wings.
        nose_depth: distance of the tip from the face.
        mouth_height: y of the line between the lips.
        mouth_width: half the width of the mouth.
        upper_lip: thickness.
        lower_lip: thickness.
        ear: half the height of an ear.
        part: x of the parting and centre of the fringe.
        skin: RGB 0..255.
        hair: RGB 0..255.
        iris: RGB 0..255.
        lips: difference of the lips' colour from the skin's, 0..1.
        style: one of STYLES.
        beard: one of BEARDS.
        glasses: whether the person wears glasses.
        moles: (x, y, radius) of each mole or freckle.
    """

    width: float
    cheek: float
    jaw: float
    chin: float
    forehead: float
    eye_height: float
    eye_spacing: float
    eye_width: float
    eye_opening: float
    eye_slant: float
    brow_height: float
    brow_arch: float
    brow_slant: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    nose_depth: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    ear: float
    part: float
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    iris: tuple[int, int, int]
    lips: float
    style: str
    beard: str
    glasses: bool
    moles: tuple[tuple[float, float, float], ...]

    @classmethod
    def draw(cls, seed: int, number: int) -> "Identity":
        """The person with this number; depends only on (seed, number)."""
        rng = np.random.default_rng((seed, number, 1))
        mean, deviation = np.array(list(SIZES.values())).T
        sizes = mean + deviation * rng.standard_normal(len(SIZES)).clip(-2, 2)
        tone = rng.integers(len(SKIN))
        hairs = HAIR if tone < 4 else HAIR[[0, 0, 1, 2, 7]]
        iris = IRIS[rng.integers(len(IRIS) if tone < 4 else 2)]
        skin, hair, iris = _near(np.stack([SKIN[tone], hairs[rng.integers(len(hairs))], iris]), rng)
        beards = BEARDS if rng.random() < 0.4 else BEARDS[:1]
        return cls(
            **dict(zip(SIZES, sizes.tolist(), strict=True)),
            skin=skin,
            hair=hair,
            iris=iris,
            lips=float(rng.uniform(0.25, 0.8)),
            style=STYLES[rng.integers(len(STYLES))],
            beard=beards[rng.integers(len(beards))],
            glasses=bool(rng.random() < 0.12),
            moles=_moles(rng),
        )


def _near(colors: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Each colour with small random changes of lightness and hue."""
    near = colors * rng.uniform(0.94, 1.06, (len(colors), 1)) + rng.uniform(-4, 4, colors.shape)
    return list(map(tuple, near.clip(0, 255).astype(int).tolist()))


def _moles(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Up to three moles anywhere; one person in eight has freckles on nose and cheeks instead."""
    if rng.random() < 0.125:
        spots = np.column_stack([rng.uniform(-0.42, 0.42, 14), rng.uniform(0.12, 0.36, 14), rng.uniform(0.007, 0.012, 14)])
    else:
        count = rng.integers(4)
        spots = np.column_stack([rng.uniform(-0.5, 0.5, count), rng.uniform(-0.4, 0.85, count), rng.uniform(0.014, 0.024, count)])
    return tuple(map(tuple, spots.tolist()))
