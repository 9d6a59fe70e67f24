"""One killed and one stopped worker of a real run."""


def test_a_dead_worker_is_reported_with_its_sample(inject):
    rows = inject("workers")
    assert rows[0][1] == "2 of 2"
