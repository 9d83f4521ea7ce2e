"""What every driver is told, and what it answers: the Python half of the protocol that
`benches/peers/README.md` describes.

Promises: whatever is timed is timed here, in the same way for every system; a driver only
says how its system does a thing.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

Start = Callable[[int], None]
Settings = Mapping[str, int]


class Producer(Protocol):
    async def enqueue(self, number: int) -> None:
        """Adds one job, committed when this returns."""

    async def enqueue_bulk(self, numbers: Sequence[int]) -> None:
        """Adds these jobs at once, committed when this returns."""


class Driver(Protocol):
    presets: Mapping[str, Settings]

    async def install(self, settings: Settings) -> None:
        """Makes the schema in an empty database."""

    async def connect(self, settings: Settings) -> Producer:
        """A producer with one connection."""

    async def work(self, settings: Settings, start: Start) -> None:
        """Runs a worker; `start` is to be called in the first line of a handler."""


async def run(driver: Driver) -> None:
    """Does what the command line asks of a system."""
    preset, call, *words = sys.argv[1:]
    if preset not in driver.presets:
        raise SystemExit(f"no such preset: {preset}")
    settings = driver.presets[preset]
    numbers = [int(word) for word in words]
    match call, numbers:
        case "install", []:
            await driver.install(settings)
        case "enqueue-one", [jobs]:
            await _one_by_one(await driver.connect(settings), jobs)
        case "enqueue-bulk", [jobs, chunk]:
            await _in_bulk(await driver.connect(settings), jobs, chunk)
        case "enqueue-paced", [jobs, pause]:
            await _paced(await driver.connect(settings), jobs, pause / 1e6)
        case "work" | "pickup", [jobs, warm_up]:
            # Before anything of the system runs, so that all pay for their connections alike.
            _answer(event="start", at=_now())
            await driver.work(settings, _tally(jobs, warm_up, call == "pickup"))
        case _:
            raise SystemExit(f"no such call: {call} with {len(numbers)} numbers")


def _now() -> int:
    """Microseconds since 1970, on the clock that all processes of one machine share."""
    return time.time_ns() // 1000


def _answer(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


async def _one_by_one(producer: Producer, jobs: int) -> None:
    # The first are not timed: they prepare statements and fill caches.
    untimed = min(jobs // 10, 100)
    for number in range(untimed):
        await producer.enqueue(number)
    began = _now()
    for number in range(untimed, jobs):
        await producer.enqueue(number)
    _answer(jobs=jobs - untimed, began=began, ended=_now())


async def _in_bulk(producer: Producer, jobs: int, chunk: int) -> None:
    began = _now()
    for first in range(0, jobs, chunk):
        await producer.enqueue_bulk(range(first, min(first + chunk, jobs)))
    _answer(jobs=jobs, began=began, ended=_now())


async def _paced(producer: Producer, jobs: int, pause: float) -> None:
    committed = []
    for number in range(jobs):
        await asyncio.sleep(pause * (0.5 + random.random()))
        await producer.enqueue(number)
        committed.append(_now())
    _answer(committed=committed)


def _tally(jobs: int, warm_up: int, recorded: bool) -> Start:
    """Counts the starts of handlers, and says when the last of the warm-up and of all was."""
    started: list[tuple[int, int]] = []
    seen = 0

    def start(number: int) -> None:
        nonlocal seen
        at = _now() if recorded else 0
        seen += 1
        if recorded and seen > warm_up:
            started.append((number, at))
        if seen == warm_up:
            _answer(event="warm", at=_now())
        if seen == warm_up + jobs:
            _answer(event="handled", at=_now(), started=started)

    return start
