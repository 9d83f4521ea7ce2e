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
LEAST_FOR_BULK = 1_000
"""Below this, one call is over before a rate means anything, and maintenance outweighs the jobs."""
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

    def acknowledged(self, expected: int) -> int:
        """When the database first showed all of them acknowledged."""
        return self.observer.until_empty(self.contender.system.pending(expected), self.sizes.limit)

    def warm_up(self, jobs: int) -> None:
        """Lets a worker run some jobs: some systems complete their schema only then."""
        self.call("enqueue-bulk", jobs, BULK_CHUNK)
        with self.start("work", jobs, 0) as worker:
            worker.event("handled", self.sizes.limit)
            self.acknowledged(jobs)

    def check_finished(self, expected: int) -> None:
        """Fails unless exactly the expected jobs were acknowledged."""
        system = self.contender.system
        if self.observer.query(system.pending(expected)):
            raise Failed("the database shows jobs that were not acknowledged")
        if system.finished and int(self.observer.value(system.finished)) != expected:
            found = self.observer.value(system.finished)
            raise Failed(f"the database shows {found} jobs acknowledged, not {expected}")

    def waiting(self) -> int:
        return int(self.observer.value(self.contender.system.count_waiting))

    def wal(self) -> int:
        return int(self.observer.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def backlog(stage: Stage) -> Figures:
    """Fills the queue, then lets a worker empty it, its connecting timed along: bulk rate, drain rate, WAL."""
    preset = stage.contender.preset
    jobs = min(stage.sizes.jobs, preset.most_jobs)
    warm_up = min(preset.warm_up, jobs)
    stage.warm_up(warm_up)
    # So that full-page images, if any, weigh alike.
    stage.observer.query("CHECKPOINT")
    before = stage.wal()
    produced = stage.call("enqueue-bulk", jobs, BULK_CHUNK)
    with stage.start("work", jobs, 0) as worker:
        began = worker.event("start", stage.sizes.limit)["at"]
        worker.event("handled", stage.sizes.limit)
        last = stage.acknowledged(warm_up + jobs)
    after = stage.wal()
    stage.check_finished(warm_up + jobs)
    figures = {"drain": rate(jobs, began, last)}
    if jobs >= LEAST_FOR_BULK:
        figures["bulk"] = rate(produced["jobs"], produced["began"], produced["ended"])
        figures["wal"] = (after - before) / jobs
    return figures


def steady(stage: Stage) -> Figures:
    """A producer and a worker at the same time, until all that was produced is acknowledged."""
    preset = stage.contender.preset
    jobs = min(stage.sizes.steady_jobs, preset.most_jobs)
    warm_up = min(preset.warm_up, jobs)
    with stage.start("work", jobs, warm_up) as worker:
        stage.call("enqueue-bulk", warm_up, STEADY_CHUNK)
        worker.event("warm", stage.sizes.limit)
        stage.acknowledged(warm_up)
        stage.observer.query("CHECKPOINT")
        produced = stage.call("enqueue-bulk", jobs, STEADY_CHUNK)
        worker.event("handled", stage.sizes.limit)
        last = stage.acknowledged(warm_up + jobs)
    stage.check_finished(warm_up + jobs)
    return {"steady": rate(jobs, produced["began"], last)}


def single(stage: Stage) -> Figures:
    """One job after the other on one connection, nobody working."""
    jobs = stage.sizes.single_jobs
    stage.warm_up(min(stage.contender.preset.warm_up, jobs))
    before = stage.waiting()
    stage.observer.query("CHECKPOINT")
    produced = stage.call("enqueue-one", jobs)
    if (added := stage.waiting() - before) != jobs:
        raise Failed(f"the database shows {added} jobs waiting, not {jobs}")
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
        stage.acknowledged(warm_up)
        # Until it is idle again, whatever that means for it.
        time.sleep(0.5)
        committed = stage.call("enqueue-paced", jobs, int(pause * 1e6))["committed"]
        started = dict(worker.event("handled", sizes.limit)["started"])
        stage.acknowledged(warm_up + jobs)
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
