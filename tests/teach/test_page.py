"""Pages: whole, without a network, and with everything escaped. `test_browser.py` opens them."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rawscan.errors import UsageError
from rawscan.model import ProbeKind
from rawscan.rules import BY_ID, RULES, Rule
from rawscan.teach.case import example_of
from rawscan.teach.explanation import explain_case, explain_rule
from rawscan.teach.knows import knowledge
from rawscan.teach.ladder import ladder_of
from rawscan.teach.lesson import lessons
from rawscan.teach.machine import machine_svg
from rawscan.teach.page import explanation_page, paper, prose, quiz_page, slide
from rawscan.teach.quiz import bank, choose
from rawscan.teach.site import write_site
from rawscan.teach.svg import ladder_svg
from tests.teach.shared import all_cases

VOID = {"meta", "link", "br", "input", "img"}


class Strict(HTMLParser):
    """Every element is closed where it was opened; ids are unique."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"]] if named.get("id") else []  # type: ignore[list-item]
        self.links += [value for key, value in attrs if key in ("href", "src") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids)
    return parser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(folder)
    return folder


def test_a_site_is_whole_and_reaches_for_nothing_outside(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    assert {f"{lesson.id}.html" for lesson in lessons()} | {"index.html", "quiz.html"} <= names
    for path in site.glob("*.html"):
        html = path.read_text()
        for link in parsed(html).links:
            assert link == "data:," or link in names, link
        assert "default-src 'none'" in html
        assert not re.search(r"(https?:)?//(?!www\.w3\.org)[a-z]", re.sub(r"// .*", "", html))


def test_every_lesson_has_a_picture_for_slides(site: Path) -> None:
    for lesson in lessons():
        root = ElementTree.parse(site / f"{lesson.id}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.findall(".//{*}g[@class='rung probe']")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_page(rule: Rule) -> None:
    html = explanation_page(explain_rule(rule, example_of(rule)))
    text = " ".join(" ".join(parsed(html).text).split())
    assert rule.id in text
    assert " ".join(rule.why.split()) in text


def test_pictures_of_all_cases_are_well_formed_and_have_every_rung() -> None:
    for case in all_cases():
        ladder = ladder_of(case)
        known = knowledge(ladder, case)
        assert len(known) == len(ladder.rungs)
        root = ElementTree.fromstring(ladder_svg(ladder, known, "<&>"))
        assert len(root.findall("g")) == len(ladder.rungs)


def test_nobody_is_said_to_know_what_the_evidence_does_not_show() -> None:
    for case in all_cases():
        ladder = ladder_of(case)
        for rung, known in zip(ladder.rungs, knowledge(ladder, case), strict=True):
            if rung.kind == "probe" and rung.receiver != len(ladder.lanes) - 1:
                assert known.target.startswith(("Nothing shows", "Has got"))
            if rung.kind == "probe":
                assert "Verdict" not in known.asker
        last = knowledge(ladder, case)[-1]
        ends = ladder.rungs[-1].kind in ("silence", "gap")
        assert ends is False or case.verdict.state.value in last.asker or "left out" in last.asker


@pytest.mark.parametrize("kind", ProbeKind, ids=lambda kind: kind.value)
def test_the_state_machine_has_every_state_and_reply_of_the_table(kind: ProbeKind) -> None:
    rules = [rule for rule in RULES if rule.probe is kind]
    root = ElementTree.fromstring(machine_svg(kind, rules[0]))
    words = " ".join(element.text or "" for element in root.iter("text")).lower()
    for rule in rules:
        assert (rule.state.value if rule.state else "no verdict") in words
        name, _, code = rule.signal.partition(":")
        assert (code or name) in words
    assert len(root.findall("g[@class='way chosen']")) == 1


def test_what_comes_from_outside_is_escaped() -> None:
    case = example_of(BY_ID["syn-rst"])
    assert case is not None
    evil = replace(case.verdict, hints=("<script>alert(1)</script>",))
    html = explanation_page(explain_case(replace(case, verdict=evil)))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert prose("<b> `a<b` *c&d*") == ("<p>&lt;b&gt; <code>a&lt;b</code> <em>c&amp;d</em></p>")


def test_paper_with_and_without_answers() -> None:
    questions = choose(bank(), "paper", 8)
    asked = " ".join(parsed(paper(questions, "paper", answers=False)).text)
    told = " ".join(parsed(paper(questions, "paper", answers=True, student="Ada <3>")).text)
    assert "Ada <3>" in told
    for question in questions:
        assert question.rule in told
        assert question.rule not in asked
        assert question.because not in asked
    parsed(quiz_page(questions))
    for html in (quiz_page(questions), paper(questions, "paper", answers=False)):
        assert "Verdict" not in html  # what the asker knows would be the answer


def test_a_slide_is_a_picture_of_its_own() -> None:
    case = example_of(BY_ID["udp-port-unreach-other"])
    assert case is not None
    assert ElementTree.fromstring(slide(case)).find(".//{*}style") is not None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--html .*file/x: cannot be written: Not a directory"):
        write_site(tmp_path / "file" / "x")
