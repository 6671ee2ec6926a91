import { describe, expect, it } from "vitest";
import { bytes, duration, grouped } from "../src/format";
import { carried, pieces, plain } from "../src/log/ansi";
import { Carry } from "../src/log/carry";
import { highlight, occurrences } from "../src/log/highlight";
import { above, match } from "../src/places";
import { fits, merge } from "../src/run/rows";
import { bar, ticks, within, zoom } from "../src/run/timescale";
import { tree } from "../src/run/tree";
import type { RunRow } from "../src/types";

describe("numbers", () => {
  it("have their thousands apart", () => {
    for (const value of [0, 7, 999, 1_000, 12_345, 999_999, 1_000_000, 1_234_567_890])
      expect(grouped(value)).toBe(value.toLocaleString("en"));
  });
});

describe("colours of a terminal", () => {
  it("become classes", () => {
    expect(pieces("a \x1b[31;1mred\x1b[0m b")).toEqual([
      { text: "a ", looks: "" },
      { text: "red", looks: "fg-red is-bold" },
      { text: " b", looks: "" },
    ]);
  });
  it("may be of 256, or any", () => {
    expect(pieces("\x1b[38;5;208mx")[0]?.colour).toBe("rgb(255,135,0)");
    expect(pieces("\x1b[38;2;1;2;3mx")[0]?.colour).toBe("rgb(1, 2, 3)");
    expect(pieces("\x1b[48;5;240mx")[0]?.background).toBe("rgb(88,88,88)");
  });
  it("leave nothing else of the sequences", () => {
    expect(pieces("\x1b]0;title\x07\x1b[2Ka\x1b[1Gb")).toEqual([{ text: "ab", looks: "" }]);
    expect(plain("\x1b[1;32mok\x1b[0m 10%\r100%")).toBe("100%");
  });
  it("go on in the next line, until they end", () => {
    const lines = ["plain", "\x1b[31mred", "still", "\x1b[1mbold\x1b[0m not", "none", "\x1b[38;5;0mblack", "on", "\x1b[0;32mgreen", "on"];
    const steps = [0, 0, 0, 0, 0, 0, 0, 0, 1];
    const line = (at: number) =>
      at in lines ? { step: steps[at] as number, text: lines[at] as string, offset: 0, at_ms: 0, cut: false } : undefined;
    const red = "\x1b[31m";
    const expected = ["", "", red, red, "", "", "\x1b[38;5;0m", "\x1b[38;5;0m", ""];
    const carry = new Carry(line);
    expect(lines.map((_, at) => carry.before(at))).toEqual(expected);
    expect(lines.map((_, at) => new Carry(line).before(at))).toEqual(expected);
    expect(carry.before(2)).toBe(red);
    expect(carry.before(99)).toBe("");
    expect(pieces(red + "still")).toEqual([{ text: "still", looks: "fg-red" }]);
    expect(carried("", "\x1b[1m".repeat(1000)).length).toBeLessThanOrEqual(256);
  });
  it("are never markup", () => {
    expect(pieces("<img src=x onerror=alert(1)>")).toEqual([{ text: "<img src=x onerror=alert(1)>", looks: "" }]);
  });
});

describe("what is searched for", () => {
  it("is marked across colours", () => {
    const marked = highlight(pieces("an \x1b[31merr\x1b[0mor here"), "error");
    expect(marked.filter((piece) => piece.found).map((piece) => piece.text)).toEqual(["err", "or"]);
    expect(marked.map((piece) => piece.text).join("")).toBe("an error here");
  });
  it("goes without case unless there is a capital", () => {
    expect(occurrences("Error error", "error")).toHaveLength(2);
    expect(occurrences("Error error", "Error")).toHaveLength(1);
  });
});

describe("places", () => {
  it("are told by the address", () => {
    expect(match("/")).toEqual({ screen: "runs" });
    expect(match("/runs/01m8")).toEqual({ screen: "run", run: "01m8" });
    expect(match("/runs/01m8/jobs/12")).toEqual({ screen: "job", run: "01m8", job: 12 });
    expect(match("/runs/01m8/jobs/x")).toEqual({ screen: "nowhere" });
    expect(match("/api/v1/runs")).toEqual({ screen: "nowhere" });
  });
});

const row = (run: string, created_ms: number, more: Partial<RunRow> = {}): RunRow => ({
  run,
  status: "running",
  workflow: "CI",
  title: "push",
  event: "push",
  priority: 0,
  live: true,
  created_ms,
  ended_ms: null,
  jobs: 1,
  jobs_ended: 0,
  retried_from: null,
  run_attempt: 1,
  ...more,
});

describe("rows", () => {
  const any = { live: false, status: null, workflow: "" };
  it("change in place, come on top, and stay the same objects otherwise", () => {
    const rows = [row("b", 2), row("a", 1)];
    const next = merge(rows, [row("c", 3), row("a", 1, { jobs_ended: 1 })], any);
    expect(next.map((each) => each.run)).toEqual(["c", "b", "a"]);
    expect(next[1]).toBe(rows[0]);
    expect(next[2]?.jobs_ended).toBe(1);
  });
  it("leave a list that they do not fit any more", () => {
    const live = { ...any, live: true };
    expect(merge([row("a", 1)], [row("a", 1, { live: false, status: "failed" })], live)).toEqual([]);
    expect(fits(row("a", 1), { ...any, workflow: "other" })).toBe(false);
  });
  it("that are older than the page are left to the next page", () => {
    expect(merge([row("b", 5)], [row("a", 1)], any).map((each) => each.run)).toEqual(["b"]);
  });
});

describe("the time line", () => {
  const whole = { from: 1_000, to: 61_000 };
  it("names round moments", () => {
    expect(ticks(whole, 1_000, 6).map((tick) => tick.label)).toEqual(["0", "10 s", "20 s", "30 s", "40 s", "50 s", "1 min"]);
    for (const most of [2, 5, 20]) expect(ticks({ from: 0, to: 9e8 }, 0, most).length).toBeLessThanOrEqual(most + 1);
  });
  it("cuts bars to what is seen", () => {
    expect(bar(whole, 0, 31_000)).toEqual({ left: 0, width: 50 });
    expect(bar(whole, 70_000, 80_000)).toBeNull();
  });
  it("keeps the moment under the pointer, and stays within the run", () => {
    const closer = zoom(whole, whole, 16_000, 0.5);
    expect((16_000 - closer.from) / (closer.to - closer.from)).toBeCloseTo(0.25);
    expect(within({ from: -500, to: 500 }, whole)).toEqual({ from: 1_000, to: 2_000 });
  });
});

describe("the tree of actors", () => {
  const actor = (path: string, mailbox = 0) => ({ path, kind: "k", state: "running", mailbox, handled: 0, restarts: 0 });
  it("has children below their parents, numbers by value", () => {
    const rows = tree([actor("/runs/10"), actor("/runs/9", 2), actor("/runs"), actor("/agents/local/link"), actor("/agents")]);
    expect(rows.map((each) => [each.depth, each.name])).toEqual([
      [0, "agents"],
      [1, "local/link"],
      [0, "runs"],
      [1, "9"],
      [1, "10"],
    ]);
    expect(rows[2]?.mail).toBe(2);
  });
});

describe("numbers", () => {
  it("are told in words", () => {
    expect([0, 940, 1_000, 9_990, 61_000, 3_700_000, 90_000_000].map(duration)).toEqual([
      "0 ms", "940 ms", "1.0 s", "9.9 s", "1 min 1 s", "1 h 1 min", "1 d 1 h",
    ]);
    expect([12, 1_200, 999_600, 1e9].map(bytes)).toEqual(["12 B", "1.2 kB", "1.0 MB", "1.0 GB"]);
  });
});

describe("what holds a place", () => {
  it("leads from a job to its run, from a run to all, and from there nowhere", () => {
    expect(above(match("/runs/01ab/jobs/3"))).toBe("/runs/01ab");
    expect(above(match("/runs/01ab"))).toBe("/runs");
    expect(above(match("/runs"))).toBeNull();
    expect(above(match("/actors"))).toBeNull();
  });
});
