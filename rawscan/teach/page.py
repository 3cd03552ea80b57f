"""Explanations, lessons and quizzes as pages. Reads the two assets, gives text; writes nothing.

A page is one file: no network (its own policy forbids it), no build step, readable without its
script, on a phone, in light and in dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from rawscan.output.rules import citation
from rawscan.rules import Rule
from rawscan.teach.case import Case, Shot
from rawscan.teach.explanation import Explanation
from rawscan.teach.fields import Field
from rawscan.teach.knows import Knowledge, knowledge
from rawscan.teach.ladder import ladder_of
from rawscan.teach.lesson import Lesson, Predict, Read, Run, Show, Step
from rawscan.teach.machine import machine_svg
from rawscan.teach.quiz import Question
from rawscan.teach.svg import ladder_svg
from rawscan.teach.words import describe_reply

_ASSETS = Path(__file__).with_name("assets")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    style = (_ASSETS / "page.css").read_text()
    script = (_ASSETS / "page.js").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def prose(text: str) -> str:
    """Paragraphs; `code`, *emphasis*, and indented parts as they are."""
    parts = []
    for part in text.strip("\n").split("\n\n"):
        if part.startswith(" "):
            parts.append(f"<pre>{escape(part)}</pre>")
            continue
        parts.append(f"<p>{inline(part.strip())}</p>")
    return "\n".join(parts)


def inline(text: str) -> str:
    """`code` and *emphasis* within a line."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", html)


_KNOWS = """<dl class="knows" hidden aria-live="polite">
<div><dt>The asker</dt><dd data-knows="asker"></dd></div>
<div><dt>The target</dt><dd data-knows="target"></dd></div></dl>"""


def ladder_figure(case: Case, *, told: bool = True) -> str:
    """A ladder with its controls, which its script brings to light.

    Unless `told`, without what each end knows: that would answer a question.
    """
    ladder = ladder_of(case)
    known = knowledge(ladder, case) if told else [Knowledge("", "")] * len(ladder.rungs)
    title = f"{case.port.target} port {case.port.number}, {case.port.kind.value} probe"
    lanes = "; ".join(
        f"{lane.name} {', '.join(map(str, lane.addresses)) or '(not recorded)'}"
        for lane in ladder.lanes
    )
    if any(rung.kind == "probe" and rung.receiver is None for rung in ladder.rungs):
        lanes += "; ?: nothing here answers this packet"
    return f"""<figure class="ladder" tabindex="0" aria-label="{escape(title)}">
{ladder_svg(ladder, known, title)}
<figcaption>{escape(lanes)}</figcaption>
<div class="controls" hidden><button type="button" data-do="back">Back</button>
<button type="button" data-do="play">Play</button>
<button type="button" data-do="step">Step</button><span data-count></span></div>
{_KNOWS if told else ""}
</figure>"""


def explanation_page(explanation: Explanation) -> str:
    """`rawscan explain --html`: the same as the text, with pictures."""
    return page(explanation.claim, [f"<h1>{escape(explanation.claim)}</h1>", *_told(explanation)])


def _told(explanation: Explanation) -> Iterator[str]:
    rule = explanation.rule
    case = explanation.case
    if explanation.example:
        yield _rule(rule)
    if case is not None:
        yield "<h2>An example</h2>" if explanation.example else ""
        yield ladder_figure(case)
        for shot, fields in explanation.read:
            yield _field_table(shot, fields)
    if not explanation.example:
        yield "<h2>The rule</h2>" + _rule(rule)
    yield "<h2>What this probe can find</h2>"
    yield f"<figure>{machine_svg(rule.probe, rule)}</figure>"
    for heading, lines in (
        ("What would have changed it", [
            f"{each.change}: {each.rule.state.value if each.rule.state else 'no verdict'}"
            f" ({each.rule.id})" for each in explanation.otherwise
        ]),
        ("How sure", explanation.sure),
        ("What else came", explanation.beside),
        ("Where tools disagree", [
            f"{each.tool} {each.version} says {each.says}: {each.why}."
            for each in explanation.departures
        ]),
    ):  # fmt: skip
        if lines:
            items = "".join(f"<li>{escape(line)}</li>" for line in lines)
            yield f"<h2>{heading}</h2><ul>{items}</ul>"


def _rule(rule: Rule) -> str:
    state = rule.state.value if rule.state else "(a hint only)"
    sender = {True: "the target", False: "anybody else", None: "anybody"}[rule.from_target]
    rows = (
        ("rule", rule.id), ("probe", rule.probe.value),
        ("reply", f"{rule.signal}, from {sender}: {describe_reply(rule)}"), ("state", state),
        ("reason", rule.reason), ("source", citation(rule) or "no RFC speaks of it"),
    )  # fmt: skip
    cells = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<p>{escape(rule.why)}</p><div class="wide"><table>{cells}</table></div>'


def _field_table(shot: Shot, fields: Sequence[Field]) -> str:
    what = "probe" if shot.evidence is None else "reply"
    rows = "".join(
        f'<tr><td class="place">{field.place}</td><td class="bytes">{field.data.hex(" ")}</td>'
        f"<td>{escape(field.name)} {escape(field.value)}</td><td>{escape(field.meaning)}</td></tr>"
        for field in fields
    )
    return (
        f"<h2>The {what} #{shot.frame_number}</h2><p>Bytes from its IP header on.</p>"
        '<div class="wide"><table><tr><th>byte</th><th></th><th>field</th><th>meaning</th></tr>'
        f"{rows}</table></div>"
    )


def question_html(
    number: str, asked: str, choices: Sequence[str], answer: str, because: str, hides: str = ""
) -> str:
    """One question: answered by a click, or by the digit of the choice."""
    buttons = "".join(
        f'<button type="button" value="{escape(choice)}">{index}&ensp;{escape(choice)}</button>'
        for index, choice in enumerate(choices, start=1)
    )
    hiding = f' data-hides="{hides}"' if hides else ""
    return f"""<fieldset class="question" data-answer="{escape(answer)}"{hiding}>
<legend>{escape(number)}</legend>
{asked}
<div class="choices">{buttons}</div>
<div class="told" tabindex="-1" aria-live="polite"><p><strong data-said>{escape(answer)}.</strong>
{inline(because)}</p></div>
</fieldset>"""


def lesson_page(lesson: Lesson, stories: dict[int, list[Case]], links: str) -> str:
    """A lesson; `stories` has the cases of each step that shows some, by its index."""
    body = [
        f"<nav>{links}</nav>",
        f"<h1>{lesson.number}. {escape(lesson.title)}</h1>",
        f'<p class="goal">{inline(lesson.goal)}</p><p class="score" aria-live="polite"></p>',
    ]
    for index, step in enumerate(lesson.steps):
        body.append(f'<section id="step-{index}">{_step(lesson, index, step, stories)}</section>')
    return page(lesson.title, [*body, f"<nav>{links}</nav>"])


def _step(lesson: Lesson, index: int, step: Step, stories: dict[int, list[Case]]) -> str:
    match step:
        case Read(text):
            return prose(text)
        case Predict(question, choices, answer, because):
            following = lesson.steps[index + 1 : index + 2]
            tested = bool(following) and isinstance(following[0], Run | Show)
            hides = f"step-{index + 1}" if tested else ""
            return question_html("Predict", prose(question), choices, answer, because, hides)
        case Run(look=look) | Show(look=look):
            cases = stories[index]
            shown = "".join(map(ladder_figure, cases)) if len(cases) <= 2 else ""
            return _verdicts(cases) + shown + prose(look)


def _verdicts(cases: Sequence[Case]) -> str:
    """The table of a run, as a scan prints it."""
    rows = "".join(
        f"<tr><td>{case.port.target}</td><td>{case.port.number}/{case.port.protocol.value}</td>"
        f'<td class="state">{case.verdict.state.value}</td><td>{escape(case.verdict.reason)}</td>'
        f"<td>{_who(case)}</td><td>{case.verdict.tries}</td></tr>"
        for case in cases
    )
    heads = "".join(
        f"<th>{name}</th>" for name in ("target", "port", "state", "reason", "from", "tries")
    )
    return f'<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'


def _who(case: Case) -> str:
    responder = case.verdict.reason_ip
    if responder is None:
        return "-"
    return "target" if responder == case.port.target else str(responder)


def quiz_page(questions: Sequence[Question], links: str = "") -> str:
    """A quiz to be answered on the page, by clicking or by keyboard."""
    body = [
        f"<nav>{links}</nav>",
        "<h1>Which state is it?</h1>",
        "<p>Click an answer, or move to a question and type its digit.</p>",
        '<p class="score" aria-live="polite"></p>',
    ]
    for number, question in enumerate(questions, start=1):
        asked = f"{_shown(question)}<p>{escape(question.asked)}</p>"
        names = [state.value for state in question.choices]
        heading = f"Question {number} of {len(questions)}"
        because = question.because
        body.append(question_html(heading, asked, names, question.answer.value, because))
    return page("Which state is it?", body)


def _shown(question: Question) -> str:
    return "" if question.case is None else ladder_figure(question.case, told=False)


def paper(questions: Sequence[Question], seed: str, *, answers: bool, student: str = "") -> str:
    """The same to be printed, with the answers or with room for them."""
    title = "Which state is it?" + " The answers" * answers
    who = escape(student) or '<span class="name">&nbsp;</span>'
    body = [f"<h1>{title}</h1>", f"<p>Name: {who} &ensp; Seed: <code>{escape(seed)}</code></p>"]
    for number, question in enumerate(questions, start=1):
        names = ", ".join(state.value for state in question.choices)
        told = f'<p>One of: {names}. Your answer: <span class="name">&nbsp;</span></p>'
        if answers:
            answer = f'<span class="state">{question.answer.value}</span>'
            told = f"<p>{answer}: {escape(question.because)}</p>"
        heading = f"<h2>{number}. {escape(question.asked)}</h2>"
        body.append(f'<div class="question">{heading}{_shown(question)}{told}</div>')
    return page(title, body)


def slide(case: Case) -> str:
    """A ladder as a picture of its own, for slides: SVG with its colours inside."""
    ladder = ladder_of(case)
    title = f"{case.port.target} port {case.port.number}: {case.verdict.state.value}"
    picture = ladder_svg(ladder, knowledge(ladder, case), title)
    style = (
        "text{font:11px monospace}text.lane{font-weight:bold}line.lane{stroke:#888}"
        ".arrow{stroke:#1f5fbf;stroke-width:2}.head{fill:#1f5fbf}.reply .arrow{stroke:#a13d00}"
        ".reply .head{fill:#a13d00}.lost{stroke-dasharray:6 4}.ground{fill:#fff}"
    )
    opened = picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return opened.replace("<title>", f"<style>{style}</style><title>", 1) + "\n"
