"""Prints the resolved config with the origin of each value, or all of its mistakes (exit code 2).

ppface check mine.yml -o train.batch_size=16
ppface check detection/blazeface_1000e      # a config that comes with ppface; a file of this path would be checked in its place
ppface check --list                         # their names, with the first line of each
ppface check --quiet configs/*/*.yml
ppface check --schema json_schema.json      # then: # yaml-language-server: $schema=json_schema.json
"""

import json
import sys
from pathlib import Path

from ppface.core.config import yaml_tree
from ppface.core.errors import ConfigError
from ppface.core.files import shipped
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("files", nargs="*", metavar="FILE", help="YAML configs, or names of those that come with ppface")
    parser.add_argument("-c", "--config", action="append", default=[], help="one more config, as the other commands take it")
    parser.add_argument(
        "-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value: train.batch_size=16"
    )
    parser.add_argument("--quiet", action="store_true", help="only print which files are valid")
    parser.add_argument("--list", action="store_true", help="list the configs that come with ppface")
    parser.add_argument("--schema", metavar="FILE", help="write a JSON schema of the config language for editors")
    return parser


def arguments():
    parser = options()
    args = parser.parse_args()
    if not (args.files or args.config or args.schema or args.list):
        parser.error("expected a config file, --list or --schema")
    return args


def _header(file: Path) -> str:
    """The first line of a config, which says what it is."""
    return file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").partition("   ")[0]


def main() -> int:
    args = arguments()
    trees, mistakes = {}, []
    if args.list:
        files = shipped.configs()
        width = max(map(len, files))
        print("\n".join(f"{name:<{width}}  {_header(file)}" for name, file in files.items()))
    for file in [*args.files, *args.config]:  # YAML first, without importing paddle
        try:
            trees[file] = yaml_tree.read(file, args.override)
        except ConfigError as error:
            mistakes += error.mistakes
    if trees or args.schema:
        from ppface.core.config import annotated_yaml, json_schema, spec
        from ppface.core.config.contradictions import contradictions

        for file, tree in trees.items():
            try:
                resolved = spec.resolve(tree)
                if found := contradictions(resolved):
                    raise ConfigError(found)
                print(f"{file}: valid" if args.quiet else annotated_yaml.with_origins(resolved))
            except ConfigError as error:
                mistakes += error.mistakes
        if args.schema:
            Path(args.schema).write_text(json.dumps(json_schema.json_schema(), indent=1), encoding="utf-8")
    print("\n".join(mistakes), end="\n" if mistakes else "", file=sys.stderr)
    return 2 if mistakes else 0
