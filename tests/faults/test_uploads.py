"""A few hostile uploads of each kind to a service."""


def test_hostile_uploads_are_refused_and_change_nothing(inject):
    assert len(inject("uploads")) == 4
