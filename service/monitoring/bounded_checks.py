"""Blocking looks that nobody waits long for: what monitors and load balancers ask must be answered while a part hangs.

They run beside the threads of the other requests, all of which may be waiting for that part.
"""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from secateur.errors import Unavailable

LOOK_SECONDS: Final = 3.0

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def within_time_limit(function: Callable[[*Ts], T], *arguments: *Ts, seconds: float = LOOK_SECONDS) -> T:
    """What a blocking function returns, if it does so soon. Otherwise it is left behind and ends when it may.

    Raises:
        Unavailable: it took too long.
        Whatever it raises.
    """
    try:
        with anyio.fail_after(seconds):
            own = anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True, limiter=own)
    except TimeoutError as fault:
        raise Unavailable("It does not answer in time.", suggestions=["Try again in a moment."]) from fault
