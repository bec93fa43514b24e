"""The number of judgments that detect a difference, their cost, and the balance of a design."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdbench.errors import UsageError

_LARGEST = 2_000_000


def normal_judgments(preference: float, power: float, alpha: float) -> int:
    """Return the number of independent judgments by the normal approximation.

    The two-sided test against one half has level ``alpha``; ``preference`` is in (0.5, 1).
    """
    from scipy.stats import norm

    reach = norm.isf(alpha / 2) / 2
    reach += norm.ppf(power) * math.sqrt(preference * (1 - preference))
    return math.ceil((float(reach) / (preference - 0.5)) ** 2)


def exact_power(n: int | np.ndarray, preference: float, alpha: float) -> np.ndarray:
    """Return the probability that the exact two-sided binomial test of n judgments rejects 1/2."""
    from scipy.stats import binom

    count = np.asarray(n)
    edge = binom.ppf(alpha / 2, count, 0.5)  # k <= edge - 1 always rejects
    edge = np.where(binom.cdf(edge, count, 0.5) <= alpha / 2, edge, edge - 1)
    low = binom.cdf(edge, count, preference)
    return np.where(edge < 0, 0.0, low + binom.sf(count - edge - 1, count, preference))


def exact_judgments(preference: float, power: float, alpha: float) -> int:
    """Return the number of independent judgments for the exact test.

    The power of the exact test is not monotonic in n, because k is an integer: this is the smallest
    n from which on the power is always sufficient. UsageError above a million judgments.
    """
    about = normal_judgments(preference, power, alpha)
    top = 2 * about + 200
    if top > _LARGEST:
        raise UsageError(
            f"a preference of {100 * preference:g} % needs more than {_LARGEST // 2} judgments; "
            "choose one further from 50"
        )
    enough = exact_power(np.arange(1, top), preference, alpha) >= power
    short = np.flatnonzero(~enough)
    return int(short[-1]) + 2 if len(short) else 1


@dataclass(frozen=True)
class Heterogeneity:
    """Correlations between judgments of the same participant, and of the same image."""

    #: Between two judgments of one participant, of a pair of methods.
    within_participant: float
    #: Between two judgments of one image, of a pair of methods.
    within_image: float

    def design_effect(self, per_participant: float, per_image: float) -> float:
        """Return the variance of a share over its variance if judgments were independent.

        Kish, Survey Sampling, 1965, Sec. 8.2, for two crossed groupings, with the judgments of one
        pair by a participant and on an image.
        """
        effect = 1 + (per_participant - 1) * self.within_participant
        return max(1.0, effect + (per_image - 1) * self.within_image)


def heterogeneity(preference: float, worker_sd: float, image_sd: float) -> Heterogeneity:
    """Return the correlations in a logistic model with two random effects.

    The model's mean is chosen to give the preference; the standard deviations are in logit units.
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    own = worker_sd * nodes[:, None] + image_sd * nodes[None, :]
    joint = weights[:, None] * weights[None, :]

    def surplus(mean: float) -> float:
        return float((joint * expit(mean + own)).sum()) - preference

    bound = 20 + 8 * (worker_sd + image_sd)
    mean = brentq(surplus, -bound, bound)
    assert isinstance(mean, float)
    chances = expit(mean + own)
    spread = preference * (1 - preference)
    by_worker, by_image = chances @ weights, weights @ chances
    return Heterogeneity(
        float(weights @ (by_worker - preference) ** 2) / spread,
        float(weights @ (by_image - preference) ** 2) / spread,
    )


def judgments_on_images(
    independent: int, images: int, per_participant: float, likeness: Heterogeneity
) -> int | None:
    """Return how many judgments of a pair are worth as much as ``independent`` ones.

    None if only more images would suffice: more judgments of the same images say little about
    others.
    """
    share_left = 1 - independent * likeness.within_image / images
    if share_left <= 0:
        return None
    fixed = likeness.design_effect(per_participant, 1) - likeness.within_image
    return max(independent, math.ceil(independent * fixed / share_left))


def images_needed(independent: int, likeness: Heterogeneity) -> int:
    """Return the fewest images with which some number of judgments suffices."""
    return math.floor(independent * likeness.within_image) + 1


@dataclass(frozen=True)
class Cost:
    """The cost of a study."""

    #: Judgments that count, of all pairs.
    judgments: int
    #: Sessions, each with a packet.
    sessions: int
    #: Trials in all, with practice and checks.
    trials: int
    hours: float
    #: Wages and the venue's fee, in the currency of the hourly wage.
    money: float


def cost_of(
    judgments: int,
    packet_length: int,
    extra_trials: int,
    seconds_per_trial: float,
    hourly_wage: float,
    fee: float,
) -> Cost:
    """Return the cost of judgments of all pairs.

    ``extra_trials`` are practice and checks in a packet; ``fee`` is the venue's share on top of
    wages.
    """
    sessions = math.ceil(judgments / packet_length)
    trials = judgments + sessions * extra_trials
    hours = trials * seconds_per_trial / 3600
    return Cost(judgments, sessions, trials, hours, hours * hourly_wage * (1 + fee))


def times(number: int) -> str:
    """Return ``once``, ``2 times``, ..."""
    return "once" if number == 1 else f"{number} times"


def balance_notes(scenes: int, judgments: int, durations: int) -> list[str]:
    """Return, in sentences, what is balanced with R judgments; 0 ``durations``: unlimited time."""
    if not durations:
        if judgments % 2 == 0:
            return [
                f"sides: each pair of images is judged {judgments} times, "
                f"{times(judgments // 2)} with each method on the left; all is balanced"
            ]
        near = f"{judgments - 1} or {judgments + 1}" if judgments > 1 else "2"
        return [
            f"sides: R = {judgments} is odd, so no pair of images can show both methods equally "
            f"often on the left; 'study build' refuses it, use {near}"
        ]
    cells = 2 * durations
    whole, rest = divmod(judgments, cells)
    notes = []
    if rest == 0:
        notes.append(
            f"crossing: each image is shown {times(whole)} at each of {durations} durations and on "
            "each side; the crossing is complete"
        )
    else:
        more = f"each {times(whole)} and {rest} of them once more" if whole else f"{rest} of them"
        notes.append(
            f"crossing: an image has {cells} combinations of {durations} durations and 2 sides; "
            f"R = {judgments} shows {more}, not the same for all images; complete at R = "
            + (f"{whole * cells} or " if whole else "")
            + f"{(whole + 1) * cells}"
        )
    each, over = divmod(scenes * judgments, durations)
    size = f"{each}" if not over else f"{each} or {each + 1} ({over} of {durations} durations)"
    notes.append(f"durations: each pair has {size} judgments at each duration")
    if over or each % 2:
        notes.append("sides: within a duration the sides differ by at most one judgment")
    return notes
