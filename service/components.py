"""What endpoints work with: made once by the application, handed to each as a dependency."""

import threading
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from infra.broker import Publisher
from infra.db.database import Database
from infra.settings import Settings
from infra.storage.store import Store
from infra.telemetry.traces import Traces
from service.event_feed import Feed
from service.monitoring.metrics import Requests
from service.monitoring.readiness import Probe


@dataclass(frozen=True)
class Components:
    """The outside of one gateway."""

    settings: Settings
    database: Database
    store: Store
    publisher: Publisher
    leaving: threading.Event = field(default_factory=threading.Event)
    """Set when the process was told to go: whoever waits is answered at once."""
    requests: Requests = field(default_factory=Requests)
    traces: Traces = field(default_factory=Traces)
    feed: Feed = field(init=False)
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        alive = 3 * self.settings.sweep_seconds
        object.__setattr__(self, "feed", Feed(self.database, self.leaving))
        object.__setattr__(self, "probe", Probe(self.database, self.publisher, self.store, alive_seconds=alive))


def _parts(request: Request) -> Components:
    return cast(Components, request.app.state.parts)


UseComponents = Annotated[Components, Depends(_parts)]
