"""A few kills of a real run, and one at each file operation of a save."""


def test_a_killed_run_loses_nothing(inject):
    assert any("bit-equal" in what for what, _, _ in inject("kills"))
