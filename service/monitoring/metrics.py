"""What Prometheus reads: this gateway's requests, and what the database tells of the whole service.

Any gateway tells the same of the service; only ``secateur_http_...`` are each one's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from infra.db import counters
from infra.db.counters import BUCKETS, ENDLESS, Key
from infra.db.database import Database
from infra.jobs import totals
from infra.jobs.totals import Totals
from secateur.errors import ServiceError

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
Gauges = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Requests:
    """The requests that this gateway has answered."""

    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))
    answered: Counter = field(init=False)
    seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        labels = ("method", "route", "status")
        answered = Counter("secateur_http_requests", "Requests answered.", labels, registry=self.registry)
        seconds = Histogram("secateur_http_request_seconds", "Until the end of the answer.", registry=self.registry)
        object.__setattr__(self, "answered", answered)
        object.__setattr__(self, "seconds", seconds)

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that was answered, by its route: addresses hold ids, of which there is no end."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.answered.labels(method, route, str(status)).inc()
        self.seconds.observe(seconds)

    def told(self, database: Database, *, workers_within_seconds: float) -> bytes:
        """Everything, as Prometheus reads it. A database that does not answer is told, and the rest left out."""
        return self._with(_Rows(database, workers_within_seconds))

    def told_without_database(self) -> bytes:
        """What is left to tell while the database keeps silent."""
        return self._with(_Away())

    def _with(self, more: Collector) -> bytes:
        everything = CollectorRegistry(auto_describe=False)
        everything.register(more)
        return generate_latest(self.registry) + generate_latest(everything)


class _Away(Collector):
    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers.", (), {(): 0})


@dataclass(frozen=True)
class _Rows(Collector):
    database: Database
    workers_within_seconds: float

    def collect(self) -> Iterator[Metric]:
        try:
            with self.database.read() as session:
                now = totals.read(session, workers_within_seconds=self.workers_within_seconds)
                counts = counters.read(session)
        except ServiceError:
            yield from _Away().collect()
            return
        yield _gauge("database_up", "Whether the database answers.", (), {(): 1})
        yield from _gauges(now)
        yield from _counters(counts)


def _gauges(now: Totals) -> Iterator[Metric]:
    yield _gauge("jobs", "Jobs, by kind and state.", ("kind", "state"), now.jobs)
    yield _gauge("queue_jobs", "Jobs that wait for a worker.", ("queue",), _by_one(now.queued))
    oldest = "Age of the job that waits longest; 0 when none does."
    yield _gauge("queue_oldest_seconds", oldest, ("queue",), _by_one(now.oldest_queued_seconds))
    yield _gauge("uploads", "Models and data sets, by state of their check.", ("kind", "state"), now.uploads)
    yield _gauge("upload_bytes", "Bytes of uploads as uploaded.", ("kind",), _by_one(now.upload_bytes))
    yield _gauge("stored_bytes", "Bytes of all contents, equal ones once.", (), {(): now.stored_bytes})
    unfinished = "Bytes that are here of resumable uploads."
    yield _gauge("unfinished_upload_bytes", unfinished, (), {(): now.unfinished_upload_bytes})
    yield _gauge("workers", "Workers that are alive, by queue.", ("queue",), _by_one(now.workers))
    sandbox = "Workers that are alive, by what confines their jobs."
    yield _gauge("sandbox_workers", sandbox, ("level",), _by_one(now.sandboxes))


def _counters(counts: Mapping[Key, float]) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "secateur_attempts", "Attempts at jobs, by how they ended.", labels=("kind", "ending")
    )
    deaths = CounterMetricFamily("secateur_child_deaths", "Processes of jobs that died.", labels=("cause",))
    for family, name in ((attempts, "attempts"), (deaths, "child_deaths")):
        for (counted, labels), value in sorted(counts.items()):
            if counted == name:
                family.add_metric(labels, value)
        yield family
    yield _histogram("job_wait_seconds", "From a job's request to its first attempt.", counts)
    yield _histogram("job_run_seconds", "Of one attempt.", counts)


def _histogram(name: str, text: str, counts: Mapping[Key, float]) -> Metric:
    family = HistogramMetricFamily(f"secateur_{name}", text, labels=("kind",))
    kinds = sorted({labels[0] for counted, labels in counts if counted == f"{name}_sum"})
    for kind in kinds:
        buckets, total = [], 0.0
        for end in (*map(str, BUCKETS), ENDLESS):
            total += counts.get((f"{name}_bucket", (kind, end)), 0.0)
            buckets.append((end, total))
        family.add_metric((kind,), buckets, counts[f"{name}_sum", (kind,)])
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Gauges) -> Metric:
    family = GaugeMetricFamily(f"secateur_{name}", text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def _by_one(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(key,): value for key, value in values.items()}
