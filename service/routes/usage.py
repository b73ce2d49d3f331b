"""What the caller's owner uses, and what it may use."""

from fastapi import APIRouter

from infra.accounts import owner_limits, quotas
from secateur import errors
from service.accounts.caller import UseCaller
from service.components import UseComponents
from service.http.problems import responses
from service.views.owners import Amount, UsageView

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", operation_id="get_usage", responses=responses(errors.Unavailable))
def get_usage(parts: UseComponents, caller: UseCaller) -> UsageView:
    """Bytes and jobs of your owner, with the limits."""
    with parts.database.read() as session:
        used, limits = (
            quotas.usage(session, caller.owner),
            owner_limits.effective(session, caller.owner, settings=parts.settings),
        )
    counts_requests = caller.key_id is not None and limits.requests_per_minute
    return UsageView(
        owner=caller.owner,
        stored_bytes=_amount(used.stored_bytes, limits.stored_bytes),
        queued_jobs=_amount(used.queued_jobs, limits.queued_jobs),
        running_jobs=_amount(used.running_jobs, limits.running_jobs),
        queued_checks=_amount(used.queued_checks, limits.queued_checks),
        max_upload_bytes=limits.max_upload_bytes,
        requests_per_minute=limits.requests_per_minute if counts_requests else None,
    )


def _amount(used: int, limit: int) -> Amount:
    return Amount(used=used, limit=limit or None)
