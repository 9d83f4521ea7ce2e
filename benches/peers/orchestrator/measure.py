"""The measurements. Each has a fresh database, gets figures, and checks in the database that
every job was acknowledged before it gives them out.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .observer import Observer
from .percentiles import percentile
from .processes import Driver, Failed
from .systems import Contender

Figures = dict[str, float]

BULK_CHUNK = 10_000
"""Jobs in one call where the rate of the bulk call is the question."""
STEADY_CHUNK = 1_000
"""Jobs in one call of a producer that works beside a worker: it must see them soon."""
PICKUP_WARM_UP = 10


@dataclass(frozen=True)
class Sizes:
    jobs: int
    steady_jobs: int
    single_jobs: int
    pickups: int
    pickup_pause: float
    limit: float
    """Seconds for one step."""


class Stage:
    """A contender in its fresh database."""

    def __init__(
        self, contender: Contender, sizes: Sizes, url: str, observer: Observer, programs: dict[str, str], log: Path
    ) -> None:
        self.contender = contender
        self.sizes = sizes
        self.observer = observer
        self._url = url
        self._programs = programs
        self._log = log
        self.call("install")

    def start(self, call: str, *numbers: int) -> Driver:
        system, preset = self.contender.system, self.contender.preset
        program = [part.format(**self._programs) for part in system.command]
        return Driver([*program, preset.name, call, *map(str, numbers)], self._url, self._log)

    def call(self, call: str, *numbers: int) -> dict:
        """Runs a call that ends by itself; its answer, if it gives one."""
        with self.start(call, *numbers) as driver:
            answer = {} if call == "install" else driver.answer(self.sizes.limit)
            driver.finish(self.sizes.limit)
            return answer

    def acknowledged(self) -> int:
        return self.observer.until_empty(self.contender.system.any_unfinished, self.sizes.limit)

    def check_finished(self, expected: int) -> None:
        """Fails unless exactly the expected jobs were acknowledged."""
        system = self.contender.system
        if self.observer.query(system.any_unfinished):
            raise Failed("the database shows jobs that were not acknowledged")
        if system.finished and int(self.observer.value(system.finished)) != expected:
            found = self.observer.value(system.finished)
            raise Failed(f"the database shows {found} jobs acknowledged, not {expected}")

    def check_waiting(self, expected: int) -> None:
        found = int(self.observer.value(self.contender.system.count_unfinished))
        if found != expected:
            raise Failed(f"the database shows {found} jobs waiting, not {expected}")

    def wal(self) -> int:
        return int(self.observer.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def backlog(stage: Stage) -> Figures:
    """Fills the queue, then lets a worker empty it: bulk rate, drain rate, WAL."""
    preset = stage.contender.preset
    jobs = min(stage.sizes.jobs, preset.most_jobs)
    warm_up = min(preset.warm_up, jobs)
    stage.call("enqueue-bulk", warm_up, BULK_CHUNK)
    with stage.start("work", warm_up, 0) as worker:
        worker.event("handled", stage.sizes.limit)
        stage.acknowledged()

    # So that full-page images, if any, weigh alike.
    stage.observer.query("CHECKPOINT")
    before = stage.wal()
    produced = stage.call("enqueue-bulk", jobs, BULK_CHUNK)
    with stage.start("work", jobs, 0) as worker:
        first = worker.event("first", stage.sizes.limit)["at"]
        worker.event("handled", stage.sizes.limit)
        last = stage.acknowledged()
    after = stage.wal()
    stage.check_finished(warm_up + jobs)
    return {
        "drain": rate(jobs, first, last),
        "bulk": rate(produced["jobs"], produced["began"], produced["ended"]),
        "wal": (after - before) / jobs,
    }


def steady(stage: Stage) -> Figures:
    """A producer and a worker at the same time, until all that was produced is acknowledged."""
    preset = stage.contender.preset
    jobs = min(stage.sizes.steady_jobs, preset.most_jobs)
    warm_up = min(preset.warm_up, jobs)
    with stage.start("work", jobs, warm_up) as worker:
        stage.call("enqueue-bulk", warm_up, STEADY_CHUNK)
        worker.event("warm", stage.sizes.limit)
        stage.acknowledged()
        stage.observer.query("CHECKPOINT")
        produced = stage.call("enqueue-bulk", jobs, STEADY_CHUNK)
        worker.event("handled", stage.sizes.limit)
        last = stage.acknowledged()
    stage.check_finished(warm_up + jobs)
    return {"steady": rate(jobs, produced["began"], last)}


def single(stage: Stage) -> Figures:
    """One job after the other on one connection, nobody working."""
    jobs = stage.sizes.single_jobs
    produced = stage.call("enqueue-one", jobs)
    stage.check_waiting(jobs)
    return {"single": rate(produced["jobs"], produced["began"], produced["ended"])}


def pickup(stage: Stage) -> Figures:
    """From the commit as the producer sees it to the first line of the handler, idle system."""
    sizes, preset = stage.sizes, stage.contender.preset
    jobs = min(sizes.pickups, preset.pickups)
    warm_up = min(PICKUP_WARM_UP, preset.warm_up)
    pause = max(sizes.pickup_pause, preset.pickup_pause)
    with stage.start("pickup", jobs, warm_up) as worker:
        stage.call("enqueue-bulk", warm_up, STEADY_CHUNK)
        worker.event("warm", sizes.limit)
        stage.acknowledged()
        # Until it is idle again, whatever that means for it.
        time.sleep(0.5)
        committed = stage.call("enqueue-paced", jobs, int(pause * 1e6))["committed"]
        started = dict(worker.event("handled", sizes.limit)["started"])
        stage.acknowledged()
    stage.check_finished(warm_up + jobs)
    latencies = sorted((started[number] - at) / 1000 for number, at in enumerate(committed))
    return {"pickup_p50": percentile(latencies, 50), "pickup_p99": percentile(latencies, 99)}


def rate(jobs: int, began: int, ended: int) -> float:
    return jobs / max(ended - began, 1) * 1e6


@dataclass(frozen=True)
class Measurement:
    name: str
    run: Callable[[Stage], Figures]
    figures: Sequence[str]


MEASUREMENTS = (
    Measurement("backlog", backlog, ("drain", "bulk", "wal")),
    Measurement("steady", steady, ("steady",)),
    Measurement("single", single, ("single",)),
    Measurement("pickup", pickup, ("pickup_p50", "pickup_p99")),
)
