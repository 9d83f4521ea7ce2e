"""The catalogue of what is measured: systems, their settings, and how to see in the database
that each job was acknowledged. A rival is added here, and in a driver.

Job counts are bounded where a setting is too slow for the full number in reasonable time;
rates do not depend on it much, and the report says so.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Preset:
    """One way to set a system."""

    name: str
    settings: str
    most_jobs: int = 1_000_000
    """No more jobs than this in one run."""
    warm_up: int = 1_000
    pickups: int = 1_000
    """No more single jobs than this for the latency."""
    pickup_pause: float = 0
    """At least so many seconds between them."""
    most_rounds: int = 1_000
    """No more rounds than this, where a round is slow and the figure steady or far behind."""


@dataclass(frozen=True)
class System:
    name: str
    language: str
    lock: str
    """The lock file that pins it, where its version is read."""
    command: tuple[str, ...]
    presets: tuple[Preset, ...]
    unfinished: str | None
    """SQL, what follows FROM: the jobs that are not acknowledged. Asked often, so it has to be
    quick to find one; None where `finished` is the quicker question."""
    finished: str | None
    """SQL that counts acknowledged jobs; None where the system does not keep them."""
    bulk: str
    remarks: str
    waiting: str | None = None
    """SQL that counts the jobs of a queue that nobody has worked on, where `unfinished` cannot."""

    def version(self) -> str:
        """From the lock file, so that the report cannot say another one than was measured."""
        patterns = {
            "rust/Cargo.lock": rf'name = "{re.escape(self.name)}"\nversion = "([^"]+)"',
            "node/package-lock.json": rf'"node_modules/{re.escape(self.name)}": {{\s+"version": "([^"]+)"',
            "python/requirements.txt": rf"^{re.escape(self.name)}==(\S+)",
        }
        found = re.search(patterns[self.lock], (PEERS / self.lock).read_text(), re.MULTILINE)
        return found[1] if found else "unknown"


    def pending(self, expected: int) -> str:
        """SQL with a row until this many jobs were acknowledged and none is left."""
        if self.unfinished:
            return f"SELECT 1 FROM {self.unfinished} LIMIT 1"
        return f"SELECT 1 WHERE ({self.finished}) < {expected}"

    @property
    def count_waiting(self) -> str:
        return self.waiting or f"SELECT count(*) FROM {self.unfinished}"


@dataclass(frozen=True)
class Contender:
    """A system in one of its settings: what takes a turn, and a row of the table."""

    system: System
    preset: Preset

    @property
    def label(self) -> str:
        if self.is_ours:
            return self.system.name
        return f"{self.system.name} ({self.system.language}), {self.preset.name}"

    @property
    def key(self) -> str:
        return f"{self.system.name}:{self.preset.name}"

    @property
    def is_ours(self) -> bool:
        return self.system is POSTRIDER


def rust(package: str) -> tuple[str, ...]:
    return (str(PEERS / "rust/target/release" / package),)


def node(script: str) -> tuple[str, ...]:
    return ("{node}", str(PEERS / "node" / script))


POSTRIDER = System(
    name="postrider",
    language="Rust",
    lock="rust/Cargo.lock",
    command=rust("peers-postrider"),
    presets=(Preset("defaults", "its defaults: `Worker::new(…).queue(\"default\", 100)`"),),
    unfinished="postrider.job",
    finished="SELECT count(*) FROM postrider.jobs WHERE kind = 'nothing' AND state = 'completed'",
    bulk="`copy` (COPY)",
    remarks="Keeps every finished job: the statement that finishes a job moves it to the history. Each job is one "
    "handler call with its own outcome. Claims commit asynchronously. Enqueues and finishes commit durably.",
)

RIVALS = (
    System(
        name="graphile_worker",
        language="Rust",
        lock="rust/Cargo.lock",
        command=rust("peers-graphile-worker"),
        presets=(
            # A slot takes one job each time that it is woken, by a notification or the poll.
            Preset(
                "defaults",
                "`WorkerOptions::default()`: as many slots as cores, poll 1 s, no local queue",
                most_jobs=10,
                warm_up=2,
                most_rounds=3,
            ),
            Preset(
                "best",
                "those of its throughput benchmark: 500 slots, poll 5 ms, local queue of 5,000, completions and "
                "failures in batches of 5 ms",
            ),
            Preset("best-2", "`best` with 2 local queues (`queue_count`) of 2,500"),
            Preset("best-4", "`best` with 4 local queues (`queue_count`) of 1,250"),
        ),
        unfinished="graphile_worker._private_jobs",
        finished=None,
        bulk="`add_raw_jobs`",
        remarks="Deletes finished jobs, so it has no cost for a history. With local queues, up to 5,000 jobs are "
        "prefetched, and they stay locked if the process dies. By default, a slot takes one job each time that it is woken, so a "
        "backlog is worked off by polling.",
    ),
    System(
        name="awa",
        language="Rust",
        lock="rust/Cargo.lock",
        command=rust("peers-awa"),
        presets=(
            Preset(
                "defaults",
                "`QueueConfig::default()`: 50 slots, a deadline of 5 min",
                most_jobs=10_000,
                most_rounds=3,
            ),
            Preset(
                "best",
                "those of its queue storage benchmark: 512 slots, claims of 512, no deadline (the compact path)",
                most_jobs=50_000,
            ),
        ),
        # Its view of all jobs takes seconds; this is what its own exact counts add up.
        unfinished=None,
        finished="SELECT (SELECT coalesce(sum(live_terminal_count), 0) FROM awa.queue_terminal_live_counts)"
        " + (SELECT coalesce(sum(terminal_delta), 0) FROM awa.queue_terminal_count_deltas)"
        " + (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)"
        " + (SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups)"
        " - (SELECT count(*) FROM awa.done_entries WHERE state <> 'completed')",
        waiting="SELECT count(*) FROM awa.ready_entries",
        bulk="`QueueStorage::enqueue_params_copy` (COPY)",
        remarks="Keeps finished jobs in rotating partitions. Without a deadline, no timeout rescues a stuck job.",
    ),
    System(
        name="apalis-postgres",
        language="Rust",
        lock="rust/Cargo.lock",
        command=rust("peers-apalis"),
        presets=(
            # An idle worker looks again at its heartbeat, 30 s later.
            Preset(
                "defaults",
                "the worker of its README: it fetches 10 jobs at once; when idle, it polls with its heartbeat, every "
                "30 s",
                most_jobs=10_000,
                pickups=20,
                most_rounds=1,
            ),
            Preset(
                "best",
                "LISTEN, poll 100 ms, fetches of 1,000 jobs, 1,000 jobs at once by `parallelize`, no lock for each "
                "task",
                most_jobs=50_000,
            ),
        ),
        unfinished="apalis.jobs WHERE status <> 'Done'",
        finished="SELECT count(*) FROM apalis.jobs WHERE status = 'Done'",
        bulk="`push_bulk` (unnest)",
        remarks="Keeps finished jobs in the same table as waiting jobs. Each inserted row sends its own notification, "
        "even if no session listens. By default, the last acknowledgements wait for the worker's heartbeat.",
    ),
    System(
        name="riverqueue",
        language="Rust",
        lock="rust/Cargo.lock",
        command=rust("peers-riverqueue"),
        presets=(
            # Ten jobs at most each time that the fetch cooldown is over.
            Preset(
                "defaults",
                "the worker of its README: `QueueConfig::new(10)`, fetch cooldown 100 ms, poll 1 s",
                most_jobs=1_000,
                warm_up=100,
                most_rounds=3,
            ),
            Preset(
                "best",
                "those of its own benchmark (`riverqueue bench`): 2,000 jobs at once, fetch cooldown 2 ms, poll "
                "20 ms, 50 connections",
            ),
            Preset(
                "pickup",
                "for the pickup: LISTEN, the shortest fetch cooldown (1 ms, the producer's too) and poll (1 ms) that "
                "it allows, 100 jobs at once",
            ),
        ),
        # By name, because the index of the states has no use for "all but the completed".
        unfinished="river_job WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled')",
        finished="SELECT count(*) FROM river_job WHERE state = 'completed'",
        bulk="`insert_many`",
        remarks="Keeps finished jobs in the same table as waiting jobs. `insert_many` is one transaction, but in this "
        "version it sends a statement for each job. A client that has notified the workers sends no other "
        "notification until its fetch cooldown is over, and a job without one waits for the next fetch: with jobs "
        "15 ms apart and a cooldown of 100 ms, this decides the pickup of `defaults`, and the poll that of `best`.",
    ),
    System(
        name="graphile-worker",
        language="Node",
        lock="node/package-lock.json",
        command=node("graphile_worker.js"),
        presets=(
            Preset(
                "defaults",
                "`WorkerPreset`: one job at a time, poll 2 s",
                most_jobs=1_000,
                warm_up=100,
                most_rounds=3,
            ),
            Preset(
                "best",
                "those of its performance page: 24 jobs at once, local queue of 500, completions and failures in "
                "batches without delay",
            ),
        ),
        unfinished="graphile_worker._private_jobs",
        finished=None,
        bulk="`addJobs`",
        remarks="Deletes finished jobs, so it has no cost for a history. Its SQL function `add_jobs` is faster still "
        "if the jobs are created inside the database. Here, the client supplies the jobs to every system.",
    ),
    System(
        name="pg-boss",
        language="Node",
        lock="node/package-lock.json",
        command=node("pg_boss.js"),
        presets=(
            Preset(
                "defaults",
                "`work(queue, handler)`: one job every 2 s",
                most_jobs=4,
                warm_up=1,
                pickups=5,
                pickup_pause=2.2,
                most_rounds=2,
            ),
            Preset(
                "best",
                "batches of 1,000, `burstWhenBatchFull`, LISTEN/NOTIFY for the queue, poll 0.5 s",
            ),
        ),
        unfinished="pgboss.job WHERE name = 'peers' AND state IN ('created', 'retry', 'active')",
        finished="SELECT count(*) FROM pgboss.job WHERE name = 'peers' AND state = 'completed'",
        bulk="`insert`",
        remarks="Keeps finished jobs in the same table as waiting jobs. In `best`, one handler call gets up to 1,000 "
        "jobs, which succeed or fail together.",
    ),
    System(
        name="procrastinate",
        language="Python",
        lock="python/requirements.txt",
        command=("{python}", str(PEERS / "python/drive_procrastinate.py")),
        presets=(
            Preset("defaults", "one job at a time", most_jobs=1_000, warm_up=100, most_rounds=3),
            Preset("best", "30 asynchronous jobs at once, up to 30 connections", most_jobs=2_000, warm_up=200),
        ),
        unfinished="procrastinate_jobs WHERE status IN ('todo', 'doing')",
        finished="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
        bulk="`batch_defer_async`",
        remarks="Keeps finished jobs in the same table as waiting jobs, and every change of state in a table of "
        "events.",
    ),
)

SYSTEMS = (POSTRIDER, *RIVALS)
CONTENDERS = tuple(Contender(system, preset) for system in SYSTEMS for preset in system.presets)
