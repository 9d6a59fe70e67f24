"""Two signals to a process group: of a training with workers, and of an export while it writes."""


def test_signals_end_tools_in_order(inject):
    figures = [figure for _, figure, _ in inject("signals")]
    assert figures[0] == "2 of 2"
    assert figures[-2:] == ["1 of 1", "1 of 1"]
