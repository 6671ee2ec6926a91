"""What the page shows, and that it shows it as it happens."""

from __future__ import annotations

import re
import zipfile

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Up, Visit, workflow


def test_one_comes_in_by_the_link_and_by_the_form(up: Up, visit: Visit) -> None:
    by_link = visit(up).enter()
    assert by_link.url == f"{up.url}/runs"
    cookies = by_link.context.cookies()
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies] == [(True, "Strict")]
    by_link.get_by_role("button", name="Sign out").click()
    expect(by_link.get_by_label("Token")).to_be_visible()

    stranger = visit(up)
    form = stranger.page
    form.goto(f"{up.url}/runs")
    form.get_by_label("Token").fill("wrong")
    form.get_by_role("button", name="Sign in").click()
    expect(form.get_by_role("alert")).to_contain_text("token")
    stranger.picture("sign-in")
    form.get_by_label("Token").fill(up.token)
    form.keyboard.press("Enter")
    expect(form.get_by_role("heading", name="Runs")).to_be_visible()


def test_the_list_of_runs_is_live(up: Up, visit: Visit) -> None:
    visitor = visit(up)
    page = visitor.enter()
    visitor.live()
    run = up.submit(workflow({"a": {"run": {"Wait": up.gate("list")}}}, name="Listed"))
    row = page.locator(f'[data-run="{run}"]')
    expect(row).to_contain_text("Running")
    expect(row).to_contain_text("0 of 1 job")

    page.get_by_role("button", name="Live", exact=True).click()
    expect(page).to_have_url(re.compile(r"show=live"))
    expect(row).to_be_visible()
    up.open("list")
    expect(row).to_have_count(0)  # it has ended: it is not live any more

    page.get_by_role("button", name="Succeeded").click()
    page.get_by_label("Only runs of this workflow").fill("Listed")
    expect(page.locator(".run-row")).to_have_count(1)
    expect(row).to_contain_text("Succeeded")
    page.reload()
    expect(page.locator(".run-row")).to_have_count(1)  # the address holds the filters


def test_older_runs_come_by_pages(up: Up, visit: Visit) -> None:
    runs = [up.submit(workflow({"a": {"run": {"Do": ":"}}}, name="Paged")) for _ in range(53)]
    for run in runs:
        up.ended(run)
    page = visit(up).enter("/runs?workflow=Paged")
    expect(page.locator(".run-row")).to_have_count(50)
    page.get_by_role("button", name="Older runs").click()
    expect(page.locator(".run-row")).to_have_count(53)
    assert {row.get_attribute("data-run") for row in page.locator(".run-row").all()} == set(runs)


def test_a_run_from_its_start_to_its_end(up: Up, visit: Visit) -> None:
    summary = "## Sum\\n\\n| a | b |\\n|---|---|\\n| 1 | <img src=x onerror=alert(1)><script>document.title=1</script> |\\n"
    run = up.submit(
        workflow(
            {
                "build": {
                    "run": {
                        "Wait": up.gate("build"),
                        "Tell": f"printf '{summary}' >> $GITHUB_STEP_SUMMARY; echo '::warning file=a.c,line=7,title=Hm::Not good'; "
                        "mkdir out; echo made > out/file",
                    },
                },
                "test": {
                    "needs": "build",
                    "strategy": {"fail-fast": False, "matrix": {"n": [1, 2, 3]}},
                    "run": {"Try": "[ ${{ matrix.n }} != 2 ]"},
                },
                "other": {"run": {"Wait": up.gate("build")}},
                "last": {"needs": ["test", "other"], "run": {"Do": ":"}},
            },
            name="Whole",
        )
    )
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}")
    graph = page.get_by_role("group", name="Graph of the jobs")
    expect(graph.get_by_role("link", name="Running build")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_role("button", name="Jobs").click()
    expect(page.locator(".job-row", has_text="build")).to_contain_text("Wait")
    page.keyboard.press("1")
    visitor.live()
    visitor.picture("run-live")
    up.open("build")

    expect(graph.get_by_role("button", name="Failed test 3")).to_be_visible()
    expect(graph.get_by_role("link", name="Skipped last")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="The run is failed.")).to_be_attached()
    expect(page.locator(".counts-legend")).to_have_text(re.compile("1 failed.*1 skipped.*4 succeeded", re.S))

    graph.get_by_role("button", name="Failed test 3").click()
    legs = page.locator(".opened .job-row")
    expect(legs).to_have_count(3)
    expect(legs.first).to_contain_text("test (2)")  # what failed stands first
    expect(page).to_have_url(re.compile("node=test"))

    note = page.locator(".note.level-warning")
    expect(note).to_contain_text("Not good")
    expect(note).to_contain_text("a.c:7")
    shown = page.locator(".markdown")
    expect(shown.locator("td")).to_have_count(2)
    assert shown.locator("script, [onerror]").count() == 0
    assert page.title() != "1"
    visitor.complaints = [
        each for each in visitor.complaints if "inline event handler" not in each
    ]  # refused, as it should be

    page.keyboard.press("2")
    expect(page.locator(".time-row")).to_have_count(6)
    expect(page.locator(".time-row", has_text="build").locator(".bar-step")).not_to_have_count(0)
    page.get_by_role("button", name="Closer").click()
    expect(page.get_by_role("button", name="All", exact=True)).to_be_enabled()
    visitor.picture("timeline")


def test_an_artifact_is_downloaded(up: Up, visit: Visit) -> None:
    text = workflow({"a": {"run": {"Make": "mkdir out; echo made > out/file"}}})
    text = text.replace('"name": "Make"', '"name": "Make", "id": "m"').replace(
        "  ]", '  , {"uses": "actions/upload-artifact@v4", "with": {"name": "the things", "path": "out"}}]', 1
    )
    run = up.submit(text)
    up.ended(run)
    page = visit(up).enter(f"/runs/{run}")
    with page.expect_download() as coming:
        page.get_by_role("link", name="the things").click()
    assert coming.value.suggested_filename == "the things.zip"
    with zipfile.ZipFile(coming.value.path()) as archive:
        assert archive.read("file") == b"made\n"


def test_waiting_has_a_reason(up: Up, visit: Visit) -> None:
    run = up.submit(
        workflow(
            {
                "first": {"run": {"Wait": up.gate("reasons")}},
                "second": {"run": {"Wait": up.gate("reasons")}},
                **{f"more{n}": {"run": {"Wait": up.gate("reasons")}} for n in range(8)},
                "after": {"needs": "first", "run": {"Do": ":"}},
            }
        )
    )
    visitor = visit(up)
    page = visitor.enter("/queue")
    expect(page.locator(".queue-row").first).to_contain_text("slots")
    visitor.picture("queue")
    page = visitor.go("/workers")
    expect(page.locator(".agent")).to_contain_text("2 of 2")
    expect(page.locator(".agent-jobs")).to_contain_text("first")
    visitor.picture("workers")
    page = visitor.go(f"/runs/{run}")
    expect(page.get_by_title("Waits for first.")).to_contain_text("after")
    page = visitor.go(f"/runs/{run}?view=jobs&show=waiting")
    expect(page.locator(".job-row", has_text="more7")).to_contain_text("in the queue")
    page = visitor.go("/actors")
    expect(page.locator(f'[data-actor$="{run}"]')).to_contain_text("RunActor")
    visitor.picture("actors")
    up.open("reasons")
    up.ended(run)


def test_a_run_is_cancelled_and_tried_again_from_the_page(up: Up, visit: Visit) -> None:
    run = up.submit(workflow({"a": {"run": {"Wait": up.gate("cancelled")}}}))
    page = visit(up).enter(f"/runs/{run}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    assert up.ask(f"/runs/{run}")["status"] in ("pending", "running")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".head .status-text")).to_have_text("Cancelled")
    assert up.ended(run)["status"] == "cancelled"

    up.open("cancelled")
    page.get_by_role("button", name="Retry all").click()
    expect(page).not_to_have_url(re.compile(run))
    expect(page.locator(".head .status-text")).to_have_text("Succeeded")
    page.get_by_role("link", name="the one before").click()
    expect(page).to_have_url(re.compile(run))
    expect(page.locator(".head .status-text")).to_have_text("Cancelled")


def test_a_part_of_the_page_that_cannot_be_loaded_says_so(up: Up, visit: Visit) -> None:
    run = up.submit(workflow({"a": {"run": {"Say": "echo said"}}}))
    page = visit(up).enter(f"/runs/{run}")
    page.route("**/assets/Job-*.js", lambda route: route.abort())
    page.locator(".graph-row").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    page.unroute("**/assets/Job-*.js")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".log-text", has_text="said")).to_be_visible()


def test_secrets_are_asked_for_again_by_a_retry(up: Up, visit: Visit) -> None:
    steps = [{"name": "Say", "run": "echo length ${#S}", "env": {"S": "${{ secrets.TOKEN }}"}}]
    text = workflow({"a": {"run": {}, "steps": steps}})
    given = {"workflow": {"path": "w.yml", "text": text}, "secrets": {"TOKEN": "first", "OTHER": "o"}}
    run = up.ask("/runs", given)["run"]
    up.ended(run)
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}")
    page.get_by_role("button", name="Retry all").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("TOKEN")
    expect(field).to_have_attribute("type", "password")
    visitor.picture("secrets")
    dialog.get_by_role("button", name="Retry all").click()  # nothing was filled in
    expect(dialog).to_be_visible()
    dialog.get_by_label("OTHER").fill("x")
    field.fill("a longer one")
    field.press("Enter")
    expect(page).not_to_have_url(re.compile(run))
    expect(page.locator(".head .status-text")).to_have_text("Succeeded")
    again = up.ask("/runs?limit=1")["items"][0]["run"]
    assert up.ask(f"/runs/{again}/jobs/0/log/lines")["lines"][-1]["text"] == "length 12"


def test_a_held_job_is_decided_about(up: Up, visit: Visit) -> None:
    held = {"name": "Once", "run": up.gate("held"), "relevo": {"idempotent": False}}
    for word, status in (("Retry", "Succeeded"), ("Fail", "Failed")):
        run = up.submit(workflow({"deploy": {"run": {}, "steps": [held]}}))
        visitor = visit(up)
        page = visitor.enter(f"/runs/{run}/jobs/0")
        expect(page.locator(".step", has_text="Once").first).to_be_visible()
        up.until(
            lambda run=run: any(
                step["status"] == "running" for step in up.ask(f"/runs/{run}")["jobs"][0]["steps"]
            )
        )
        up.kill_agent()
        decide = page.get_by_role("button", name=word, exact=True)
        decide.wait_for()
        expect(page.locator(".step", has_text="Once").get_by_label("Lost")).to_be_visible()
        visitor.picture("held")
        up.open("held")
        decide.click()
        if word == "Fail":
            page.get_by_role("dialog").get_by_role("button", name="It has failed").click()
        expect(page.locator(".head .status-text")).to_have_text(status)
        up.ended(run)
        (up.folder / "held").unlink()


def test_groups_have_their_names(up: Up, visit: Visit) -> None:
    text = {"concurrency": {"group": "deploy-production"}, "run": {"Wait": up.gate("group")}}
    runs = [up.submit(workflow({"a": dict(text)})) for _ in range(2)]
    visitor = visit(up)
    page = visitor.enter("/actors")
    expect(page.locator(".actor-row", has_text="deploy-production")).to_contain_text("GroupActor")
    visitor.picture("actors-groups")
    page = visitor.go(f"/runs/{runs[1]}?view=jobs")
    expect(page.locator(".job-row")).to_contain_text("deploy-production")
    visitor.picture("waits-in-group")
    up.open("group")
    for run in runs:
        up.ended(run)
    (up.folder / "group").unlink()


def test_a_session_that_has_ended_is_told_and_begun_again(own_up: Up, visit: Visit) -> None:
    run = own_up.submit(workflow({"a": {"run": {"Do": ":"}}}))
    own_up.ended(run)
    visitor = visit(own_up)
    page = visitor.enter(f"/runs/{run}")
    page.context.clear_cookies()
    page.get_by_role("button", name="Retry all").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator(".telling")).to_contain_text("Your session has ended.")
    visitor.picture("session-ended")
    page.get_by_label("Token").fill("rlv_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Token").fill(own_up.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(run))
    expect(page.locator(".head .status-text")).to_have_text("Succeeded")


def test_a_matrix_of_2000_stays_one_row(up: Up, visit: Visit) -> None:
    legs = list(range(200))
    run = up.submit(
        workflow(
            {
                "shard": {
                    "strategy": {"matrix": {"n": legs, "part": list(range(10))}},
                    "run": {"Wait": up.gate("never")},
                },
                "end": {"needs": "shard", "run": {"Do": ":"}},
            },
            name="Big",
        )
    )
    visitor = visit(up)
    page = visitor.enter(f"/runs/{run}?node=shard")
    row = page.get_by_role("button", name="shard 2,000")
    expect(row).to_be_visible()
    visitor.picture("big")
    # However many there are, a screenful of rows exists.
    assert 10 <= page.locator(".opened .job-row").count() < 60
    page.locator(".opened .virtual").evaluate("box => box.scrollTop = box.scrollHeight")
    expect(page.locator(".opened .job-row", has_text="shard (199, 9)")).to_be_visible()
    up.ask(f"/runs/{run}/cancel", {"force": True})
    expect(page.locator(".head .status-text")).to_have_text("Cancelled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes(up: Up, visit: Visit, scheme: str) -> None:
    page = visit(up, color_scheme=scheme).enter()
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    lightness = "() => getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    assert (page.evaluate(lightness) > 380) == (scheme == "light")
    seen = {page.evaluate(ground)}
    for _ in range(2):
        page.keyboard.press("d")
        seen.add(page.evaluate(ground))
    assert len(seen) == 2
    chosen = page.evaluate(ground)
    page.reload()
    page.locator("main h1").wait_for()
    assert page.evaluate(ground) == chosen


def test_all_of_it_by_keyboard(up: Up, visit: Visit) -> None:
    run = up.submit(workflow({"a": {"run": {"Do": "echo hello"}}}, name="Keys"))
    up.ended(run)
    page = visit(up).enter()
    expect(page.locator(".run-row").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("Keys")
    expect(page.locator(".run-row")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(run))
    page.get_by_role("group", name="Graph of the jobs").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".log-line")).to_contain_text("hello")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Follow the end of the log")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("u")
    page.keyboard.press("u")
    expect(page).to_have_url(f"{up.url}/runs")
    for keys, heading in (("gw", "Workers"), ("gq", "Queue"), ("ga", "Actors"), ("gr", "Runs")):
        for key in keys:
            page.keyboard.press(key)
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


def test_unknown_places_are_told_kindly(up: Up, visit: Visit) -> None:
    visitor = visit(up)
    visitor.enter("/runs/nonsense")
    expect(visitor.page.get_by_role("alert")).to_contain_text("no run")
    run = up.submit(workflow({"a": {"run": {"Do": ":"}}}))
    up.ended(run)
    visitor.go(f"/runs/{run}")
    visitor.page.goto(f"{up.url}/runs/{run}/jobs/7")
    expect(visitor.page.get_by_text("The run has no job 7")).to_be_visible()
