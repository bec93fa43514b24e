"""The researcher's private preview: everything that participants see, with names.

It is beside the images and is never served.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hdbench.schema.packet import Box, StudyRecord
from hdbench.study.design.balance import Finding, side_counts
from hdbench.study.packet.files import Packet
from hdbench.text import template

#: How many packets are shown trial by trial.
_PACKETS = 2


def preview_page(packet: Packet, findings: Sequence[Finding]) -> str:
    """Return the page as HTML text; images are linked beside it, names are escaped."""
    study, protocol = packet.study, packet.study.protocol
    images = {
        (image.method, image.scene, image.shows): f"images/{name}.png"
        for name, image in study.images.items()
    }
    kind = protocol.checks.kind
    return template(__file__, "preview.html").render(
        study=study,
        protocol=protocol,
        trials=len(packet.trials),
        findings=findings,
        sides=_sides(packet),
        packets=[
            {"number": number, "id": study.packet_ids[number], "trials": members}
            for number, members in list(packet.by_packet.items())[:_PACKETS]
        ],
        scenes=[
            {
                "name": scene,
                "region": _outline(study, scene),
                "images": [(method, images[method, scene, None]) for method in study.methods],
            }
            for scene in study.scenes
        ],
        anchors=[
            {
                "name": scene,
                "region": _outline(study, scene),
                "images": [(method, images[method, scene, None]) for method in study.every_method],
            }
            for scene in study.anchors
        ],
        controls=[
            {
                "name": scene,
                "region": _outline(study, scene),
                "images": [(shows, images[None, scene, shows]) for shows in ("photograph", kind)],
            }
            for scene in study.controls
        ],
        outline=lambda region: _percent(study, region),
    )


def _sides(packet: Packet) -> list[dict[str, Any]]:
    """Return, for each pair (and duration), how often each method is on the left."""
    judged = [trial for trial in packet.trials if trial.kind == "judgment"]
    counts = side_counts(judged, ("a", "b", "duration_ms"))
    return [
        {"a": a, "b": b, "duration": duration, "a_left": left, "b_left": right}
        for a, b in packet.study.pairs
        for duration in packet.study.protocol.design.durations_ms or [None]
        for left, right in [counts.get((a, b, duration), (0, 0))]
    ]


def _outline(study: StudyRecord, scene: str) -> str | None:
    return _percent(study, study.regions.get(scene))


def _percent(study: StudyRecord, region: Box | None) -> str | None:
    """Return a box of pixels as CSS in per cent of the image."""
    if region is None:
        return None
    width, height = study.size
    left, top, right, bottom = region
    return (
        f"left:{100 * left / width:.3f}%;top:{100 * top / height:.3f}%;"
        f"width:{100 * (right - left) / width:.3f}%;height:{100 * (bottom - top) / height:.3f}%"
    )
