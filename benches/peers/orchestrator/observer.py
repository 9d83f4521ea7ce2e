"""The database, seen from outside through `rust/observer`: the standard library speaks no
Postgres, and not every build of Postgres brings psql.
"""

import json
from pathlib import Path

from .processes import Driver, Failed
from .systems import PEERS

BINARY = str(PEERS / "rust/target/release/peers-observer")


class Observer:
    """A connection to one database, open from the start."""

    def __init__(self, url: str, log: Path) -> None:
        self.driver = Driver([BINARY], url, log, stdin=True)
        self.query("SELECT 1")

    def query(self, sql: str, limit: float = 60) -> list[list[str | None]]:
        return self._ask({"query": sql}, limit)["rows"]

    def value(self, sql: str) -> str:
        return self.query(sql)[0][0] or ""

    def until_empty(self, sql: str, within: float) -> int:
        """When the query had no row for the first time, in microseconds since 1970."""
        at = self._ask({"until": sql, "within": within}, within + 60)["at"]
        if at is None:
            raise Failed(f"jobs were not acknowledged in the database within {within:.0f} s")
        return at

    def _ask(self, request: dict, limit: float) -> dict:
        pipe = self.driver.process.stdin
        assert pipe
        pipe.write(json.dumps(request) + "\n")
        pipe.flush()
        answer = self.driver.answer(limit)
        if "error" in answer:
            raise Failed(f"the database says: {answer['error']}")
        return answer

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.stop()
