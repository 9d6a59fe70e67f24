"""The actions of `ppface gallery` and their options."""

import argparse
import math

from ppface.core.run import cli


def number(text: str) -> float:
    """An option's number, which must be finite: every comparison with NaN is false."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _add_model(made: argparse.ArgumentParser, name: str) -> None:
    """Adds the options of actions that embed pictures."""
    made.add_argument("--model", required=name != "calibrate", help="the folder of a run, an export or a released model")
    made.add_argument("--flip", action="store_true", help="add the embedding of the mirrored picture")
    made.add_argument("--detector", metavar="MODEL", help="find and align the faces of photographs (default: pictures are aligned faces)")
    made.add_argument("--landmarks", metavar="MODEL", help="a landmark model on each detected face (default: the detector's landmarks)")
    made.add_argument("--align", choices=("five_points", "eyes", "crop"), help="how detected faces are aligned (default: five_points)")
    made.add_argument("--any-quality", action="store_true", help="use detected faces that are small, blurred or turned away as well")
    made.add_argument("--resize", action="store_true", help="stretch aligned faces of another size than the model's")


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The parser of `ppface gallery`, whose actions are subcommands."""
    parser = cli.parser(description, config=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, purpose: str, *positional: str, model: bool = False) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=purpose, description=purpose)
        for argument in positional:
            made.add_argument(argument)
        if name != "new-key":
            made.add_argument("--key", metavar="FILE", help="file of the gallery's key")
            made.add_argument("--json", action="store_true", help="print JSON")
        if model:
            _add_model(made, name)
        if model and name != "embed":
            made.add_argument("-i", "--input", required=name != "calibrate", help="a picture, or a folder of them")
        return made

    action("new-key", "write a new random key, readable by its owner alone", "file")
    add = action("add", "enrol people; creates the gallery if it does not exist", "gallery", model=True)
    add.add_argument("--name", help="the person of all pictures (default: NAME/x.jpg or NAME_x.jpg)")
    add.add_argument("--min-quality", type=number, help="skip faces whose quality is lower")
    add.add_argument("--keep-crops", action="store_true", help="for a new gallery: store the faces, so that another model can embed them")
    add.add_argument("--half", action="store_true", help="for a new gallery: store embeddings as float16, half the size")
    add.add_argument("--unencrypted", action="store_true", help="create the gallery without encryption")
    search = action("search", "name the people in pictures", "gallery", model=True)
    search.add_argument("-k", type=int, default=1, help="how many candidates to print for each face")
    search.add_argument(
        "--by", choices=("image", "mean"), default="image", help="score a person by the best image or by the mean embedding"
    )
    verify = action("verify", "compare pictures with one person", "gallery", "name", model=True)
    for made in (search, verify):
        made.add_argument("--threshold", type=number, help="lowest cosine of a match (default: the calibrated one)")
    action("list", "list the people", "gallery")
    action("show", "show a person's images", "gallery", "name")
    remove = action("remove", "remove people and rebuild the file without their bytes", "gallery")
    remove.add_argument("name", nargs="+")
    remove.add_argument("--image", metavar="ID", help="remove only the image with this ID, of one person")
    forget = action("forget", "remove a person and write a receipt", "gallery", "name")
    forget.add_argument("--receipt", metavar="FILE", help="write the receipt to this file (default: print it)")
    rates = action("calibrate", "thresholds at false match rates, of the gallery's images or of --input", "gallery", model=True)
    rates.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.001], help="false match rates (default: 0.01 0.001)")
    rates.add_argument("--use", type=float, help="one of --rates, for the default threshold of search and verify (default: the first)")
    export = action("export", "write all to another gallery file", "gallery", "out")
    export.add_argument("--out-key", metavar="FILE", help="key of the new file (default: that of this gallery)")
    export.add_argument("--unencrypted", action="store_true", help="write the new file without encryption")
    migrate = action("migrate", "write all to a gallery at another address, in Milvus or in a file, and compare both", "gallery", "target")
    migrate.add_argument("--target-key", metavar="FILE", help="key of the target (default: that of this gallery)")
    migrate.add_argument("--unencrypted", action="store_true", help="write the target without encryption")
    action("import", "add the people of an export or another gallery of the same model", "gallery", "other").add_argument(
        "--other-key", metavar="FILE", help="key of the other gallery (default: that of this gallery)"
    )
    action("embed", "embed the stored faces again, into a new gallery", "gallery", model=True).add_argument("--out", required=True)
    action("rotate-key", "encrypt all anew under another key", "gallery").add_argument("--new-key", metavar="FILE", required=True)
    action("audit", "show who did what when", "gallery")
    return parser
