"""The stages of a training: which networks, at which size, for which steps."""

from __future__ import annotations

from dataclasses import dataclass

from hdbench.errors import counted
from hdbench.schema.benchmark import Benchmark, Budget, Size
from hdbench.schema.method import Pix2PixHD, Stage


def stages_of(method: Pix2PixHD, budget: Budget) -> list[Stage]:
    """Return a method's stages; one that trains everything at once if its file has none."""
    at_once = Stage(
        enhancers=method.generator.enhancers,
        trains="all",
        epochs=budget.epochs,
        decay_epochs=budget.decay_epochs,
        rate=1.0,
    )
    return method.stage or [at_once]


def at_stage(method: Pix2PixHD, stage: Stage) -> Pix2PixHD:
    """Return the method whose networks are those of a stage."""
    missing = method.generator.enhancers - stage.enhancers
    generator, discriminator = method.generator, method.discriminator
    if missing:
        generator = generator.model_copy(update={"enhancers": stage.enhancers})
    if missing and discriminator is not None:
        scales = max(1, discriminator.scales - missing)
        discriminator = discriminator.model_copy(update={"scales": scales})
    update = {"generator": generator, "discriminator": discriminator, "stage": []}
    return method.model_copy(update=update)


@dataclass(frozen=True)
class StagePlan:
    """The steps and the image size of one stage."""

    stage: Stage
    #: Of the images that the stage is trained on.
    size: Size
    #: Steps before the stage.
    start: int
    #: Steps at the full rate, and steps of decay after them.
    constant: int
    decay: int
    #: The full learning rate.
    peak: float
    #: What the whole generator is called: G1 is the global generator of pix2pixHD.
    generator: str = "G1"

    @property
    def stop(self) -> int:
        """Steps before the stage after it."""
        return self.start + self.constant + self.decay

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step: constant, then linear to 0 after the last step (P App. A)."""
        left = self.stop - step
        return self.peak if left > self.decay else self.peak * left / max(1, self.decay)

    @property
    def words(self) -> str:
        """Generator, size, steps and rate in words."""
        count, only = self.stage.enhancers, self.stage.trains == "newest-enhancer"
        if only:
            learns = f"enhancer {count}"
        else:
            enhancers = [counted(count, "enhancer")] if count else []
            learns = " and ".join([self.generator, *enhancers])
        return (
            f"{learns} at {self.size.width}x{self.size.height}, {self.peak:g} for {self.constant} "
            f"steps, then linear to 0 in {self.decay}"
        )


def planned_stages(method: Pix2PixHD, benchmark: Benchmark, per_epoch: int) -> list[StagePlan]:
    """Return what a training does, stage by stage.

    Args:
        method: the resolved method.
        benchmark: the image size, and the epochs that all stages last together.
        per_epoch: steps of an epoch.
    """
    budget, size = benchmark.budget, benchmark.size
    stages = stages_of(method, budget)
    steps = (budget.epochs + budget.decay_epochs) * per_epoch
    epochs = sum(stage.epochs + stage.decay_epochs for stage in stages)
    plans: list[StagePlan] = []
    start = before = 0
    for stage in stages:
        flat = round(steps * (before + stage.epochs) / epochs)
        before += stage.epochs + stage.decay_epochs
        stop = round(steps * before / epochs)
        shrink = 2 ** (method.generator.enhancers - stage.enhancers)
        plans.append(
            StagePlan(
                stage,
                Size(width=size.width // shrink, height=size.height // shrink),
                start,
                flat - start,
                stop - flat,
                method.optimizer.learning_rate * stage.rate,
                "G1" if method.generator.network == "coarse-to-fine" else "generator",
            )
        )
        start = stop
    return plans
