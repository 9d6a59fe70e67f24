"""Hostile files, each kind once; the fault also checks with Python's own unpickler that executed code is detected."""


def test_hostile_files_run_nothing_and_end_in_one_line(inject):
    executed, kinds, refused, *_ = (figure for _, figure, _ in inject("pickles"))
    assert executed == "0" and refused.startswith("1")
    assert int(kinds.split(" kinds, ")[0]) >= 140 and int(kinds.split(" kinds, ")[1].split()[0]) >= 20
