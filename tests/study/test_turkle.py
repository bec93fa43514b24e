"""Turkle, run on this machine: publish a packet, do it in a real browser, download the answers."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from handmade import served
from pages import READY
from playwright.sync_api import Browser, FrameLocator, Page

from hdbench.study.analysis.tally import tally
from hdbench.study.packet.files import open_packet
from hdbench.study.packet.mturk import write_mturk
from hdbench.workspace.bench import Bench

pytestmark = pytest.mark.slow

SITE = """
SECRET_KEY = "a test that lives for a minute"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "turkle.apps.TurkleAppConfig", "django.contrib.admin", "django.contrib.auth",
    "django.contrib.contenttypes", "django.contrib.humanize", "django.contrib.messages",
    "django.contrib.sessions", "django.contrib.staticfiles", "guardian", "djaa_list_filter2",
    "rest_framework", "rest_framework.authtoken",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages", "turkle.utils.turkle_vars",
    ]},
}]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend", "guardian.backends.ObjectPermissionBackend",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "turkle.sqlite"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "addresses"
STATIC_URL = "/static/"
USE_TZ = True
LOGIN_REDIRECT_URL = "/"
X_FRAME_OPTIONS = "SAMEORIGIN"
TURKLE_AUTO_ACCEPT_DEFAULT = False
"""
ADDRESSES = """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("django.contrib.auth.urls")),
    path("", include("turkle.urls")),
]
"""
USERS = """
from django.contrib.auth.models import User
User.objects.create_superuser("admin", "admin@example.org", "a good password")
User.objects.create_user("worker", "worker@example.org", "a good password")
"""


@pytest.fixture
def turkle(tmp_path: Path) -> Iterator[str]:
    """Turkle's address; it keeps its database in a folder of its own."""
    python = os.environ.get("HDBENCH_TURKLE_PYTHON")
    if python is None:
        if importlib.util.find_spec("turkle") is None:
            pytest.skip(
                "turkle is not installed (pip install 'turkle>=3.1,<4'; or name the Python of "
                "another environment that has it in HDBENCH_TURKLE_PYTHON)"
            )
        python = sys.executable
    site = tmp_path / "turkle"
    site.mkdir()
    (site / "site_settings.py").write_text(SITE)
    (site / "addresses.py").write_text(ADDRESSES)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": "."}
    django = [python, "-W", "ignore", "-m", "django"]
    for arguments in (["migrate", "-v", "0"], ["shell", "-c", USERS]):
        subprocess.run([*django, *arguments], cwd=site, env=environment, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(
        [*django, "runserver", "--noreload", address],
        cwd=site,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:  # it says when it listens, or why it does not
            if "Quit the server" in line:
                break
        else:
            pytest.fail(f"turkle did not start (exit status {server.wait()})")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.communicate()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


def log_in(page: Page, turkle: str, user: str) -> None:
    page.context.clear_cookies()
    page.goto(f"{turkle}/admin/login/?next=/" if user == "admin" else f"{turkle}/login/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", "a good password")
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(f"{turkle}/")


def publish(page: Page, turkle: str, folder: Path) -> None:
    """Do in the administrator's pages what the packet's README says."""
    page.goto(f"{turkle}/admin/turkle/project/add/")
    page.fill("#id_name", "Photographs")
    page.set_input_files("#id_template_file_upload", folder / "layout.html")
    page.wait_for_function("() => document.querySelector('#id_html_template').value.length > 9999")
    page.click("input[name=_save]")
    page.wait_for_url(re.compile("/admin/turkle/project/$"))
    page.goto(f"{turkle}/admin/turkle/batch/add/?project=1")
    page.fill("#id_name", "Batch 1")
    page.set_input_files("#id_csv_file", folder / "batch.csv")
    page.click("input[value='Review Batch']")
    page.wait_for_url(re.compile("/review/$"))
    page.click("#publishButton")
    page.wait_for_url(re.compile("/admin/turkle/batch/$"))


def do_task(frame: FrameLocator, keys: str) -> list[str]:
    """Answer every pair in turn with one of the keys; return what was chosen."""
    clicked: list[str] = []
    frame.locator("#hd-start").click()
    while True:
        frame.locator("body").evaluate(
            "(body, ready) => new Promise((done) => { const test = eval(ready);"
            " (function look() { test() ? done() : requestAnimationFrame(look); })(); })",
            READY,
        )
        if frame.locator("#hd-end").is_visible():
            return clicked
        for name in ("#hd-next", "#hd-go"):
            if frame.locator(name).is_visible():
                frame.locator(name).click()
                break
        else:
            side = {"f": "left", "j": "right"}[keys[len(clicked) % len(keys)]]
            frame.locator(f"#hd-{side} button").click()
            clicked.append(side)


def downloaded(turkle: str, page: Page, path: Path) -> Path:
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies())  # type: ignore
    request = urllib.request.Request(
        f"{turkle}/admin/turkle/batch/1/download/", headers={"Cookie": cookie}
    )
    with urllib.request.urlopen(request) as answer:
        path.write_bytes(answer.read())
    return path


@pytest.fixture
def packet(cli: Callable[..., Result], imaged: Bench, tmp_path: Path) -> Path:
    """A packet of two methods, for two people."""
    folder = tmp_path / "packet"
    words = ("study", "build", "--study", "pilot", "--methods", "alpha,beta", "--output", folder)
    built = cli(*words)
    assert built.exit_code == 0, built.stderr
    return folder


def test_what_is_clicked_in_turkle_is_what_is_tallied(
    turkle: str, page: Page, packet: Path, tmp_path: Path
) -> None:
    """Each form hands in one field; one of them is accepted after its preview."""
    opened = open_packet(packet)
    with served(packet / "web", policy=False) as images:
        folder = write_mturk(packet, address=images.url).folder
        log_in(page, turkle, "admin")
        publish(page, turkle, folder)

        log_in(page, turkle, "worker")
        page.goto(f"{turkle}/batch/1/preview_next_task/")
        task = page.frame_locator("#task_assignment_iframe")
        task.locator("#hd-gate").wait_for()
        assert "preview" in task.locator("#hd-gate").inner_text()
        assert task.locator("#hd-start").is_hidden()
        page.click("#acceptButton")
        clicked: list[str] = []
        for n in range(len(opened.by_packet)):
            if n:
                page.goto(f"{turkle}/batch/1/accept_next_task/")
            page.wait_for_url(re.compile("/assignment/"))
            clicked += do_task(task, "fjj")
            page.screenshot(path=os.environ.get("HDBENCH_SCREENSHOT") or tmp_path / "turkle.png")
            task.locator("#hd-send").click()
            page.wait_for_url(f"{turkle}/")

        log_in(page, turkle, "admin")
        results = downloaded(turkle, page, tmp_path / "Batch_results.csv")
    found = tally(opened, [results], simulated=False)
    asked = [trial.trial for trial in opened.trials]
    rows = found.table.to_dict("records")
    assert len(opened.by_packet) == 2
    assert len(clicked) == len(asked) == len(rows)
    assert sorted(row["trial"] for row in rows) == sorted(asked)
    assert [row["choice"] for row in rows] == clicked
    assert [row["chosen"] for row in rows] == [row[row["choice"]] for row in rows]
    assert {(row["source"], row["void"]) for row in rows} == {("turkle", None)}
    assert found.missing() == 0

    handed_in = list(csv.DictReader(io.StringIO(results.read_text(), newline="")))
    assert sorted(row["Input.packet"] for row in handed_in) == sorted(opened.study.packet_ids)
    for row in handed_in:
        content = json.loads((packet / f"web/packets/{row['Input.packet']}.json").read_text())
        assert json.loads(row["Input.trials"]) == content["trials"]
        assert row["Turkle.Username"] == "worker"
        assert {name for name in row if name.startswith("Answer.")} == {"Answer.judgments"}
