"""Is this process alive, and can the service take jobs?"""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Response

from infra import workers
from infra.tables import Worker
from jobspec.errors import ServiceError
from jobspec.work import QUEUES
from service.parts import Parts, UseParts
from service.views import Readiness

router = APIRouter(prefix="/health", tags=["health"])

NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "Something is missing; `checks` says what."}
}


@router.get("/live", operation_id="live")
async def live() -> dict[str, str]:
    """The gateway answers. Asks nothing of what it depends on."""
    return {"status": "live"}


@router.get("/ready", operation_id="ready", responses=NOT_READY)
def ready(parts: UseParts, response: Response) -> Readiness:
    """Jobs can be taken and run: database, broker and store answer, and every queue has a worker."""
    checks = {
        "database": _verdict(parts.database.ping),
        "broker": _verdict(parts.publisher.ping),
        "store": _verdict(parts.store.ping),
    }
    sandbox: dict[str, str] = {}
    if checks["database"] == "ok":
        rows = _alive(parts)
        seen = {queue for row in rows for queue in row.queues.split(",")}
        checks |= {f"worker:{queue}": "ok" if queue in seen else "No worker takes from this queue." for queue in QUEUES}
        sandbox = {row.id: row.sandbox or "unknown" for row in rows}
    is_ready = all(verdict == "ok" for verdict in checks.values())
    response.status_code = 200 if is_ready else 503
    return Readiness(status="ready" if is_ready else "not_ready", checks=checks, sandbox=sandbox)


def _verdict(check: Callable[[], None]) -> str:
    try:
        check()
    except ServiceError as fault:
        return fault.detail
    return "ok"


def _alive(parts: Parts) -> Sequence[Worker]:
    with parts.database.read() as session:
        return workers.alive(session, within_seconds=3 * parts.settings.sweep_seconds)
