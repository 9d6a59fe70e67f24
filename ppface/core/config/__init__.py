"""The config language: YAML with `_BASE_` and overrides, checked against constructors and resolved into a call tree."""
