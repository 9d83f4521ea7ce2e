"""Runs the measurements that the command line asks for, and writes the report.

The cluster is the caller's (`DATABASE_URL`), and so are the programs: `benches/peers/run`
installs them. A system that could not be installed, or fails, is reported as such and keeps
none of the others from its turn.
"""

import argparse
import datetime
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import plot, report
from .machine import describe_machine, describe_postgres
from .measure import MEASUREMENTS, Measurement, Sizes, Stage
from .observer import Observer
from .processes import Failed, stop_all
from .results import Results
from .systems import CONTENDERS, SYSTEMS, Contender


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.check:
        return 0
    try:
        return measure(options)
    except KeyboardInterrupt:
        return 130
    finally:
        stop_all()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/peers/run", description="Measures Postrider beside its rivals.")
    names = [system.name for system in SYSTEMS]
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5, with --quick 1")
    parser.add_argument("--jobs", type=int, metavar="N", help="backlog to drain; default: 200,000, with --quick 5,000")
    parser.add_argument(
        "--systems", metavar="NAME,…", help=f"only these, each as NAME or NAME:PRESET: {', '.join(names)}"
    )
    measurements = [measurement.name for measurement in MEASUREMENTS]
    parser.add_argument("--only", metavar="NAME,…", help=f"only these measurements: {', '.join(measurements)}")
    parser.add_argument("--quick", action="store_true", help="small numbers, one round: does everything work?")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="for the report; default: docs, with --quick .dev/peers/quick"
    )
    # What `run` tells.
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    for hidden in ("--node", "--python"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    for hidden in ("--caller", "--logs", "--problems", "--report-folder", "--quick-folder"):
        parser.add_argument(hidden, type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.contenders = chosen_contenders(parser, options.systems)
    options.measurements = chosen_measurements(parser, options.only)
    if any(number is not None and number < 1 for number in (options.rounds, options.jobs)):
        parser.error("--rounds and --jobs are at least 1")
    options.rounds = options.rounds or (1 if options.quick else 5)
    standard = options.quick_folder if options.quick else options.report_folder
    options.output = options.caller / options.output if options.output else standard
    return options


def chosen_contenders(parser: argparse.ArgumentParser, wanted: str | None) -> Sequence[Contender]:
    if not wanted:
        return CONTENDERS
    words = wanted.split(",")
    known = {contender.key for contender in CONTENDERS} | {contender.system.name for contender in CONTENDERS}
    for word in words:
        if word not in known:
            parser.error(f"no such system: {word} (there are {', '.join(sorted(known))})")
    return [contender for contender in CONTENDERS if contender.key in words or contender.system.name in words]


def chosen_measurements(parser: argparse.ArgumentParser, wanted: str | None) -> Sequence[Measurement]:
    if not wanted:
        return MEASUREMENTS
    known = {measurement.name: measurement for measurement in MEASUREMENTS}
    for word in wanted.split(","):
        if word not in known:
            parser.error(f"no such measurement: {word} (there are {', '.join(known)})")
    return [known[word] for word in wanted.split(",")]


def sizes_of(options: argparse.Namespace) -> Sizes:
    if options.quick:
        jobs = options.jobs or 5_000
        return Sizes(jobs, jobs, single_jobs=500, pickups=50, pickup_pause=0.015, limit=60)
    jobs = options.jobs or 200_000
    # Half the backlog's: long enough to be steady, and two thirds of the time saved.
    return Sizes(jobs, max(jobs // 2, 1), single_jobs=1_000, pickups=250, pickup_pause=0.015, limit=180)


def measure(options: argparse.Namespace) -> int:
    url, sizes, results = os.environ["DATABASE_URL"], sizes_of(options), Results()
    options.logs.mkdir(parents=True, exist_ok=True)
    with Observer(url, options.logs / "observer.log") as server:
        note_problems(options, results)
        for number in range(options.rounds):
            # Nobody is always first, or always behind the same neighbour's leftovers.
            shift = number * len(options.contenders) // options.rounds
            for contender in [*options.contenders[shift:], *options.contenders[:shift]]:
                for measurement in options.measurements:
                    due = number < contender.preset.most_rounds
                    if due and not results.has_failed(contender, measurement.figures):
                        take(measurement, contender, number, sizes, server, options, results)
        around = report.Circumstances(
            date=datetime.date.today().isoformat(),
            machine=describe_machine(),
            postgres=describe_postgres(server),
            rounds=options.rounds,
            sizes=sizes,
        )
    write(options, results, around)
    return 1 if any(results.failures.values()) else 0


def note_problems(options: argparse.Namespace, results: Results) -> None:
    """`run` leaves a file for each system that it could not install."""
    for contender in options.contenders:
        problem = options.problems / contender.system.name
        if problem.exists():
            every = [name for measurement in MEASUREMENTS for name in measurement.figures]
            results.fail(contender, every, f"not installed: {problem.read_text().strip()}")


def take(
    measurement: Measurement,
    contender: Contender,
    number: int,
    sizes: Sizes,
    server: Observer,
    options: argparse.Namespace,
    results: Results,
) -> None:
    began = time.monotonic()
    base, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    database = f"peers_{os.getpid()}"
    log = options.logs / f"{contender.key.replace(':', '.')}.{measurement.name}.log"
    server.query(f"CREATE DATABASE {database}")
    try:
        url = f"{base}/{database}"
        with Observer(url, log) as observer:
            programs = {"node": options.node, "python": options.python}
            figures = measurement.run(Stage(contender, sizes, url, observer, programs, log))
        results.add(contender, figures)
        found = ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
    except (Failed, OSError, KeyError) as failure:
        results.fail(contender, measurement.figures, str(failure) or repr(failure))
        found = f"FAILED: {failure}"
    finally:
        stop_all(keep=server.driver)
        server.query(f"DROP DATABASE {database} WITH (FORCE)")
    took = time.monotonic() - began
    print(f"round {number + 1}  {contender.key:28}  {measurement.name:8}  {took:5.1f} s  {found}", flush=True)


def write(options: argparse.Namespace, results: Results, around: report.Circumstances) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    text = report.write(results, options.contenders, around, "benchmarks.svg")
    (options.output / "benchmarks.md").write_text(text)
    (options.output / "benchmarks.svg").write_text(plot.draw(results, options.contenders))
    raw = {
        contender.key: {
            "version": contender.system.version(),
            "rounds": {
                name: [round(value, 3) for value in values]
                for name, values in results.values[contender.key].items()
            },
            "failures": results.failures[contender.key],
        }
        for contender in options.contenders
    }
    (options.output / "benchmarks.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(f"written: {options.output / 'benchmarks.md'}")


sys.exit(main())
