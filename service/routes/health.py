"""Is this process alive, and can the service take jobs?"""

from typing import Any

from fastapi import APIRouter, Response

from service.accounts.caller import MaybeCaller
from service.components import UseComponents
from service.views.resources import Readiness

router = APIRouter(prefix="/health", tags=["health"])

NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "Something is missing; `checks` says what."}
}


@router.get("/live", operation_id="live")
async def live() -> dict[str, str]:
    """The gateway answers. Asks nothing of what it depends on."""
    return {"status": "live"}


@router.get("/ready", operation_id="ready", responses=NOT_READY)
async def ready(parts: UseComponents, caller: MaybeCaller, response: Response) -> Readiness:
    """Jobs can be taken and run: database, broker and store answer, and every queue has a worker.

    Anybody may ask; reasons, and what confines each worker's jobs, are for keys of the scope `admin`. Looked at anew
    every few seconds.
    """
    found = await parts.probe.verdict()
    shown = found if caller is not None and "admin" in caller.scopes else found.for_strangers()
    response.status_code = 200 if found.is_ready else 503
    return Readiness(
        status="ready" if found.is_ready else "not_ready", checks=dict(shown.checks), sandbox=dict(shown.sandbox)
    )
