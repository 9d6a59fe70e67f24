"""Published weights by name: lists and shows them, downloads one. Every command takes `zoo:NAME` as a model and as --weights.

ppface zoo list
ppface zoo show retinaface_mobilenet025
ppface zoo get retinaface_mobilenet025
ppface infer zoo:retinaface_mobilenet025 --input photo.jpg --output found

Files are kept in the folder PPFACE_HOME (default: ~/.cache/ppface), compared with their SHA-256 before each use, and never executed.
"""

import os
import sys
from typing import Any

import yaml

from ppface.core.errors import UserError
from ppface.core.files import zoo
from ppface.core.files.zoo import PREFIX, Entry
from ppface.core.run import cli

MEGABYTE = 1e6


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("action", choices=("list", "show", "get"), help="list all, show what is known of one, or download it")
    parser.add_argument("name", nargs="?", metavar="NAME", help="an entry of the list")
    parser.add_argument("--accept-licence", action="store_true", help="accept a licence that allows no commercial use; it is shown before")
    return parser


def arguments() -> Any:
    parser = options()
    args = parser.parse_args()
    if (args.action == "list") != (args.name is None):
        parser.error("expected `list` alone, or `show` or `get` with the NAME of an entry")
    return args


def entry(name: str) -> Entry:
    found = zoo.find(name if name.startswith(PREFIX) else f"{PREFIX}{name}")
    assert found is not None
    return found


def row(one: Entry) -> str:
    state = "here" if os.path.isfile(one.path) else "by hand" if one.address is None else "-"  # noqa: PTH113  (never raises)
    size = f"{one.size / MEGABYTE:.1f} MB" if one.size else "?"
    return f"{one.name:<26}{state:<9}{size:>8}  {one.title}" + ("" if one.commercial else " (no commercial use)")


def described(one: Entry) -> str:
    """All that is known of an entry, as YAML."""
    known: dict[str, Any] = {key: value for key, value in vars(one).items() if key != "name"}
    known["sha256"] = one.sha256 or "pinned at the first download"
    return yaml.safe_dump(known | {"kept_at": str(one.path)}, sort_keys=False, allow_unicode=True, width=120).rstrip()


def download(one: Entry, accept: bool) -> None:
    settled = one.commercial or accept or one.address is None or any(os.path.isfile(file) for file in (one.path, one.accepted))  # noqa: PTH113
    if not settled and sys.stdin and sys.stdin.isatty():  # None: closed
        try:
            answer = input(f"{PREFIX}{one.name}: {one.licence} ({one.page})\nDo you accept this? [yes/no] ")
        except EOFError:  # Ctrl-D
            answer = "no"
        if answer.strip().lower() not in ("y", "yes"):
            raise UserError(f"{PREFIX}{one.name}: not downloaded: its licence was not accepted")
        accept = True
    print(zoo.get(one, accept))


def main() -> int:
    args = arguments()
    if args.action == "list":
        print("\n".join(row(entry(name)) for name in zoo.entries()))
    elif args.action == "show":
        print(described(entry(args.name)))
    else:
        download(entry(args.name), args.accept_licence)
    return 0
