"""A few kills of a real run, and one at each file operation of a save."""


def test_a_killed_run_loses_nothing(inject):
    rows = {what: figure for what, figure, _ in inject("kills")}
    assert next(figure for what, figure in rows.items() if "bit-equal" in what) == "1 of 1"
