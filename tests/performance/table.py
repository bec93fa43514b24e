"""Run the scripts that measure time, and print or write what they say as one Markdown table."""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from pathlib import Path

import torch

from hdbench.runtime.devices import machine_facts

HERE = Path(__file__).parent
#: Scripts and their options, such that all take a few minutes on two cores. A further script
#: is a further line here.
SCRIPTS = (
    ("synthesize.py", "--rounds", "2"),
    ("pipeline.py",),
    ("train_step.py", "--only", "small"),
    ("ranks.py",),
)


def rows_of(script: str, *options: str) -> list[str]:
    """Run a script, and return a row for each line that it prints."""
    print(f"{script} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    command = [sys.executable, str(HERE / script), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line.replace("|", "\\|") for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        lines.append(f"ended with exit status {done.returncode}")
    lines.append(f"took {time.monotonic() - began:.0f} s")
    name = " ".join((script, *options))
    return [f"| {name if n == 0 else ''} | {line.strip()} |" for n, line in enumerate(lines)]


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    options = parser.parse_args()
    facts = machine_facts(torch.device("cpu"))
    lines = [
        f"{facts['processor']}, {facts['threads']} threads, PyTorch {torch.__version__}, "
        f"{datetime.date.today().isoformat()}",
        "",
        "| script | measured |",
        "|---|---|",
        *(row for script in SCRIPTS for row in rows_of(*script)),
    ]
    text = "\n".join(lines) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
