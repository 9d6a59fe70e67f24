"""Files of names: rules that rename the weights of other projects to the names of ppface.

layout: torch                    # only for .safetensors exported from PyTorch, which do not record their layout
part: model                      # only where the file holds several networks
order: BGR                       # of the channels that the network expects, to warn of a model with another input.order
activations:                     # that the network expects: layer of the model, its output channels, `act`, to warn of a model with another
  - [backbone.stage1.0, 8, leaky_0.1]
names:                           # applied in order to every name, as by re.sub
  - ['^arcface\\.', 'backbone.']
  - ['\\.bn\\.', '.norm.']
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppface.core.config import yaml_tree
from ppface.core.errors import ConfigError, WeightsError
from ppface.core.files import shipped
from ppface.core.run.log import log

KEYS = ("layout", "part", "order", "activations", "names")
LAYOUTS, ORDERS = ("paddle", "torch"), ("RGB", "BGR")


@dataclass(frozen=True)
class Rule:
    """A pattern, its replacement, and where the rule was written."""

    pattern: re.Pattern
    replacement: str
    where: str

    def apply(self, name: str) -> str:
        """Raises WeightsError for a replacement that does not match the pattern."""
        try:
            return self.pattern.sub(self.replacement, name)
        except (re.error, IndexError) as error:
            raise WeightsError(
                f"{self.where}: the replacement {self.replacement!r} does not match {self.pattern.pattern!r}: {error}"
            ) from None


@dataclass(frozen=True)
class Names:
    """The content of a file of names.

    Args:
        path: of the file.
        rules: in their order.
        layout: axis order of the weight file's arrays, one of LAYOUTS; None: that of its file format.
        part: key path of the network in a checkpoint with several; None: there is only one.
        order: of the channels that the network expects, one of ORDERS; None: not stated.
        activations: layer of the model, its output channels, and the name of the activation that the network expects there.
    """

    path: Path
    rules: tuple[Rule, ...]
    layout: str | None
    part: str | None
    order: str | None
    activations: tuple[tuple[str, int, str], ...] = ()

    def translate(self, weights: str | Path, names: list[str]) -> dict[str, str]:
        """Each of the weight file's names -> ours; warns of rules that match no name.

        Raises:
            WeightsError: two names become the same, or a replacement does not match its pattern.
        """
        ours = {name: name for name in names}
        for rule in self.rules:
            if not any(rule.pattern.search(name) for name in ours.values()):
                log.warning(f"{rule.where}: {rule.pattern.pattern!r} matches no name of {weights}: this rule has no effect")
            ours = {name: rule.apply(translated) for name, translated in ours.items()}
        theirs: dict[str, str] = {}
        for name, translated in ours.items():
            if translated in theirs:
                raise WeightsError(
                    f"{self.path}: {theirs[translated]!r} and {name!r} of {weights} both become {translated!r}; "
                    "change the rules so that they differ"
                )
            theirs[translated] = name
        return ours


def read_names(path: str | Path) -> Names:
    """A file of names, checked: a path, or the name of one that comes with ppface, `facenet_pytorch`.

    Raises:
        WeightsError: a file that is missing, not YAML or of another form; the message names the line.
    """
    path = shipped.locate(path, shipped.name_files)
    try:
        tree = yaml_tree.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        advice = "" if path.exists() else shipped.advice(path, shipped.name_files())
        raise WeightsError(f"{path}: cannot read this file of names: {error.strerror}{advice}") from None
    except UnicodeDecodeError:
        raise WeightsError(f"{path}: expected a file of names in UTF-8, received another encoding: save it as UTF-8") from None
    except ConfigError as error:
        raise WeightsError(f"{path}: expected a file of names in YAML; {error}") from None
    if not isinstance(tree.value, dict) or "names" not in tree.value:
        raise WeightsError(f"{path}: expected a mapping with `names:`, a list of [pattern, replacement]")
    for key, node in tree.value.items():
        if key not in KEYS:
            raise WeightsError(f"{node.origin}: expected {', '.join(KEYS)}, received {key!r}")
    layout, part, order = (tree.value[key].value if key in tree.value else None for key in ("layout", "part", "order"))
    for key, value, choices in (("layout", layout, LAYOUTS), ("order", order, ORDERS)):
        if value is not None and value not in choices:
            raise WeightsError(f"{tree.value[key].origin}: {key}: expected {' or '.join(choices)}, received {value!r}")
    if part is not None and not isinstance(part, str):
        raise WeightsError(f"{tree.value['part'].origin}: part: expected a string, received {tree.value['part'].plain()!r}")
    activations = _activations(tree.value["activations"]) if "activations" in tree.value else ()
    return Names(path, _rules(tree.value["names"]), layout, part, order, activations)


def _activations(node: yaml_tree.Node) -> tuple[tuple[str, int, str], ...]:
    rows = node.value if isinstance(node.value, list) else [node]
    for row in rows:
        plain: Any = row.plain()
        if not isinstance(plain, list) or [type(part) for part in plain] != [str, int, str]:
            raise WeightsError(f"{row.origin}: activations: expected [layer, output channels, act], received {plain!r}")
    return tuple(tuple(row.plain()) for row in rows)


def _rules(node: yaml_tree.Node) -> tuple[Rule, ...]:
    if not isinstance(node.value, list) or not node.value:
        raise WeightsError(f"{node.origin}: names: expected a list of [pattern, replacement], received {node.plain()!r}")
    return tuple(_rule(child) for child in node.value)


def _rule(node: yaml_tree.Node) -> Rule:
    pair: Any = node.plain()
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise WeightsError(f"{node.origin}: expected [pattern, replacement], two quoted strings, received {pair!r}")
    try:
        return Rule(re.compile(pair[0]), pair[1], str(node.origin))
    except re.error as error:
        raise WeightsError(f"{node.origin}: {pair[0]!r} is not a regular expression: {error}") from None
