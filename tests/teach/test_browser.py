"""Pages in a real browser: no complaint, by mouse and by keyboard, on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rawscan.rules import BY_ID
from rawscan.teach.case import example_of
from rawscan.teach.explanation import explain_rule
from rawscan.teach.page import explanation_page
from rawscan.teach.site import write_site
from tests.teach.browser import CHROMIUM, DRIVER, Browser, chromium

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"),
]

SHOWN = "return document.querySelector('.ladder').querySelectorAll('.rung:not(.later)').length"
UNHIDE = "document.querySelectorAll('[hidden]').forEach(part => { part.hidden = false; })"
KNOWS = "return document.querySelector('[data-knows=' + arguments[0] + ']').textContent"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(folder)
    for name in ("syn-rst", "udp-port-unreach-v6-other", "syn-no-response", "ack-send-failed"):
        rule = BY_ID[name]
        (folder / f"explain-{name}.html").write_text(
            explanation_page(explain_rule(rule, example_of(rule)))
        )
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_every_page_loads_without_a_complaint(browser: Browser, site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert len(pages) > 15
    for path in pages:
        browser.open(path)
        assert browser.run("return document.readyState") == "complete"
        assert browser.complaints() == [], path.name
        assert browser.run("return document.querySelector('h1').textContent")


def test_complaints_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<script>nosuch()</script>")
    browser.open(path)
    assert "nosuch is not defined" in " ".join(browser.complaints())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_runs_out_of_the_page(
    width: int, scheme: str, browser: Browser, site: Path
) -> None:
    browser.size(width, 800)
    browser.scheme(scheme)
    for path in sorted(site.glob("*.html")):
        browser.open(path)
        browser.run(UNHIDE)
        assert browser.run("return document.documentElement.scrollWidth") <= width, path.name
        smallest = browser.run(
            "return Math.min(99, ...[...document.querySelectorAll('svg text')].map(t =>"
            " t.getBoundingClientRect().height))"
        )
        assert round(smallest) >= 9  # pixels
    ground, ink = (
        browser.run(f"return getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    light = [sum(map(int, rgb[4:-1].split(","))) for rgb in (ground, ink)]
    assert (light[0] > light[1]) == (scheme == "light")
    browser.size(1280, 800)


def test_no_label_runs_out_of_its_picture(browser: Browser, site: Path) -> None:
    browser.size(1280, 800)
    for path in sorted(site.glob("*.html")):
        browser.open(path)
        browser.run(UNHIDE)
        out = browser.run(
            "return [...document.querySelectorAll('svg')].flatMap(svg => {"
            " const box = svg.getBoundingClientRect();"
            " return [...svg.querySelectorAll('text')].filter(t => {"
            "  const r = t.getBoundingClientRect();"
            "  return r.left < box.left - 2 || r.right > box.right + 2"
            "  || r.bottom > box.bottom + 2; }).map(t => t.textContent); })"
        )
        assert out == [], path.name


def test_a_ladder_is_stepped_by_clicking(browser: Browser, site: Path) -> None:
    browser.open(site / "explain-syn-rst.html")
    assert browser.run(SHOWN) == 2
    back, play, step = (browser.find(f'[data-do="{name}"]')[0] for name in ("back", "play", "step"))
    browser.click(back)
    assert browser.run(SHOWN) == 1
    assert browser.run(KNOWS, "asker") == "Has sent 1 probe and waits."
    browser.click(back)
    assert (browser.run(SHOWN), browser.run(KNOWS, "target")) == (0, "Nothing yet.")
    browser.click(step)
    browser.click(step)
    assert browser.run(KNOWS, "asker") == "Verdict: closed, reset."
    browser.click(play)
    assert browser.run("return document.querySelector('[data-do=play]').textContent") == "Pause"
    assert browser.run(SHOWN) == 0
    browser.run("PACE = performance.now(); while (performance.now() < PACE + 1) {}")
    browser.click(play)
    assert browser.run("return document.querySelector('[data-do=play]').textContent") == "Play"


def test_a_ladder_is_stepped_by_keys(browser: Browser, site: Path) -> None:
    browser.open(site / "explain-syn-no-response.html")
    count = browser.run(SHOWN)
    browser.focus("figure.ladder")
    browser.press("home")
    assert browser.run(SHOWN) == 0
    browser.press("right", "right", "left")
    assert browser.run(SHOWN) == 1
    browser.press("end")
    assert browser.run(SHOWN) == count
    assert "filtered" in browser.run(KNOWS, "asker")


def test_the_quiz_by_clicking(browser: Browser, site: Path) -> None:
    browser.open(site / "quiz.html")
    count = len(browser.find(".question"))
    for index in range(count):
        answer = browser.run(
            "const q = document.querySelectorAll('.question')[arguments[0]];"
            "return [...q.querySelectorAll('button[value]')].findIndex("
            "b => b.value === q.dataset.answer)",
            index,
        )
        chosen = answer if index else 0 if answer else 1  # the first one wrong
        buttons = browser.find(f".question:nth-of-type({index + 1}) .choices button")
        browser.click(buttons[chosen])
    score = browser.run("return document.querySelector('.score').textContent")
    assert score == f"{count - 1} of {count} right: done."
    assert len(browser.find("button.wrong")) == 1
    assert len(browser.find("button.right")) == count
    assert browser.complaints() == []


def test_the_quiz_by_keyboard_alone(browser: Browser, site: Path) -> None:
    browser.open(site / "quiz.html")
    count = len(browser.find(".question"))
    for index in range(count):
        right = browser.run(
            "const q = document.querySelectorAll('.question')[arguments[0]];"
            "const all = [...q.querySelectorAll('.choices button')];"
            "all[0].focus(); return all.findIndex(b => b.value === q.dataset.answer) + 1",
            index,
        )
        if index % 2:
            browser.press(str(right))
        else:
            browser.press(*["tab"] * (right - 1), "enter")
    assert browser.run("return document.querySelector('.score').textContent").startswith(
        f"{count} of {count} right"
    )


def test_the_answer_waits_for_the_prediction(browser: Browser, site: Path) -> None:
    browser.open(site / "closed.html")
    hidden = "return document.getElementById('step-2').hidden"
    assert browser.run(hidden) is True
    browser.click(browser.find(".choices button")[1])
    assert browser.run(hidden) is False
    told = browser.run("return document.querySelector('.told').textContent")
    assert "Right." in told


def test_without_a_script_everything_is_there(browser: Browser, site: Path, tmp_path: Path) -> None:
    html = (site / "closed.html").read_text()
    bare = tmp_path / "bare.html"
    bare.write_text(html[: html.index("<script>")] + "</body></html>")
    browser.open(bare)
    visible = browser.run(
        "return [...document.querySelectorAll('section, .rung, .told')].every("
        "e => getComputedStyle(e).visibility === 'visible' && !e.hidden)"
    )
    assert visible is True
    assert browser.find(".controls[hidden]")
