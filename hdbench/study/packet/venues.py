"""Instructions for researchers on how to use a packet: ``mturk/README.md``."""

from __future__ import annotations

_HOSTING = """\
## 1. Put web/ where browsers find it

Participants' browsers need the folder `web/` and nothing else: it names no method and no scene.
Everything outside `web/` and `mturk/` is private (`study.json`, `trials.jsonl`); never upload it.
Keep `secret.key` private also when you publish the data of a finished study: with it, hashes of
participants can be traced to the venue's names for them.

- Copy the **content** of `web/` to a static host: a folder of your web server, or a bucket.
- Question files in Mechanical Turk's formats need https. Images on another host than the page
  should be sent with the header `Access-Control-Allow-Origin: *`, so that they can be fetched whole
  before they are shown; without it the page still works, but lets the browser load them.
- Say where it is; this writes the files of this folder anew:
  `hdbench study mturk PACKET --url https://your-host.example/study/`
- Open `{address}index.html?packet=ID` (any name in `web/packets/`, without `.json`) and do a few
  pairs. At the end the page offers the answers as a file; delete it, it was a trial run.
"""

_LINK = """\
## 2a. Your own server, or a Prolific link

1. Give every participant another packet: `{address}index.html?packet=ID`, {rows} in all.
2. At the end the page saves a file `judgments-<packet>-<session>.json`. Collect the files in
   one folder, then `hdbench study tally PACKET that-folder`.
3. Prolific: make one study for each packet, or a list of links ("Taskflow"), with the address above
   as the study's URL, one place each. The page keeps no Prolific ID and shows no completion code:
   say in the description how the saved file reaches you, let each person take part once, and
   approve who sent a file. The saved files name nobody: the tally counts them as sessions, not as
   participants, and cannot tell whether one person saved several.
"""

_TURKLE = """\
## 2b. Turkle

1. Log in as an administrator; **Admin** > **Projects** > **Add project**.
2. Name: any. *HTML template file*: choose `layout.html`. Assignments per task: **1**. **Save**.
3. **Batches** > **Add batch**: choose the project, give a name, *CSV file*: choose `batch.csv`,
   assignments per task **1**, allotted time: twice what the work takes. **Review Batch**.
4. Look at the preview, then **Publish Batch**.
5. Workers log in, choose the batch and accept a task; a preview shows the instructions only.
6. When all {rows} tasks are done: **Batches**, in your batch's line **CSV results**.
7. `hdbench study tally PACKET that-file.csv`
"""

_MTURK = """\
## 2c. Mechanical Turk's requester site

Amazon announced that Mechanical Turk would close on 30 September 2026. These steps are those of
its site as it was; the formats remain, and Turkle (2b) reads the same files. A results CSV that was
downloaded before is tallied as in step 5. Answers of rejected assignments are tallied like others:
the rules of the packet say who counts, not the payment.

1. **Create** > **New project** > **Other** > **Create project**. Title, description, reward.
   Number of assignments per task: **1** (each task is another packet). Time allotted: twice what
   the work takes.
2. **Design layout** > **Source**: replace everything by the content of `layout.html`. **Save**.
   **Preview** shows the instructions only.
3. **Create** > **Publish batch with new project** > choose `batch.csv` > **Next** > **Publish**.
4. **Manage** > your batch > **Review results** > **Download CSV**.
5. `hdbench study tally PACKET that-file.csv`. A worker who did two packets is counted once.
"""

_QUESTION = """\
`question.xml` is an HTMLQuestion for programs that create HITs: fill in the variables from a row of
`batch.csv` for each HIT. The largest then holds {bytes:,} bytes; 65,535 are allowed.
"""

_NO_QUESTION = "There is no `question.xml`: see what `hdbench study mturk` says about it.\n"

_EXTERNAL = """\
`external.xml` is an ExternalQuestion for the same purpose: the page comes from your server, the
answers go to Mechanical Turk. Fill in `${packet}`.
"""


def venues_readme(
    *,
    rows: int,
    trials: int,
    timed: bool,
    address: str,
    known: bool,
    question_bytes: int | None,
    external: bool,
) -> str:
    """Return the README as Markdown, for ``rows`` tasks (HITs), one for each packet.

    ``trials`` is the largest number of trials in a packet, with practice and checks. ``known`` says
    that the researcher stated ``address``, which ends in a slash; else it is a placeholder.
    ``question_bytes`` is the size of the largest HTMLQuestion, or None; ``external`` says whether
    there is an ExternalQuestion.
    """
    head = [
        "# Asking people",  # no study's name, which may name methods
        "",
        f"{rows} tasks, one for each packet, of up to {trials} pairs of images. One person does",
        "one task and no more: the design counts on it. The same page serves every venue; answers",
        "arrive as one field, `judgments`.",
    ]
    if timed:
        head += [
            "",
            "Images are shown for counted frames of the screen. Phones are refused; ask for a",
            "computer in the description. A pair during which the window was left is asked again.",
        ]
    if not known:
        head += ["", f"**`{address}` stands in these files until you give your own; see step 1.**"]
    head += [
        "",
        "Do not open `batch.csv` or a results file in a spreadsheet and save it: long names are",
        "rounded like numbers and long cells are cut.",
        "",
    ]
    question = _QUESTION.format(bytes=question_bytes) if question_bytes else _NO_QUESTION
    parts = [
        "\n".join(head),
        _HOSTING.replace("{address}", address),
        _LINK.format(address=address, rows=rows),
        _TURKLE.format(rows=rows),
        _MTURK,
        question + (_EXTERNAL if external else ""),
    ]
    return "\n".join(parts)
