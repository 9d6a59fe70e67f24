"""Keeps people in a gallery, one encrypted file: enrols, searches, verifies and removes them by photographs, or by aligned faces.

ppface gallery new-key gallery.key
ppface gallery add people.db --key gallery.key --model export/adaface --input aligned/     # aligned/NAME/x.jpg or NAME_x.jpg
ppface gallery add people.db --key gallery.key --model export/adaface --detector export/retinaface --input photographs/
ppface gallery calibrate people.db --key gallery.key --rates 0.01 0.001
ppface gallery search people.db --key gallery.key --model export/adaface --input unknown.jpg -k 3
ppface gallery forget people.db "Ann" --key gallery.key

ppface gallery migrate people.db http://localhost:19530/people --key gallery.key     # to Milvus, see deploy/milvus/README.md; or back

The key is that of --key FILE, else the 64 hexadecimal digits in PPFACE_GALLERY_KEY. Who loses it loses the gallery.
"""

import argparse
import contextlib
import io
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ppface.commands._gallery_models import of_aligned, of_photographs, pictures_of
from ppface.commands._gallery_options import parser_of
from ppface.core.errors import DataError, SaveError, UserError
from ppface.core.files.atomic_write import replace_text
from ppface.gallery import Gallery, calibrate, new_key, read_key
from ppface.gallery.backend import exists
from ppface.gallery.database import ExistsError
from ppface.gallery.enrol import enrol, name_of, one_face
from ppface.gallery.migration import migrate


def options() -> argparse.ArgumentParser:
    return parser_of(__doc__)


def main() -> int:
    args = options().parse_args()
    if args.action == "new-key":
        new_key(args.file)
        print(f"{args.file}: a new key; keep a copy, without it the gallery cannot be read")
        return 0
    return ACTIONS[args.action](args) or 0


def _model(args: argparse.Namespace) -> Any:
    """(identity, faces_of) of the model; photographs of several faces are searched whole, and enrolled not at all."""
    if not args.detector:
        for name in ("landmarks", "align", "any_quality"):
            if getattr(args, name):
                raise UserError(f"--{name.replace('_', '-')}: it needs a detector: give one by --detector, such as builtin")
        return of_aligned(args.model, args.flip, args.resize)
    limits = (
        None if args.action == "search" else _limits(args)
    )  # it names all faces of a photograph, with the reasons for those it does not
    return of_photographs(args.model, args.detector, args.align or "five_points", args.flip, args.landmarks, limits)


def _limits(args: argparse.Namespace) -> Any:
    """What a detected face needs."""
    from ppface.predict.face_quality import ANSWERED, ENROLLED, QualityLimits

    return QualityLimits() if args.any_quality else ANSWERED if args.action in ("search", "verify") else ENROLLED


def _open(args: argparse.Namespace, model: Any = None) -> Gallery:
    return Gallery(args.gallery, read_key(args.key) if args.key else None, model)


def _print(args: argparse.Namespace, value: Any, text: str) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False) if args.json else _shown(text))


def _shown(text: str) -> str:
    """With escapes for characters that a terminal would act on, as names of files may hold them."""
    return "".join(letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode() for letter in text)


def add(args: argparse.Namespace) -> int:
    model, faces_of = _model(args)
    pictures = pictures_of(args.input)
    if not exists(args.gallery):
        key = read_key(args.key) if args.key else None
        with contextlib.suppress(ExistsError):  # another process has just made it
            Gallery.create(args.gallery, model, key, not args.unencrypted, "float16" if args.half else "float32", args.keep_crops).close()
    with _open(args, model) as gallery:
        done = list(enrol(gallery, faces_of, pictures, args.name, args.min_quality))
    left_out = [one for one in done if one.reason]
    for one in left_out:
        print(_shown(f"left out: {one.source}: {one.reason.removeprefix(f'{one.source}: ')}"), file=sys.stderr)
    people = len({one.name for one in done if not one.reason})
    _print(args, [asdict(one) for one in done], f"{len(done) - len(left_out)} images of {people} people enrolled, {len(left_out)} left out")
    return DataError.exit_code if left_out else 0


def search(args: argparse.Namespace) -> int:
    model, faces_of = _model(args)
    found: list[dict[str, Any]] = []
    broken = 0
    with _open(args, model) as gallery:
        if args.threshold is None:
            gallery.threshold(args.by)  # before the pictures are embedded
        for source, file in pictures_of(args.input):
            try:
                for face in faces_of(file):
                    box = {"box": [round(side) for side in face.box]} if args.detector else {}
                    refused = _limits(args).refusals(face) if args.detector else []
                    answer = [] if refused else gallery.search(face.embedding, args.k, args.by, args.threshold)[0]
                    found.append({"picture": source, **box, "matches": [asdict(match) for match in answer], "refused": refused})
            except DataError as error:
                broken += 1
                print(_shown(f"left out: {error}"), file=sys.stderr)
    _print(args, found, "\n".join(map(_found, found)))
    return DataError.exit_code if broken else 0


def _found(row: dict[str, Any]) -> str:
    place = f" at {row['box']}" if "box" in row else ""
    names = ", ".join(f"{match['name']} {match['score']:.3f}" for match in row["matches"])
    return f"{row['picture']}{place}: {names or 'not searched: ' + '; '.join(row['refused'])}"


def _only_face(faces_of: Any, file: Path) -> Any:
    """`one_face`, with the picture in its errors."""
    try:
        return one_face(faces_of, file)
    except DataError as error:
        raise DataError(f"{file}: {str(error).removeprefix(f'{file}: ')}") from None


def verify(args: argparse.Namespace) -> None:
    model, faces_of = _model(args)
    with _open(args, model) as gallery:
        gallery.known(args.name)
        results = []
        for source, file in pictures_of(args.input):
            same, score = gallery.verify(args.name, _only_face(faces_of, file).embedding, args.threshold)
            results.append({"picture": source, "name": args.name, "same": same, "score": score})
    _print(args, results, "\n".join(f"{r['picture']}: {'' if r['same'] else 'not '}{r['name']}, {r['score']:.3f}" for r in results))


def list_people(args: argparse.Namespace) -> None:
    with _open(args) as gallery:
        people = gallery.list()
    _print(args, people, "\n".join(f"{name}: {count}" for name, count in people.items()) or "nobody is enrolled")


def show(args: argparse.Namespace) -> None:
    with _open(args) as gallery:
        about = gallery.show(args.name)
    lines = [f"{i['id']}  {i['added']}  {i['source'] or ''}{'  face stored' if i['crop'] else ''}" for i in about["images"]]
    _print(args, about, "\n".join([f"{about['name']} ({about['person']})", *lines]))


def remove(args: argparse.Namespace) -> None:
    if args.image and len(args.name) > 1:
        raise DataError("--image: expected one name with it")
    with _open(args) as gallery:
        done = gallery.remove(*args.name, image=args.image)
    _print(args, done, f"{done['images']} images removed")


def forget(args: argparse.Namespace) -> None:
    if args.receipt and Path(args.receipt).exists():
        raise DataError(f"{args.receipt}: already exists; expected the name of a new file")
    with _open(args) as gallery:
        receipt = json.dumps(gallery.forget(args.name), indent=1, ensure_ascii=False)
    if args.receipt:
        try:
            replace_text(Path(args.receipt), receipt + "\n")
        except OSError as error:
            print(receipt)  # the person is removed already, and nothing else would tell
            raise SaveError(f"{args.receipt}: cannot write this receipt: {error.strerror}; {args.name!r} is removed") from None
    print(args.receipt or receipt)


def set_thresholds(args: argparse.Namespace) -> None:
    if bool(args.model) != bool(args.input):
        raise DataError("calibrate: expected --model and --input together, or neither for the gallery's own images")
    model, faces_of = _model(args) if args.model else (None, None)
    with _open(args, model) as gallery:
        if faces_of:
            from ppface.gallery.identity import unit

            pictures = pictures_of(args.input)
            people = np.array([name_of(source) for source, _ in pictures])
            vectors = unit(np.stack([_only_face(faces_of, file).embedding for _, file in pictures]), gallery.model.size)
        else:
            vectors, people = gallery.vectors_and_people()
        found = calibrate(vectors, people, args.rates, args.use)
        gallery.set_calibration(found)
    lines = [f"{found.people} people, {found.images} images, {found.impostors:,} pairs of different people, {found.genuine:,} of one"]
    for point in found.points:
        missed = "unknown" if point["fnmr"] is None else f"{point['fnmr']:.4f} ({_range(point['fnmr_95'])})"
        shown = f"{point['fmr']:.2e} ({_range(point['fmr_95'], '.2e')})"
        used = " <- used" if point["rate"] == found.rate else ""
        lines.append(f"rate {point['rate']:g}: threshold {point['threshold']:.4f}, false matches {shown}, false non-matches {missed}{used}")
    _print(args, asdict(found), "\n".join(lines))


def _range(bounds: list[float], form: str = ".4f") -> str:
    return f"95 %: {bounds[0]:{form}} to {bounds[1]:{form}}"


def export(args: argparse.Namespace) -> None:
    if args.out_key and args.unencrypted:
        raise DataError("export: expected --out-key or --unencrypted, received both")
    key = read_key(args.out_key or args.key) if args.out_key or args.key else None
    with _open(args) as gallery:
        if not (gallery.encrypted or args.out_key or args.unencrypted):
            raise DataError(f"{args.gallery}: not encrypted: expected --out-key FILE or --unencrypted for its export")
        count = gallery.export(args.out, None if args.unencrypted else key, not args.unencrypted)
    _print(args, {"images": count}, f"{args.out}: {count} images")


def move(args: argparse.Namespace) -> None:
    if args.target_key and args.unencrypted:
        raise DataError("migrate: expected --target-key or --unencrypted, received both")
    key = read_key(args.target_key or args.key) if args.target_key or args.key else None
    with _open(args) as gallery:
        if not (gallery.encrypted or args.target_key or args.unencrypted):
            raise DataError(f"{args.gallery}: not encrypted: expected --target-key FILE or --unencrypted for {args.target}")
        done = migrate(gallery, args.target, None if args.unencrypted else key, not args.unencrypted)
    text = f"{args.target}: {done['people']} people and {done['images']} images, equal to those of {args.gallery}, which is unchanged"
    _print(args, done, text)


def import_people(args: argparse.Namespace) -> None:
    with _open(args) as gallery, Gallery(args.other, read_key(args.other_key or args.key) if args.other_key or args.key else None) as other:
        counts = gallery.import_(other)
    _print(args, counts, f"{counts['images']} images added, left out: {counts['known']} known, {counts['removed']} removed before")


def embed(args: argparse.Namespace) -> None:
    from PIL import Image

    with _open(args) as gallery:
        if not gallery.keep_crops:
            raise DataError(f"{args.gallery}: keeps no faces: enrol the pictures again into a new gallery")
        found, faces_of = of_aligned(args.model, args.flip, args.resize)
        model = replace(found, alignment=gallery.model.alignment)  # the faces are stored as they were aligned
        key, count = read_key(args.key) if args.key else None, 0
        with Gallery.create(args.out, model, key, gallery.encrypted, gallery.dtype, keep_crops=True) as new:
            try:
                for name, _, uid, about, crop in gallery.crops():
                    if crop is None:
                        raise DataError(f"{args.gallery}: image {uid.hex()} of {name!r} has no stored face: remove it by `remove --image`")
                    face, known = one_face(faces_of, np.asarray(Image.open(io.BytesIO(crop)))), json.loads(about)
                    new.add(name, face.embedding, [face.aligned], [known["source"]], [face.quality])
                    count += 1
                new.keep_removed(gallery)
            except BaseException:
                new.database.delete()
                raise
    _print(args, {"images": count}, f"{args.out}: {count} images embedded; calibrate it, then delete {args.gallery}")


def rotate_key(args: argparse.Namespace) -> None:
    key = read_key(args.new_key)
    assert key is not None
    with _open(args) as gallery:
        gallery.rotate_key(key)
    _print(args, {"key": args.new_key}, f"{args.gallery}: encrypted under {args.new_key}; the old key reads only older copies and exports")


def audit(args: argparse.Namespace) -> None:
    with _open(args) as gallery:
        log = gallery.audit_log()
    _print(args, log, "\n".join(f"{entry['time']}  {entry['by']}  {entry['what']}  {entry['person'] or ''}" for entry in log))


ACTIONS: dict[str, Any] = {
    "add": add, "search": search, "verify": verify, "list": list_people, "show": show, "remove": remove, "forget": forget,
    "calibrate": set_thresholds, "export": export, "import": import_people, "migrate": move, "embed": embed, "rotate-key": rotate_key,
    "audit": audit,
}  # fmt: skip
