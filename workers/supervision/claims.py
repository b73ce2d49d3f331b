"""Claims jobs for the slots of one worker. For checks of uploads, owners take turns."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from infra.accounts import owner_limits, quotas
from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import checks
from infra.settings import Settings
from workers.fair_scheduler import FairScheduler


@dataclass(frozen=True)
class Claims:
    """Claims jobs. Called by any number of threads, one for each slot."""

    database: Database
    settings: Settings
    scheduler: FairScheduler = field(default_factory=partial(FairScheduler, most_at_once=sys.maxsize))
    """Whose check is next. An owner may have checks in all slots while no other owner waits."""

    @contextmanager
    def claimed(self, job_id: str) -> Iterator[Job | None]:
        """Claim a job for the block, after a message that names one. None if there is none to claim.

        A message about a check may claim the check of another owner, whose turn it is. The message about that one
        claims the next.

        Raises:
            Unavailable: the database does not answer.
        """
        with self.database.read() as session:
            named = session.get(Job, job_id)
        if named is not None and named.upload_id is not None:
            with self._claimed_check(job_id) as check:
                yield check
            return
        with self.database.write() as session:
            limits_of = owner_limits.reader(self.settings)
            job = quotas.claim(session, job_id, limits_of, lease_seconds=self.settings.lease_seconds)
        yield job

    @contextmanager
    def _claimed_check(self, named: str) -> Iterator[Job | None]:
        while True:
            with self.database.read() as session:
                waiting = checks.owners_waiting(session, named=named)
            with self.scheduler.turn(waiting) as owner:
                job = None if owner is None else self._claim_check_of(owner, named)
                if owner is None or job is not None:
                    yield job
                    return

    def _claim_check_of(self, owner: str, named: str) -> Job | None:
        with self.database.write() as session:
            return checks.claim_next(session, owner, named=named, lease_seconds=self.settings.lease_seconds)
