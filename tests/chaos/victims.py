"""Who can be killed, and how: one running stack, seen from outside."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

import psutil
import redis

from stack.machine import Machine
from tests.waiting import eventually
from tests.workers import fake_engine

Kind = Literal["child", "worker", "gateway", "broker", "emptied"]

ROUND: Final[tuple[Kind, ...]] = ("child", "child", "child", "worker", "gateway", "broker")
"""Everybody's turn comes in each round, in an order that is drawn."""

CHILDREN: Final = ("workers.child", fake_engine.__file__)
"""What the command of a process that runs jobs has in it."""


@dataclass
class Killer:
    """Kills parts of a stack with SIGKILL, in drawn order, and remembers how many of each."""

    machine: Machine
    broker_url: str
    draw: random.Random
    killed: dict[Kind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._turns = self._rounds()
        self._next = next(self._turns)

    def _rounds(self) -> Iterator[Kind]:
        while True:
            yield from self.draw.sample(ROUND, len(ROUND))

    def strike(self) -> str | None:
        """Kill one of the kind whose turn it is. Returns which, for the log; None when there is none at the moment."""
        kind = self._next
        victims = self.children() if kind == "child" else self._parts(kind)
        if not victims:
            return None
        self._next = next(self._turns)
        victim = self.draw.choice(victims)
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            self._count(kind)
            return f"kill -9 {kind} {victim.pid}"
        return None

    def empty_broker(self) -> str:
        """Take every message from the broker, as a Redis without persistence does when it dies."""
        path = self.broker_url.removeprefix("redis+socket://")
        with redis.Redis(unix_socket_path=path) as client:
            assert eventually(lambda: _emptied(client), within_seconds=60)  # the shot before may have killed it
        self._count("emptied")
        return "FLUSHALL at the broker"

    def children(self) -> list[psutil.Process]:
        """The processes that run jobs now."""
        return [
            child
            for worker in self._parts("worker")
            for child in _family(worker)
            if any(word in _command(child) for word in CHILDREN) and child.status() != psutil.STATUS_ZOMBIE
        ]

    def _parts(self, kind: Kind) -> list[psutil.Process]:
        """The living parts whose name begins with the kind's."""
        found = []
        for part in self.machine.processes.parts:
            if part.name.startswith(kind) and part.process.poll() is None:
                part.backoff.reset()  # it is no fault of its own that it died so often
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(part.process.pid))
        return found

    def _count(self, kind: Kind) -> None:
        self.killed[kind] = self.killed.get(kind, 0) + 1


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


def _emptied(broker: redis.Redis) -> bool:
    """Whether the broker took the command; a broker that was just killed refuses connections until it is back."""
    with suppress(redis.ConnectionError, redis.TimeoutError):
        return bool(broker.flushall())
    return False
