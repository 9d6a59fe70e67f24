"""Converts identities between a folder of people, a list of `path label` and a RecordIO file, without decoding the pictures.

ppface convert faces_emore/train.rec --out faces            # one folder per identity
ppface convert faces --out faces.txt                        # IdentityList: root: ., list_file: faces.txt
ppface convert faces.txt --out faces.rec                    # with faces.idx beside it
"""

import sys
from pathlib import Path

from ppface.core.errors import DataError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("source", type=Path, help="a folder of people, a .rec, or a list")
    parser.add_argument("--root", type=Path, help="folder that a list's paths are relative to (default: the list's folder)")
    parser.add_argument("--out", type=Path, required=True, help="NAME.rec, NAME.txt, or a folder")
    return parser


def main() -> int:
    args = options().parse_args()
    from tqdm import tqdm

    from ppface.data.recognition.identity_convert import convert, open_identities

    data = open_identities(args.source, args.root)
    broken = convert(data, args.out, lambda work: tqdm(work, disable=None))
    for reason in broken.values():
        print(f"broken: {reason}", file=sys.stderr)
    print(f"{args.out}: {len(data) - len(broken)} pictures of {data.class_num} identities, {len(broken)} broken")
    return DataError.exit_code if broken else 0
