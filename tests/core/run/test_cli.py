"""The options that all tools share."""

from pathlib import Path

from ppface.core.run import cli


def test_options_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    parser = cli.parser("a tool")
    parser.add_argument("model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", nargs=2)
    parser.add_argument("--count", type=int, default=3)
    arguments = ["~/run", "-c", "~/a.yml", "--out=~/found", "--compare", "~/a.jpg", "b~.jpg", "-o", "output=~/runs"]
    args = parser.parse_args(arguments)
    assert (args.model, args.config, args.out) == (f"{tmp_path}/run", f"{tmp_path}/a.yml", tmp_path / "found")
    assert (args.compare, args.count) == ([f"{tmp_path}/a.jpg", "b~.jpg"], 3)
    assert args.override == ["output=~/runs"]  # load_config expands it
