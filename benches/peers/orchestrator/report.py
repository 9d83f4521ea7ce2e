"""The report in Markdown. The comparison with the best rival is computed here and nowhere written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from .figures import FIGURES, Figure
from .measure import BULK_CHUNK, LEAST_FOR_BULK, PICKUP_WARM_UP, STEADY_CHUNK, Sizes
from .results import Results
from .systems import Contender, System

LEAST_FOR_A_COMPARISON = 50_000
TOO_SMALL = (
    f"**Too small to compare by**: with fewer than {LEAST_FOR_A_COMPARISON:,} jobs the drain is mostly how "
    "long a worker takes to connect. This run shows that everything works, and no more."
)


@dataclass(frozen=True)
class Circumstances:
    date: str
    machine: str
    postgres: str
    rounds: int
    sizes: Sizes


def write(results: Results, contenders: Sequence[Contender], around: Circumstances, plot: str) -> str:
    parts = [
        "# Comparison with other queues",
        "`just bench-peers` (`benches/peers/`) writes this file. Do not edit it by hand.",
        _circumstances(around),
        "" if around.sizes.jobs >= LEAST_FOR_A_COMPARISON else TOO_SMALL,
        f"![Medians at each system's best settings for the figure]({plot})",
        "## Figures",
        "Each figure is the median of the rounds, with the minimum and the maximum in brackets. The best figure of "
        f"each column is bold. Lower is better for {_names(FIGURES, False)}. Higher is better for the others.",
        _table(results, contenders),
        _failures(results, contenders),
        "## Comparison with the best rival",
        _best_rivals(results, contenders),
        "## What is timed",
        _method(around.sizes),
        "## Versions and settings",
        _settings(contenders, around),
        "## Fairness",
        _fairness(contenders),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _circumstances(around: Circumstances) -> str:
    rounds = "one round" if around.rounds == 1 else f"{around.rounds} rounds"
    return (
        f"{around.date}. {around.machine}; {around.postgres}. {rounds}. Each round measures the systems in "
        "turn. Client, worker and server share the cores. So a figure can be compared only with others of this run."
    )


def _names(figures: Sequence[Figure], higher: bool) -> str:
    return ", ".join(figure.title for figure in figures if figure.higher_is_better == higher)


def _table(results: Results, contenders: Sequence[Contender]) -> str:
    best = {figure: results.best(contenders, figure) for figure in FIGURES}
    rows = [["system, settings", *(f"{figure.title}, {figure.unit}" for figure in FIGURES)]]
    for contender in contenders:
        row = [f"**{contender.label}**" if contender.is_ours else contender.label]
        for figure in FIGURES:
            leader = best[figure]
            row.append(_cell(results, contender, figure, leader is not None and leader[0] is contender))
        rows.append(row)
    return _markdown(rows)


def _cell(results: Results, contender: Contender, figure: Figure, leads: bool) -> str:
    if results.failure(contender, figure):
        return "failed"
    summary = results.summary(contender, figure)
    if not summary:
        return "–"
    middle = figure.text(summary.median)
    spread = f" ({figure.text(summary.least)}–{figure.text(summary.most)})" if summary.least != summary.most else ""
    return (f"**{middle}**" if leads else middle) + spread


def _failures(results: Results, contenders: Sequence[Contender]) -> str:
    lines = []
    for contender in contenders:
        reasons: dict[str, list[str]] = {}
        for figure in FIGURES:
            if reason := results.failure(contender, figure):
                reasons.setdefault(reason, []).append(figure.title)
        lines += [f"- {contender.label}, {', '.join(titles)}: {reason}" for reason, titles in reasons.items()]
    return "Failed:\n\n" + "\n".join(lines) if lines else ""


def _best_rivals(results: Results, contenders: Sequence[Contender]) -> str:
    ours = [contender for contender in contenders if contender.is_ours]
    rivals = [contender for contender in contenders if not contender.is_ours]
    rows = [["figure", "Postrider", "best rival", "name of that rival", "better"]]
    for figure in FIGURES:
        own, rival = results.best(ours, figure), results.best(rivals, figure)
        if not own or not rival:
            continue
        one, other = own[1].median, rival[1].median
        if figure.better(one, other):
            ahead = f"Postrider, {figure.factor(one, other):.2f} ×"
        elif figure.better(other, one):
            ahead = f"**{rival[0].system.name}**, {figure.factor(other, one):.2f} ×"
        else:
            ahead = "level"
        title = f"{figure.title}, {figure.unit}"
        rows.append([title, figure.text(one), figure.text(other), rival[0].label, ahead])
    return _markdown(rows) if len(rows) > 1 else "Nothing to compare."


def _method(sizes: Sizes) -> str:
    return "\n".join(
        [
            "Each measurement uses a new database. The drivers are separate processes. A job contains one number and "
            "does nothing. After each measurement, a query checks that every job was acknowledged.",
            "",
            f"- **Drain**: {sizes.jobs:,} jobs wait. Then one worker process starts. The time is measured from "
            "the moment before this process connects until the database contains no unfinished job (queried every 2 ms "
            "after the last handler). So it includes the connections and the first claim of every system alike. It "
            "excludes the start of the process itself, which is a matter of the language.",
            f"- **Producer and worker together**: the worker is idle, after a warm-up. Then a second process "
            f"enqueues {sizes.steady_jobs:,} jobs in calls of {STEADY_CHUNK:,}. The time is measured from the first "
            "call to the last acknowledgement.",
            f"- **Single enqueue**: {sizes.single_jobs:,} calls, one after another. Each call commits.",
            f"- **Bulk enqueue**: the fastest call that the system documents, with {BULK_CHUNK:,} jobs a call. The "
            "client supplies the jobs.",
            f"- **Pickup**: {sizes.pickups:,} single jobs a round (fewer at the slowest settings), after a "
            f"warm-up of {PICKUP_WARM_UP} jobs. They are enqueued {sizes.pickup_pause * 1000:.0f} ms apart on average "
            "(half to one and a half times that). The time is measured from the return of the producer's call to the "
            "first line of the handler in another process. Both processes read the same clock. The time can be "
            "negative: a handler may start before the producer's commit returns.",
            "- **WAL**: the bytes written between the start of the bulk enqueue and the end of the drain, divided by "
            "the number of jobs. A warm-up and a `CHECKPOINT` come first, so full-page images affect all systems "
            "alike.",
        ]
    )


def _settings(contenders: Sequence[Contender], around: Circumstances) -> str:
    rows = [["system", "version", "settings", "bulk call", "jobs: drain, together", "rounds"]]
    for contender in contenders:
        system, preset = contender.system, contender.preset
        counts = [min(jobs, preset.most_jobs) for jobs in (around.sizes.jobs, around.sizes.steady_jobs)]
        rows.append(
            [
                f"{system.name} ({system.language})",
                system.version(),
                preset.settings if contender.is_ours else f"{preset.name}: {preset.settings}",
                system.bulk,
                f"{counts[0]:,}, {counts[1]:,}",
                str(min(around.rounds, preset.most_rounds)),
            ]
        )
    return _markdown(rows)


def _fairness(contenders: Sequence[Contender]) -> str:
    systems: list[System] = []
    for contender in contenders:
        if contender.system not in systems:
            systems.append(contender.system)
    general = [
        "- Each system has one worker process, whatever its language. Node and Python run on one core, Rust on both.",
        "- Slow settings get fewer jobs, and the slowest settings get fewer rounds (see above). Their rates hardly "
        f"depend on the number of jobs. Below {LEAST_FOR_BULK:,} jobs, bulk rate and WAL are not reported.",
        "- We wrote the drivers. They follow each project's own documentation. If you know better settings, please "
        "send them.",
    ]
    return "\n".join([*general, *(f"- **{system.name}** ({system.language}): {system.remarks}" for system in systems)])


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
