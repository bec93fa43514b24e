"""A training step of the quickstart beside other work, by how OpenMP's threads wait for each other.

Every way of waiting is timed in fresh processes, which take turns: idle, and beside a process that
keeps one core busy. With ``--step`` the script is such a process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

#: The variables of each way of waiting. If the first is set, ``hdbench.runtime.threads`` rests.
WAYS: dict[str, dict[str, str]] = {
    "libgomp alone": {"GOMP_SPINCOUNT": "300000"},  # its own number of spins
    "hdbench": {},
    "never spin": {"GOMP_SPINCOUNT": "0"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
STEPS = 40
#: A process stops earlier after this many seconds.
LIMIT = 15.0
BUSY = "while True: pass"


def step_seconds() -> float:
    """Return the median seconds of at most ``STEPS`` steps, after three that warm up."""
    import torch

    from hdbench.data.scene import collate
    from hdbench.library import Library
    from hdbench.networks.perceptual import PerceptualNetwork
    from hdbench.runtime.devices import choose_device
    from hdbench.schema.method import Pix2PixHD
    from hdbench.streets.scene import draw_scene
    from hdbench.training.trainer import Pix2PixHDTrainer

    library = Library()
    torch.manual_seed(0)
    network = PerceptualNetwork([16, 32, 64, 96, 96], [2, 2, 2, 2, 1])
    method, benchmark = library.method("ours"), library.benchmark("streets-quick")
    assert isinstance(method, Pix2PixHD)
    trainer = Pix2PixHDTrainer(method, benchmark, 0, network, choose_device("cpu"))
    batches = [collate([draw_scene(1, n, 256, 128)]) for n in range(4)]
    times = []
    for n in range(3 + STEPS):
        began = time.perf_counter()
        trainer.step(batches[n % 4], 2e-4)
        times.append(time.perf_counter() - began)
        if sum(times) > LIMIT:
            break
    return statistics.median(times[3:] or times)


def timed(variables: dict[str, str]) -> float:
    """Return what a fresh process with these variables measures."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--step"]
    done = subprocess.run(
        command, env=environment | variables, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Time every way idle and beside a busy core, in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.step:
        print(step_seconds())
        return
    idle: dict[str, list[float]] = {name: [] for name in WAYS}
    busy: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, variables in WAYS.items():
            idle[name].append(timed(variables))
            other = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
            try:
                busy[name].append(timed(variables))
            finally:
                other.kill()
                other.wait()
            print(f"  {name}: idle {idle[name][-1]:.3f} s, busy {busy[name][-1]:.3f} s", flush=True)
    best = statistics.median(idle["libgomp alone"])
    for name in WAYS:
        alone, beside = statistics.median(idle[name]), statistics.median(busy[name])
        print(
            f"{name:14} idle {alone:.3f} s ({alone / best:.2f}x), one of {os.cpu_count()} cores "
            f"busy {beside:.3f} s ({beside / best:.2f}x)"
        )


if __name__ == "__main__":
    main()
