"""Some hundred mutated pictures, and some bombs."""


def test_mutated_pictures_are_read_whole_or_refused(inject):
    rows = inject("pictures")
    assert [figure for what, figure, _ in rows if "half-decoded" in what] == ["0"]
