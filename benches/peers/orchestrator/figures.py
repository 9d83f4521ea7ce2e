"""What is reported of each contender, and how values of several rounds are summed up."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    decimals: int = 0

    def text(self, value: float) -> str:
        return f"{value:,.{self.decimals}f}"

    def better(self, one: float, other: float) -> bool:
        return one > other if self.higher_is_better else one < other

    def factor(self, one: float, other: float) -> float:
        """How many times better the one is than the other."""
        upper, lower = (one, other) if self.higher_is_better else (other, one)
        return upper / lower if lower > 0 else float("inf")


@dataclass(frozen=True)
class Summary:
    """The rounds of one figure."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        return cls(median(values), min(values), max(values))


FIGURES = (
    Figure("drain", "drain of a backlog", "jobs/s", higher_is_better=True),
    Figure("steady", "producer and worker together", "jobs/s", higher_is_better=True),
    Figure("single", "single enqueue (one connection)", "jobs/s", higher_is_better=True),
    Figure("bulk", "bulk enqueue", "jobs/s", higher_is_better=True),
    Figure("pickup_p50", "pickup p50", "ms", higher_is_better=False, decimals=2),
    Figure("pickup_p99", "pickup p99", "ms", higher_is_better=False, decimals=2),
    Figure("wal", "WAL a job (insert and run)", "B", higher_is_better=False),
)
