"""What was found: values of each round, and what did not work."""

from collections import defaultdict
from collections.abc import Iterable

from .figures import Figure, Summary
from .systems import Contender


class Results:
    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.failures: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, contender: Contender, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.values[contender.key][name].append(value)

    def fail(self, contender: Contender, figures: Iterable[str], reason: str) -> None:
        for name in figures:
            self.failures[contender.key][name] = reason

    def has_failed(self, contender: Contender, figures: Iterable[str]) -> bool:
        return any(name in self.failures[contender.key] for name in figures)

    def failure(self, contender: Contender, figure: Figure) -> str | None:
        return self.failures[contender.key].get(figure.name)

    def summary(self, contender: Contender, figure: Figure) -> Summary | None:
        """None where it was not measured, or failed in any round."""
        values = self.values[contender.key][figure.name]
        return None if not values or self.failure(contender, figure) else Summary.of(values)

    def best(self, contenders: Iterable[Contender], figure: Figure) -> tuple[Contender, Summary] | None:
        found: tuple[Contender, Summary] | None = None
        for contender in contenders:
            summary = self.summary(contender, figure)
            if summary and (found is None or figure.better(summary.median, found[1].median)):
                found = contender, summary
        return found
