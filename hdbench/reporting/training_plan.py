"""The plan of a training as text (``hdbench train --plan``)."""

from __future__ import annotations

from hdbench.text import NOTHING, duration
from hdbench.training.levers import GPU_RESERVE, run_words
from hdbench.training.plan import MEMORIES, Plan, fitting

_NETWORKS = {"generator": "G", "encoder": "E", "discriminator": "D", "perceptual": "perceptual"}


def plan_text(plan: Plan) -> str:
    """Return stages, what makes the training fit, and how the numbers were found."""
    width = plan.start.benchmark.budget.width
    head = f"{run_words(plan.start)}, {width:g} of the method's channels"
    return "\n\n".join((head, _stages(plan), _memory(plan), _notes(plan)))


def _stages(plan: Plan) -> str:
    rows = [["stage", "image", "million parameters", "TFLOP", "", "GPU, GB", "", "steps", "time"]]
    rows.append(["", "", "", "step", "image", "step", "image", "", "a step", "in all"])
    rows[0] = [*rows[0], ""]
    for n, (stage, cost) in enumerate(zip(plan.stages, plan.costs, strict=True), start=1):
        counts = ", ".join(
            f"{_NETWORKS.get(name, name)} {cost.parameters[name] / 1e6:.1f}"
            for name in sorted(cost.parameters, key=list(_NETWORKS).index)
        )
        steps = stage.stop - stage.start
        seconds = plan.seconds[n - 1]
        batch = plan.start.benchmark.budget.batch_size
        rows.append(
            [
                f"{n} {_learns(plan, n - 1)}",
                f"{stage.size.width}x{stage.size.height}",
                counts,
                f"{cost.step_flops / 1e12:.3g}",
                f"{cost.synthesis_flops / batch / 1e12:.3g}",
                f"{cost.step_bytes / 1e9:.2f}",
                f"{cost.synthesis_bytes / 1e9:.2f}",
                f"{steps:,}" if plan.scenes else NOTHING,
                NOTHING if seconds is None else _short(seconds),
                NOTHING if seconds is None or not plan.scenes else duration(seconds * steps),
            ]
        )
    return _table(rows)


def _learns(plan: Plan, n: int) -> str:
    stage, whole = plan.stages[n].stage, plan.stages[n].generator
    if stage.trains == "newest-enhancer":
        return f"enhancer {stage.enhancers}"
    return f"{whole} to G{stage.enhancers + 1}" if stage.enhancers else whole


def _memory(plan: Plan) -> str:
    """Return the table of what fits."""
    most = max(cost.step_bytes for cost in plan.costs)
    marks = {True: "fits", False: NOTHING}
    prices = {} if plan.timing is None else plan.timing.prices
    rows = [["A step's peak on a GPU", "alone", "with all above", *(f"{m} GB" for m in MEMORIES)]]
    rows.append(["as it is", *[f"{most / 1e9:.1f} GB"] * 2, *(marks[f] for f in fitting(most))])
    rows[0] += ["time of a step"] if prices else []
    rows[1] += ["1.00"] if prices else []
    together = dict(plan.together)
    for change, alone in plan.alone:
        both = together.get(change)
        fits = [""] * len(MEMORIES) if both is None else [marks[fit] for fit in fitting(both)]
        added = "" if both is None else f"{both / 1e9:.1f} GB"
        price = [f"{prices[change]:.2f}" if change in prices else ""] if prices else []
        rows.append([change, f"{alone / 1e9:.1f} GB", added, *fits, *price])
    lines = [_table(rows), ""]
    steps = [("as it is", most), *together.items()]
    for memory in MEMORIES:
        enough = [n for n, (_, needed) in enumerate(steps) if fitting(needed, [memory])[0]]
        if not enough:
            lines.append(f"{memory} GB: does not fit with all of these")
        elif enough[0] == 0:
            lines.append(f"{memory} GB: fits as it is")
        else:
            names = [name for name, _ in steps[1 : enough[0] + 1]]
            lines.append(f"{memory} GB: {'; '.join(names)}")
    return "\n".join(lines)


def _notes(plan: Plan) -> str:
    notes = [
        f"On a CPU the largest stage's step needs {plan.cpu_bytes / 1e9:.1f} GB beside Python and "
        "PyTorch (about 0.5 GB).",
        "Memory is estimated from the shapes of all tensors of a step, and was checked against "
        "measured peaks on a CPU (tests/performance/memory.py), not on a GPU. What fits leaves "
        f"{GPU_RESERVE / 1e9:g} GB for CUDA itself, workspaces of convolutions and gaps.",
        "FLOPs are those of convolutions and products; a multiplication and an addition are two.",
    ]
    if plan.timing is not None and plan.timing.prices:
        size = plan.timing.sizes[-1]
        notes.append(
            f"The time of a step is that at {size.width}x{size.height} on this "
            f"{plan.timing.device}, each change alone, over the time as it is. --recompute gives "
            "the same weights, --accumulate the same up to the order of sums."
        )
    if plan.scenes is None:
        notes.append("The training scenes are not here, so the number of steps is unknown.")
    if plan.timing is None:
        notes.append(f"Time was not measured: {plan.untimed}.")
    else:
        one = plan.timing
        sizes = " and ".join(f"{size.width}x{size.height}" for size in one.sizes)
        seconds = " and ".join(_short(value) for value in one.seconds)
        busy = one.load - 1 > 0.25 * one.cores
        notes.append(
            "Time is extrapolated, in proportion to pixels, from steps of the last stage at "
            f"{sizes} ({seconds} of the processor) on this {one.device}; load {one.load:.1f} on "
            f"{one.cores} cores" + (", so other work disturbed it." if busy else ".")
        )
    return "\n".join(notes)


def _short(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _table(rows: list[list[str]]) -> str:
    """Return rows in columns, the first of which is words."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
