"""Metrics of a service for Prometheus, https://prometheus.io/docs/instrumenting/exposition_formats/."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts of one service; labels are routes and statuses, never names or addresses.

    Args:
        in_flight: how many requests are being received, wait or run.
    """

    def __init__(self, in_flight: Callable[[], float]):
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("ppface_requests_total", "Answered requests", ["route", "status"], registry=registry)
        self._seconds = Histogram("ppface_request_seconds", "From a request to its answer", ["route"], buckets=SECONDS, registry=registry)
        self._batches = Histogram(
            "ppface_batch_pictures", "Pictures in one call of the models", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self._models = Counter("ppface_models_seconds_total", "Time in the models, decoding included", registry=registry)
        Gauge("ppface_requests_in_flight", "Requests that are received, wait or run", registry=registry).set_function(in_flight)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, pictures: int, seconds: float) -> None:
        self._batches.observe(pictures)
        self._models.inc(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
