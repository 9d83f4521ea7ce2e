"""Driver processes: started in a group of their own, never waited for without a limit, and
ended with everything that they started.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

LIVING: set["Driver"] = set()


class Failed(Exception):
    """A driver did not do what it was asked; the text is for people."""


class Driver:
    """One driver process, whose answers are lines of JSON."""

    def __init__(self, command: Sequence[str], url: str, log: Path, stdin: bool = False) -> None:
        self.what = " ".join([Path(command[-1]).name] if len(command) == 1 else [Path(p).name for p in command])
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "DATABASE_URL": url},
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        LIVING.add(self)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # A pipe cannot be read with a limit, a queue can.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def answer(self, limit: float) -> dict:
        """Its next answer."""
        ends = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(ends - time.monotonic(), 0.001))
            except queue.Empty:
                raise Failed(f"`{self.what}` gave no answer within {limit:.0f} s") from None
            if line is None:
                status = self.process.wait(timeout=10)
                raise Failed(f"`{self.what}` ended with status {status}: {self._last_words()}")
            # Some libraries greet on standard output.
            if line.startswith("{"):
                return json.loads(line)

    def event(self, name: str, limit: float) -> dict:
        """Its next event of that name."""
        ends = time.monotonic() + limit
        while True:
            answer = self.answer(max(ends - time.monotonic(), 0.001))
            if answer.get("event") == name:
                return answer

    def finish(self, limit: float) -> None:
        """Waits until it has ended by itself, with success."""
        try:
            status = self.process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"`{self.what}` did not end within {limit:.0f} s") from None
        if status != 0:
            raise Failed(f"`{self.what}` ended with status {status}: {self._last_words()}")

    def stop(self) -> None:
        """Ends it and its children: asked first, for it may hold connections."""
        for sent, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, sent)
                self.process.wait(timeout=patience)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()
        LIVING.discard(self)

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-300:] or "it said nothing"

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def stop_all(keep: Driver | None = None) -> None:
    for driver in list(LIVING):
        if driver is not keep:
            driver.stop()
