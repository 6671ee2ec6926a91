"""The stream of a tab: nothing is missed, whatever breaks, and however much comes."""

from __future__ import annotations

import signal
from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.conftest import Up, Visit, workflow

#: Tasks of the page that took longer than 50 ms, as the browser counts them.
WATCH = """() => {
  window.long = [];
  new PerformanceObserver(list => list.getEntries().forEach(each => window.long.push(each.duration))).observe({type: 'longtask'});
}"""
#: A piece of work that tells how fast the processor is that the page has.
WORK = """() => { for (let turn = 0, sum = 0; turn < 3e7; turn++) sum += turn % 7; }"""
#: Numbers and texts of the lines that are drawn.
LINES = """() => [...document.querySelectorAll('.log-line')]
  .map(line => [+line.dataset.line, line.querySelector('.log-text').textContent])"""
#: When a line came to be on the page, by the wall clock in milliseconds.
SEEN = """() => {
  window.seen = {};
  new MutationObserver(() => {
    const at = performance.timeOrigin + performance.now();
    for (const line of document.querySelectorAll('.log-line .log-text')) {
      const found = /^stamp (\\d+)$/.exec(line.textContent);
      if (found) window.seen[found[1]] ??= at;
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_the_server_goes_and_comes_again(own_up: Up, visit: Visit) -> None:
    """The steps go on meanwhile; the page misses no line and no event, and shows none twice."""
    script = f"""
        for i in $(seq 1 50); do echo "line $i"; done
        {own_up.gate("down0")}
        for i in $(seq 51 100); do echo "line $i"; done
        touch {own_up.folder}/written0
        {own_up.gate("down1")}
        for i in $(seq 101 150); do echo "line $i"; done
        touch {own_up.folder}/written1
        {own_up.gate("up")}
        for i in $(seq 151 200); do echo "line $i"; done
    """
    run = own_up.submit(workflow({"a": {"run": {"Count": script}}, "b": {"needs": "a", "run": {"Do": ":"}}}))
    visitor = visit(own_up)
    log = visitor.enter(f"/runs/{run}/jobs/0")
    expect(log.locator('.log-line[data-line="50"]')).to_contain_text("line 50")
    overview = log.context.new_page()
    overview.goto(f"{own_up.url}/runs/{run}")
    expect(overview.get_by_role("link", name="Running a")).to_be_visible()

    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM)):
        own_up.stop(how)
        expect(log.locator(".link-lost")).to_be_visible()
        expect(log.get_by_role("alert")).to_contain_text("goes on by itself")
        visitor.picture(f"lost-{number}")
        own_up.open(f"down{number}")
        own_up.until((own_up.folder / f"written{number}").exists)
        own_up.start()
        visitor.live()
        expect(log.get_by_role("alert")).to_have_count(0)
        reached = 100 + 50 * number
        expect(log.locator(f'.log-line[data-line="{reached}"]')).to_contain_text(f"line {reached}")
    own_up.open("up")
    expect(log.locator(".log-foot")).to_contain_text("complete")
    expect(log.locator(".log-foot")).to_contain_text("200 lines")
    texts: dict[int, str] = {}
    for top in range(0, 4_000, 400):
        log.locator(".log .virtual").evaluate("(box, top) => box.scrollTop = top", top)
        below = log.locator(f'.log-line[data-line="{min(200, top // 20 + 25)}"]')
        below.wait_for(state="attached")
        for number, text in log.evaluate(LINES):
            assert texts.setdefault(number, text) == text
    assert texts == {number: f"line {number}" for number in range(1, 201)}
    expect(overview.get_by_role("link", name="Succeeded b")).to_be_visible()
    expect(overview.locator(".head .status-text")).to_have_text("Succeeded")
    visitor.complaints = [
        each for each in visitor.complaints if "ERR_" not in each
    ]  # said of the server that was gone


def test_hundreds_of_events_a_second_do_not_hold_the_page(
    up: Up, visit: Visit, record_property: Callable[[str, object], None]
) -> None:
    visitor = visit(up)
    page = visitor.enter("/runs")
    visitor.live()
    page.evaluate(WATCH)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked_s() -> float:
        """Processor time of the page's thread so far: stalls of the machine are not in it."""
        told = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration"))

    before_s = worked_s()
    page.evaluate(WORK)
    same_s = worked_s() - before_s
    # Two tabs of one visitor would share nothing: all of it comes over one stream, to one page that shows a graph and rows.
    run = up.submit(
        workflow(
            {
                "many": {
                    "strategy": {"matrix": {"n": list(range(60)), "m": list(range(10))}},
                    "run": {"Do": ":"},
                }
            }
        )
    )
    page.locator(f'[data-run="{run}"]').click()
    page.get_by_role("button", name="many 600").wait_for()
    page.keyboard.press("3")
    told = up.ended(run)
    expect(page.locator(".head .status-text")).to_have_text("Succeeded")
    expect(page.locator(".counts-legend")).to_contain_text("600 succeeded")
    events = len(up.ask(f"/runs/{run}/events?limit=10000")["items"])
    took_s = (told["ended_ms"] - told["created_ms"]) / 1_000
    work_s = worked_s() - before_s - same_s
    record_property("events_per_s", round(events / took_s))
    record_property("longest_task_ms", max(page.evaluate("window.long"), default=0))
    # Usually 20 times that.
    assert work_s < 100 * same_s, f"{events} events were {work_s:.1f} s of work for the page"


def test_how_soon_a_line_is_on_the_page(
    up: Up, visit: Visit, record_property: Callable[[str, object], None]
) -> None:
    """Measured and told, not judged: the machine may have other things to do."""
    script = f'{up.gate("stamps")}; for i in $(seq 1 40); do echo "stamp $(date +%s%N)"; sleep 0.02; done; {up.gate("stamped")}'
    run = up.submit(workflow({"a": {"run": {"Stamp": script}}}))
    page = visit(up).enter(f"/runs/{run}/jobs/0")
    page.get_by_text("Nothing was written yet.").wait_for()
    page.evaluate(SEEN)
    up.open("stamps")
    expect(page.locator(".log-foot")).to_contain_text("40 lines")
    up.until(lambda: page.evaluate("Object.keys(window.seen).length") == 40)
    delays = sorted(at - int(stamp) / 1e6 for stamp, at in page.evaluate("window.seen").items())
    assert delays[0] > 0
    record_property("printed_to_page_ms_p50", round(delays[20], 1))
    record_property("printed_to_page_ms_max", round(delays[-1], 1))
    up.open("stamped")
