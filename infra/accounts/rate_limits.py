"""Rate limits of owners: a sliding window of a minute, counted in the broker's Redis for all gateways.

If Redis does not answer, each gateway counts by itself for a while: the API stays available without a broker.
"""

import math
import time
from dataclasses import dataclass

import redis
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from infra.broker import KEY_PREFIX, connect
from infra.telemetry.logs import logger

ALONE_SECONDS = 10.0
"""How long a gateway counts by itself before it tries the broker again."""


@dataclass(frozen=True)
class Allowance:
    """The state of an owner's rate limit after a request."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_seconds: int


class Rates:
    """Counts the requests of owners. Called by any number of threads."""

    def __init__(self, broker_url: str) -> None:
        pool = connect(broker_url).connection_pool
        shared = RedisStorage("redis://", connection_pool=pool, key_prefix=f"{KEY_PREFIX}rates")
        self._shared = SlidingWindowCounterRateLimiter(shared)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._alone_until = 0.0

    def take(self, owner: str, per_minute: int) -> Allowance:
        """Count one request of an owner who may send ``per_minute`` requests. Another limit starts a new window."""
        item = RateLimitItemPerMinute(per_minute)
        if time.monotonic() >= self._alone_until:
            try:
                return self._take(self._shared, owner, item)
            except (redis.RedisError, OSError) as fault:
                self._alone_until = time.monotonic() + ALONE_SECONDS
                logger("gateway").warning("requests are counted by this gateway alone", reason=str(fault))
        return self._take(self._own, owner, item)

    def _take(self, limiter: SlidingWindowCounterRateLimiter, owner: str, item: RateLimitItemPerMinute) -> Allowance:
        is_allowed = limiter.hit(item, owner)
        reset, remaining = limiter.get_window_stats(item, owner)
        return Allowance(is_allowed, item.amount, remaining, max(1, math.ceil(reset - time.time())))
