"""Logs on the page: live, folded, searched, and as long as they like."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.console.conftest import PATIENCE_S, Up, Visit, workflow

NUMBERS = "[...document.querySelectorAll('.log-line')].map(line => +line.dataset.line)"


def text_of(page: Page, line: int) -> Any:
    return page.locator(f'.log-line[data-line="{line}"] .log-text')


def first_line(page: Page) -> int:
    """Of those that are drawn; some of them are above those in sight."""
    found: int = page.evaluate(f"{NUMBERS}[0]")
    return found


def scrolled(page: Page) -> float:
    found: float = page.locator(".log .virtual").evaluate(
        "box => box.scrollHeight - box.scrollTop - box.clientHeight"
    )
    return found


def test_a_log_is_followed_until_one_scrolls_up(up: Up, visit: Visit) -> None:
    script = f"""
        for i in $(seq 1 200); do printf '\\033[32mline %d\\033[0m\\n' $i; done
        {up.gate("more")}
        for i in $(seq 201 400); do echo "line $i"; done
        {up.gate("most")}
        for i in $(seq 401 600); do echo "line $i"; done
        {up.gate("rest")}
    """
    run = up.submit(workflow({"a": {"run": {"Print": script}}}))
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}/jobs/0")
    expect(text_of(page, 200)).to_have_text("line 200")
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "true")
    assert text_of(page, 200).locator(".fg-green").count() == 1
    up.open("more")
    expect(text_of(page, 400)).to_be_in_viewport()
    assert scrolled(page) < 20

    page.locator(".log .virtual").hover()
    page.mouse.wheel(0, -900)
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "false")
    before = page.locator(".log .virtual").evaluate("box => box.scrollTop")
    up.open("most")
    expect(page.locator(".log-foot")).to_contain_text("600 lines")
    assert page.locator(".log .virtual").evaluate("box => box.scrollTop") == before
    visitor.picture("log-held")

    page.keyboard.press("f")
    expect(text_of(page, 600)).to_be_in_viewport()
    up.open("rest")
    expect(page.locator(".log-foot")).to_contain_text("complete")
    expect(page.locator(".head .status-text")).to_have_text("Succeeded")


def test_colours_go_on_in_the_next_line(up: Up, visit: Visit) -> None:
    script = "printf '\\033[31mred\\nstill red\\n\\033[0mplain\\n\\033[32mgreen\\n'"
    run = up.submit(workflow({"a": {"run": {"Colours": script, "Next": "echo after"}}}))
    up.ended(run)
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}/jobs/0")
    for line, looks in ((1, "fg-red"), (2, "fg-red"), (4, "fg-green")):
        expect(text_of(page, line).locator(f".{looks}")).to_have_count(1)
    for line in (3, 5):
        expect(text_of(page, line).locator("[class^=fg-]")).to_have_count(0)
    visitor.picture("colours")


def test_groups_fold(up: Up, visit: Visit) -> None:
    script = "echo before; echo '::group::Many things'; seq 1 50; echo '::endgroup::'; echo after"
    run = up.submit(workflow({"a": {"run": {"Print": script}}}))
    up.ended(run)
    page = visit(up).enter(f"/runs/{run}/jobs/0")
    title = page.get_by_role("button", name="Many things")
    expect(title).to_have_attribute("aria-expanded", "false")
    assert page.evaluate(NUMBERS) == [1, 2, 54]
    title.click()
    expect(title).to_have_attribute("aria-expanded", "true")
    expect(text_of(page, 3)).to_have_text("1")
    page.keyboard.press("z")
    expect(text_of(page, 3)).to_have_count(0)


def test_a_line_can_be_linked_even_into_a_fold(up: Up, visit: Visit) -> None:
    script = "echo '::group::G'; seq 1 3000; echo '::endgroup::'; echo after"
    run = up.submit(workflow({"a": {"run": {"Print": script}}}))
    up.ended(run)
    page = visit(up).enter(f"/runs/{run}/jobs/0")
    page.goto(f"{up.url}/runs/{run}/jobs/0#L2500")
    page.reload()
    expect(text_of(page, 2500)).to_have_text("2499")
    expect(page.locator(".log-line.chosen")).to_have_attribute("data-line", "2500")
    page.get_by_role("link", name="Line 2498", exact=True).click()
    expect(page).to_have_url(re.compile("#L2498$"))


def test_the_step_that_failed_is_in_sight(up: Up, visit: Visit) -> None:
    run = up.submit(
        workflow(
            {
                "a": {
                    "run": {
                        "Fine": "seq 1 2000",
                        "Bad": "seq 1 700; echo '::error::It broke'; exit 3",
                        "Never": ":",
                    }
                }
            }
        )
    )
    up.ended(run)
    page = visit(up).enter(f"/runs/{run}/jobs/0")
    expect(page.locator(".log-command.is-error")).to_be_in_viewport()
    expect(page.locator(".step.in-sight")).to_contain_text("Bad")
    page.locator(".step", has_text="Fine").click()
    expect(text_of(page, 1)).to_be_in_viewport()
    page.keyboard.press("e")
    expect(page.locator(".log-command.is-error")).to_be_in_viewport()


def test_a_log_is_searched(up: Up, visit: Visit) -> None:
    script = (
        "for i in $(seq 1 3000); do echo \"entry $i\"; done; echo 'Needle A'; seq 1 2000; echo 'a needle b'"
    )
    run = up.submit(workflow({"a": {"run": {"Print": script}}}))
    up.ended(run)
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}/jobs/0")
    page.locator(".log-line").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("needle")
    expect(page.locator(".log-found")).to_have_text("1 of 2")
    expect(text_of(page, 3001).locator(".found")).to_have_text("Needle")
    page.keyboard.press("Enter")
    expect(page.locator(".log-found")).to_have_text("2 of 2")
    expect(text_of(page, 5002)).to_be_in_viewport()
    visitor.picture("log-search")
    page.get_by_label("Search the log").fill("Needle")
    expect(page.locator(".log-found")).to_have_text("1 of 1")
    page.get_by_label("Search the log").fill("nothing like it")
    expect(page.locator(".log-found")).to_have_text("no match")


def test_ten_million_lines(up: Up, visit: Visit) -> None:
    run = up.submit(workflow({"a": {"run": {"Print": "seq 1 10000000; echo the end"}}}))
    up.ended(run)
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}/jobs/0")
    expect(page.locator(".log-foot")).to_contain_text("10,000,001 lines")
    expect(text_of(page, 1)).to_have_text("1")
    box = page.locator(".log .virtual")
    assert box.evaluate("box => box.scrollHeight") < 10_000_000  # as much as every browser can draw

    page.keyboard.press("G")
    expect(text_of(page, 10_000_001)).to_have_text("the end")
    expect(text_of(page, 10_000_001)).to_be_in_viewport()

    # The bar dragged to the middle, then small movements: exact to the line.
    box.evaluate("box => box.scrollTop = box.scrollHeight / 2")
    up.until(lambda: 4_000_000 < first_line(page) < 6_000_000)
    first = first_line(page)
    box.hover()
    for turn in range(1, 11):
        page.mouse.wheel(0, 200)
        up.until(lambda turn=turn: first_line(page) == first + turn * 10)
    line = first + 130
    expect(text_of(page, line)).to_have_text(str(line))
    visitor.picture("log-ten-million")

    # Only what is in sight exists, and only what was in sight was read.
    assert page.locator(".log-line").count() < 120

    page.goto(f"{up.url}/runs/{run}/jobs/0#L7654321")
    page.reload()
    expect(text_of(page, 7_654_321)).to_have_text("7654321", timeout=PATIENCE_S * 1_000)
