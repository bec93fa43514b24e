"""``summary.json``: the numbers of a study's tally.

Shares are in [0, 1], and the rate of a pair is how often its ``a`` was preferred. Keys with a
default here are left out of the file where they do not apply.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hdbench.schema.packet import Sha256
from hdbench.schema.record import Interval, Record

#: The version of the format, whose key is ``schema``; 2: one test for each p-value and its
#: interval.
SUMMARY_SCHEMA: Literal[2] = 2

Schema = Annotated[Literal[2], Field(validation_alias="schema", serialization_alias="schema")]


class Reason(Record):
    """Why there is no number."""

    reason: str


class Pair(Record):
    """Two methods that were compared."""

    a: str
    b: str

    @property
    def title(self) -> str:
        """What a rate is of, in words."""
        return f"{self.a} over {self.b}"


class Share(Record):
    """How often something was chosen: k of n, tests and intervals; without judgments, k and n."""

    #: k / n; null without judgments.
    share: float | None
    #: Judgments for it.
    k: int
    #: Judgments in all.
    n: int
    #: Two-sided exact binomial test against one half, assuming independent judgments.
    p_value: float | None = None
    #: Clopper and Pearson's interval, which inverts this test.
    exact: Interval | None = None
    #: Clustered two ways, by participant and image; null below two of either.
    clustered: Interval | None = None
    #: Two-sided p-value of one half in the test that ``clustered`` inverts; null as above.
    clustered_p_value: float | None = None
    #: Variance of the share over its variance if judgments were independent, at least 1 (which it
    #: also is if all judgments agree); null as above.
    design_effect: float | None = None
    participants: int = 0
    images: int = 0


class PairRate(Share, Pair):
    """The rate of a pair over all that counts, with p-values corrected for all pairs (Holm)."""

    #: Krippendorff's; null where nothing was judged twice or all answers are equal.
    alpha: float | None
    #: The rate without exclusions by quality rules.
    all_sessions: Share
    p_value_holm: float | None = None
    clustered_p_value_holm: float | None = None


class PlannedTime(Pair):
    """A pair at one of a timed study's durations."""

    planned_ms: int
    #: Median of the measured times on screen; null where none was measured.
    measured_ms: float | None


class TimedRate(Share, PlannedTime):
    """The rate of a pair at one duration."""


class Ability(Record):
    """A method's place on the Bradley-Terry scale."""

    method: str
    #: Logit units; the abilities of all methods sum to 0.
    value: float
    low: float
    high: float


class BradleyTerry(Record):
    """P(left is chosen) = logistic(ability of left - ability of right + side)."""

    #: Best first.
    abilities: list[Ability]
    #: Logit of the preference for the left side, with its interval.
    side: float
    side_interval: Interval


class Penalised(Record):
    """Abilities and side under Firth's penalty. They have no interval."""

    #: Logit units, by method; their sum is 0.
    abilities: dict[str, float]
    side: float


class NoEstimate(Reason):
    """Why the Bradley-Terry model has no finite maximum-likelihood estimate."""

    #: The estimate that Firth's penalty makes finite; left out where the judgments leave it open.
    penalised: Penalised | None = None


class Trend(Record):
    """How a preference changes with the time that images are shown."""

    #: Change of the preference's logit when the time doubles, with its interval.
    slope: float
    interval: Interval
    p_value: float


class PairTrend(Trend, Pair):
    """The trend of a pair's rate."""


class NoTrend(Reason, Pair):
    """Why a pair's rate has no trend."""


class Correlation(Record):
    """Correlation, over images, of a metric's differences with preferences."""

    images: int
    #: Spearman's rank correlation, and its two-sided p-value.
    spearman: float
    spearman_p_value: float
    #: Pearson's correlation, and its interval by Fisher's transformation.
    pearson: float
    pearson_interval: Interval


class NamedMetric(Record):
    """What scored the images."""

    metric: str


class MetricCorrelation(Correlation, Pair, NamedMetric):
    """The correlation of a metric's differences between the methods of a pair."""


class NoCorrelation(Reason, Pair, NamedMetric):
    """Why a metric and a pair have no correlation."""


class Counts(Record):
    """How many people, sessions and judgments there are."""

    #: People whom something names; the sessions of others are in ``Unnamed``.
    participants: int
    sessions: int
    #: Sessions by source.
    sources: dict[str, int]
    #: Answered judgments, also of sessions that do not count.
    answered: int
    #: Judgments that count, and the named people and the scenes that they are by and of.
    judgments: int
    judging_participants: int
    judged_scenes: int
    excluded_sessions: int
    excluded_judgments: int
    repeat_sessions: int
    repeat_judgments: int
    #: Identical rows that came more than once and were dropped.
    duplicate_rows: int
    blank_submissions: int
    missing_judgments: int
    void_attempts: int
    #: Share of the judgments shown within one frame of the plan; null if untimed.
    within_one_frame: float | None


class Unnamed(Record):
    """Sessions of people whom nothing names; one person may have taken several."""

    sessions: int
    judging_sessions: int


class AnchorRate(Share):
    """How often one method was preferred over the anchor."""

    method: str


class AnchorFindings(Record):
    """How the anchor fared: a method known to be worse, in trials beside the compared ones."""

    #: The anchor's method.
    method: str
    #: Scenes of anchor trials.
    scenes: int
    #: How often each compared method was preferred over the anchor, in the methods' order.
    rates: list[AnchorRate]
    #: The same over all methods.
    over_all: Share
    #: Sessions that count and have answers to anchor trials.
    sessions: int
    #: Those that preferred the anchor in more than half of them.
    preferring_anchor: int


class Exclusion(Record):
    """A session that stays in the data but does not count."""

    participant: str
    session: str
    packet: int
    #: ``repeat``: a further packet of the same person; it never counts. ``quality``: the session
    #: breaks a rule that was fixed at build time; rates are reported with and without it.
    kind: Literal["repeat", "quality"]
    reasons: list[str]
    #: Its answered judgments.
    judgments: int


class Summary(Record):
    """The analysis of a study."""

    schema_version: Schema
    study: str
    title: str
    #: Of the protocol.
    version: int
    mode: Literal["unlimited", "timed"]
    simulated: bool
    protocol_hash: Sha256
    design_hash: Sha256
    methods: list[str]
    #: The method that all others are compared with, or null.
    reference: str | None
    #: How many were shown.
    scenes: int
    #: Of every interval.
    level: float
    counts: Counts
    #: Summaries that were written earlier do not have this key.
    unnamed: Unnamed = Unnamed(sessions=0, judging_sessions=0)
    exclusions: list[Exclusion]
    packets_to_ask_again: list[int]
    pairs: list[PairRate]
    #: How often the left image was chosen; null without judgments.
    side: Share | None
    bradley_terry: BradleyTerry | NoEstimate
    #: Of timed studies, like ``trends``.
    durations: list[TimedRate]
    trends: list[PairTrend | NoTrend]
    metrics: list[MetricCorrelation | NoCorrelation]
    #: Left out of the file in studies without anchor trials.
    anchor: AnchorFindings | None = None
    #: Versions of hdbench, Python and packages.
    created_with: dict[str, str]

    def content(self) -> dict[str, Any]:
        """Return the analysis as JSON, without the keys that do not apply."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class StoredSummary(Summary):
    """``summary.json``: an analysis, bound to the judgments beside it and to what was written."""

    #: SHA-256 of ``judgments.csv``.
    judgments_sha256: Annotated[Sha256, Field(exclude=True)]
    #: SHA-256 of the canonical JSON of everything else.
    digest: Annotated[Sha256, Field(exclude=True)]
