"""What ``hdbench --help`` costs: best and median of 15 runs, after a first one."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*command: str) -> list[float]:
    """Return the wall time of 15 runs after one that fills the caches."""
    times = []
    for _ in range(16):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return times[1:]


bare = seconds(sys.executable, "-c", "pass")
helped = seconds(sys.executable, "-m", "hdbench", "--help")
for name, times in (("python -c pass", bare), ("hdbench --help", helped)):
    print(f"{name:16} best {min(times):.3f} s, median {statistics.median(times):.3f} s")
print(f"ratio of medians {statistics.median(helped) / statistics.median(bare):.1f}x")
