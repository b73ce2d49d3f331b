"""What a monitor reads."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response

from secateur.errors import Unavailable
from service.components import UseComponents
from service.http.problems import responses
from service.monitoring.bounded_checks import within_time_limit
from service.monitoring.metrics import MEDIA_TYPE

router = APIRouter(tags=["health"])

SCRAPE_SECONDS: Final = 5.0
"""Half of what Prometheus waits."""

TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in the text format of Prometheus.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get("/metrics", operation_id="read_metrics", response_class=Response, responses=TEXT | responses())
async def read_metrics(parts: UseComponents) -> Response:
    """Queues, jobs, waits, runs, bytes, deaths, requests, over all owners: for keys with the scope `metrics`."""
    within = 3 * parts.settings.sweep_seconds
    told = partial(parts.requests.told, parts.database, workers_within_seconds=within)
    try:
        text = await within_time_limit(told, seconds=SCRAPE_SECONDS)
    except Unavailable:
        text = parts.requests.told_without_database()
    return Response(text, media_type=MEDIA_TYPE)
