"""What it was measured on, as far as it bears on the figures."""

import os
import platform
import re
from pathlib import Path

from .observer import Observer

SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "wal_level")


def describe_machine() -> str:
    model = _first_match(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$")
    memory = _first_match(Path("/proc/meminfo"), r"^MemTotal:\s*(\d+)")
    parts = [f"{os.cpu_count()} cores" + (f" ({model})" if model else "")]
    if memory:
        parts.append(f"{int(memory) / 2**20:.0f} GiB of memory")
    parts.append(f"{platform.system()} {platform.machine()}")
    return ", ".join(parts)


def describe_postgres(observer: Observer) -> str:
    version = observer.value("SHOW server_version").split()[0]
    settings = ", ".join(f"`{name} = {observer.value(f'SHOW {name}')}`" for name in SETTINGS)
    return f"PostgreSQL {version} with its default settings ({settings})"


def _first_match(file: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
