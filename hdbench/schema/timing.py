"""The record of how long a quickstart took."""

from __future__ import annotations

from typing import Any

from hdbench.schema.record import Record


class QuickstartTimes(Record):
    """Wall times of one quickstart that ran from an empty workspace to its end, without a stop."""

    benchmark: str
    method: str
    #: Seconds of each stage, in order.
    stages: dict[str, float]
    #: Seconds until the first page was shown.
    first_page: float
    #: Seconds until the last one.
    total: float
    #: Peak resident memory in GB of the largest process.
    memory: float
    #: Device, processor, threads, versions (``machine_facts``).
    machine: dict[str, Any]
