"""The facts that belong to every figure: processor, kernel, Python, commit."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Since this load, others' work shows in the figures.
BUSY = 1.0


@dataclass(frozen=True)
class Machine:
    """What the figures were taken on. A fact that cannot be read is "unknown"."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    commit: str
    # Load average of the last minute when the run began.
    load: float

    @staticmethod
    def read(repository: Path) -> "Machine":
        """Reads the facts."""
        total = _field("/proc/meminfo", "MemTotal").split()[0]
        return Machine(
            cpu=_field("/proc/cpuinfo", "model name"),
            cores=os.cpu_count() or 0,
            memory_gib=round(int(total) / 1024 / 1024, 1) if total.isdigit() else 0.0,
            kernel=os.uname().release,
            commit=_commit(repository),
            load=os.getloadavg()[0],
        )

    def line(self) -> str:
        """The facts in one line."""
        return (
            f"{self.cpu} ({self.cores} cores, {self.memory_gib} GiB), Linux {self.kernel}, "
            f"greenloom {self.commit}, load {self.load:.2f} at the start"
        )

    def busy(self) -> str | None:
        """A warning if others are at work here."""
        if self.load <= BUSY:
            return None
        return f"The machine was busy (load {self.load:.1f}): trust the ratios more than the medians."


def available() -> int:
    """Bytes of memory that a process can take without swapping."""
    free = _field("/proc/meminfo", "MemAvailable").split()[0]
    return int(free) * 1024 if free.isdigit() else 0


def _field(path: str, key: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip() or "unknown"
    return "unknown"


def _commit(repository: Path) -> str:
    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(repository), *words], capture_output=True, text=True, check=False
            )
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=10", "HEAD")
    if commit is None:
        return "of unknown commit"
    return f"{commit} with changes" if git("status", "--porcelain", "--untracked-files=no") else commit
