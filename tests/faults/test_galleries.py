"""A few kills of a process that writes a gallery, a full disk, and two writers."""


def test_a_killed_writer_leaves_whole_people(inject):
    assert len(inject("galleries")) == 4
