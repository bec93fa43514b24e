"""The card (README.md) of a generator for the model hub."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hdbench.schema.hub import HubConfig
from hdbench.schema.result import Result
from hdbench.text import ACCURACY, SCORE, markdown, percent

#: What the hub reads at the top of a card.
_METADATA = """---
license: other  # FILL IN
library_name: hdbench
pipeline_tag: image-to-image
tags: [pix2pixHD, semantic-image-synthesis, GAN]
---"""


@dataclass(frozen=True)
class CardFacts:
    """What the card says beside the configuration."""

    config: HubConfig
    #: Of the generator.
    parameters: int
    #: Title of the benchmark.
    benchmark: str
    #: Command, steps and scenes of the training; None where hdbench did not train it.
    training: tuple[str, int, int] | None
    #: Scores on the benchmark; None where nothing is measured.
    result: Result | None


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown, with the metadata that the hub reads at its top."""
    method, (width, height) = facts.config.method, facts.config.size
    parts = [
        _METADATA,
        f"# {markdown(method.title)}",
        f"A generator of semantic image synthesis (pix2pixHD, Wang et al., CVPR 2018) with "
        f"{facts.parameters:,} parameters: from label maps of '{method.label_space}' to images of "
        f"{width}x{height}.",
        f"## Training\n\n{_training(facts)}",
        f"## Scores\n\n{_scores(facts)}",
        f"## Use\n\n{_usage(facts.config)}",
        "## Licence\n\nFILL IN: the licence of these weights. It depends on that of the "
        "photographs that they were trained on.",
    ]
    return "\n\n".join(parts) + "\n"


def _training(facts: CardFacts) -> str:
    method = facts.config.method
    if facts.training is None:
        return f"hdbench did not train it. The weights came from {markdown(method.source)}."
    command, steps, scenes = facts.training
    return f"Trained on {scenes:,} scenes of {facts.benchmark} in {steps:,} steps, by\n`{command}`."


def _scores(facts: CardFacts) -> str:
    result = facts.result
    if result is None:
        return "Not measured yet: `hdbench evaluate` before `hdbench export-weights` adds them."
    return "\n".join(
        [
            f"{len(result.scenes)} scenes of {facts.benchmark}, scoring `{result.scoring}`, "
            f"fingerprint `{result.fingerprint[:16]}`.",
            "",
            "| pixel accuracy | mean IoU |",
            "|---|---|",
            f"| {percent(result.scores.pixel_accuracy, ACCURACY)} "
            f"| {SCORE.text(result.scores.mean_iou)} |",
        ]
    )


def _usage(config: HubConfig) -> str:
    name = json.dumps(config.method.name)[1:-1]
    return "\n".join(
        [
            "```sh",
            "pip install hdbench",
            f"hdbench import-weights --from-hub DIR --as {name}",
            f"hdbench evaluate --method {name}",
            "```",
            "",
            "```python",
            "import hdbench",
            "from PIL import Image",
            "",
            'generator = hdbench.load_generator("DIR")  # this folder',
            'image = generator.synthesize(Image.open("label.png"), Image.open("instance.png"))',
            "```",
        ]
    )
