"""A few dozen damaged checkpoints of a real run."""


def test_changed_files_are_noticed_and_an_older_checkpoint_is_used(inject):
    assert [figure.partition(" (")[0] for _, figure, _ in inject("checkpoints")[:2]] == ["60 of 60", "60 of 60"]
