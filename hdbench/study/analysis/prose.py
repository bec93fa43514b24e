"""A methods paragraph for a paper, from the protocol and the analysis."""

from __future__ import annotations

from hdbench.errors import counted
from hdbench.schema.summary import Summary
from hdbench.study.analysis.tally import Tally
from hdbench.study.design.power import times
from hdbench.text import joined, markdown, p_text, percent

SIMULATED_MARK = (
    "SIMULATED: no person gave these answers; they are random numbers of hdbench and no evidence "
    "for anything."
)


def methods_paragraph(tally: Tally, analysis: Summary) -> str:
    """Return the methods and findings of a study as Markdown for a paper; names are escaped."""
    parts = [
        _asked(tally),
        _taken_part(tally, analysis),
        _excluded(tally, analysis),
        _computed(analysis),
        _found(analysis),
    ]
    mark = [SIMULATED_MARK] if analysis.simulated else []
    return "\n\n".join([*mark, *(part for part in parts if part)]) + "\n"


def _asked(tally: Tally) -> str:
    study, protocol = tally.study, tally.study.protocol
    design, pairs = protocol.design, len(study.pairs)
    names = [
        f"{markdown(name)} (photographs)" if name == study.reference else markdown(name)
        for name in study.methods
    ]
    sentences = [
        f"We compared the images of {counted(len(names), 'method')}, {joined(names)}, in a paired "
        f'comparison (study "{markdown(study.name)}", version {protocol.version}). In each trial '
        "participants saw two images of the same scene side by side and answered the question "
        f'"{markdown(protocol.question.text)}" by choosing one of the two.'
    ]
    if protocol.region.enabled:
        sentences.append(
            f"In both images the same {markdown(protocol.region.label)} was outlined at the same "
            "place."
        )
    if design.mode == "timed":
        durations = joined([f"{value:,}" for value in design.durations_ms])
        covered = " and were then covered by a mask" if design.mask else ""
        sentences.append(f"The images were shown for {durations} ms{covered}.")
    else:
        sentences.append("The time was not limited.")
    every = "The pair" if pairs == 1 else f"Each of the {pairs} pairs of methods"
    sides = (
        f", {design.judgments_per_pair // 2} times with each method on the left"
        if design.judgments_per_pair > 2 and design.judgments_per_pair % 2 == 0
        else ""
    )
    if design.mode == "timed":
        sides = ", with durations and sides balanced"
    sentences.append(
        f"{every} was to be judged {times(design.judgments_per_pair)} on each of "
        f"{counted(len(study.scenes), 'scene')}{sides}; the order of trials was random."
    )
    sessions = [
        f"{counted(protocol.practice.count, 'practice trial')} with feedback"
        * bool(protocol.practice.count),
        f"{counted(protocol.checks.count, 'attention check')} spread among the judgments"
        * bool(protocol.checks.count),
        _anchor_trials(tally),
    ]
    extra = joined([text for text in sessions if text])
    sentences.append(
        f"A session had at most {counted(design.packet_length, 'judgment')}"
        + (f", besides {extra}." if extra else ".")
    )
    return " ".join(sentences)


def _anchor_trials(tally: Tally) -> str:
    anchor = tally.study.protocol.anchor
    if anchor is None:
        return ""
    return (
        f"{counted(anchor.count, 'trial')} that showed a compared method beside a low anchor "
        f"({markdown(anchor.method)}), on scenes of their own"
    )


def _taken_part(tally: Tally, analysis: Summary) -> str:
    counts, unnamed = analysis.counts, analysis.unnamed.sessions
    gave = f"gave {counted(counts.answered, 'judgment')}."
    sentences = [
        f"{_begin(counts.participants, 'participant')} took part in "
        f"{counted(counts.sessions - unnamed, 'session')}"
        + (" and " if not unnamed else "; with the sessions of unnamed people they ")
        + gave
    ]
    if unnamed:
        if not counts.participants:
            answers = counted(counts.answered, "judgment")
            sentences = [f"{_begin(unnamed, 'session')} gave {answers}."]
        sentences.append(
            f"The answers of {counted(unnamed, 'session')} name nobody: how many people gave them "
            "is not known, and one person may have given several."
        )
    if counts.blank_submissions:
        number = counts.blank_submissions
        sentences.append(f"{_begin(number, 'further submission')} held no answer.")
    if counts.within_one_frame is not None:
        sentences.append(
            f"In {percent(counts.within_one_frame)} of the judgments that count, the images "
            "were on screen for the planned number of frames, give or take one."
        )
    if counts.missing_judgments:
        number = counts.missing_judgments
        verb = "is" if number == 1 else "are"
        sentences.append(f"{_begin(number, 'judgment')} of these sessions {verb} missing.")
    return " ".join(sentences)


def _excluded(tally: Tally, analysis: Summary) -> str:
    counts, quality = analysis.counts, tally.study.protocol.quality
    rules = [
        f"a median response time below {quality.median_response_ms:g} ms",
        f"more than {100 * quality.one_side_share:g} % of answers on one side",
    ]
    checks = tally.study.protocol.checks.count
    if checks and quality.checks_passed:
        rules.insert(0, f"fewer than {quality.checks_passed} of {checks} attention checks passed")
    if tally.study.protocol.design.mode == "timed":
        rules.append(
            f"fewer than {100 * quality.timed_within_one_frame:g} % of trials within one frame of "
            "the planned duration"
        )
    alternatives = ", ".join(rules[:-1]) + f" or {rules[-1]}"
    sentences = [
        f"As fixed before the study, we excluded sessions with {alternatives}; this removed "
        + (
            f"{counted(counts.excluded_sessions, 'session')} "
            f"({counted(counts.excluded_judgments, 'judgment')})."
            if counts.excluded_sessions
            else "none."
        )
    ]
    if counts.repeat_sessions:
        sentences.append(
            f"{_begin(counts.repeat_sessions, 'further session')} of people who had taken part "
            f"before {'was' if counts.repeat_sessions == 1 else 'were'} left out."
        )
    sentences.append(
        f"The analysis rests on {counted(counts.judgments, 'judgment')} by "
        f"{judges(analysis)} on "
        f"{counted(counts.judged_scenes, 'scene')}."
    )
    return " ".join(sentences)


def judges(analysis: Summary) -> str:
    """Return in words whose judgments count: people where they are named, else sessions."""
    named = counted(analysis.counts.judging_participants, "participant")
    unnamed = analysis.unnamed.judging_sessions
    if not unnamed:
        return named
    sessions = f"{counted(unnamed, 'session')} of unnamed people"
    return f"{named} and {sessions}" if analysis.counts.judging_participants else sessions


def _computed(analysis: Summary) -> str:
    tested = sum(row.clustered_p_value is not None for row in analysis.pairs)
    if not tested:
        return ""
    family = f", corrected for {tested} comparisons (Holm, 1979)" if tested > 1 else ""
    who = "participant" + " (by session where nobody is named)" * bool(analysis.unnamed.sessions)
    return (
        "We report how often the first method was preferred, with 95 % confidence intervals "
        f"clustered by {who} and by image (Cameron, Gelbach and Miller, 2011; t quantiles, "
        "Wilson's form with the effective number of judgments, never narrower than if each "
        f"{who} or each image were one answer and all agreed), so that they speak of other "
        "participants and other images. Tests are two-sided against 50 %; before correction, a "
        f"p-value is below 0.05 exactly if its interval excludes 50 %{family}."
    )


def _found(analysis: Summary) -> str:
    sentences = []
    for row in analysis.pairs:
        if not row.n:
            continue
        text = (
            f"{markdown(row.a)} was preferred over {markdown(row.b)} in "
            f"{percent(row.share)} of {counted(row.n, 'judgment')}"
        )
        if row.clustered and row.clustered_p_value_holm is not None:
            low, high = percent(row.clustered.low), percent(row.clustered.high)
            text += f" (95 % CI {low} to {high}, {p_text(row.clustered_p_value_holm)})"
        sentences.append(text + ".")
    return " ".join([*sentences, *_anchor_found(analysis)])


def _anchor_found(analysis: Summary) -> list[str]:
    anchor = analysis.anchor
    if anchor is None or not anchor.over_all.n:
        return []
    each = joined([f"{markdown(row.method)} {percent(row.share)}" for row in anchor.rates if row.n])
    return [
        f"The compared methods were preferred over the low anchor, {markdown(anchor.method)}, in "
        f"{percent(anchor.over_all.share)} of {counted(anchor.over_all.n, 'trial')} ({each}); "
        f"{anchor.preferring_anchor} of {counted(anchor.sessions, 'session')} preferred the anchor "
        "more often than not, which excluded none."
    ]


def _begin(number: int, noun: str) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    figures, rest = counted(number, noun).split(" ", 1)
    return f"{words[number] if number < len(words) else figures} {rest}"
