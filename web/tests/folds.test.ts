import { describe, expect, it } from "vitest";
import { Folds, mark } from "../src/log/folds";

describe("marks", () => {
  it("are read as the agent reads them", () => {
    expect(mark("::group::Install")).toEqual({ kind: "group", title: "Install" });
    expect(mark("##[group]Install")).toEqual({ kind: "group", title: "Install" });
    expect(mark("\x1b[36m::group::Blue")).toEqual({ kind: "group", title: "Blue" });
    expect(mark("::endgroup::")).toEqual({ kind: "end" });
    expect(mark("a group of lines")).toBeNull();
    expect(mark("see ::group:: in the text")).toBeNull();
  });
});

/** What the folds promise, by going through all lines. */
function visible(folds: Folds, lines: number): number[] {
  const hidden = new Set<number>();
  for (const group of folds.groups) {
    if (group.open || group.end === null) continue;
    for (let line = group.line + 1; line <= group.end; line++) hidden.add(line);
  }
  return Array.from({ length: lines }, (_, line) => line).filter((line) => !hidden.has(line));
}

function random(seed: number): () => number {
  return () => ((seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648);
}

describe("rows and lines", () => {
  it("agree with going through all lines", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const next = random(seed);
      const lines = 1 + Math.floor(next() * 60);
      const folds = new Folds();
      for (let line = 0; line < lines; line++) {
        const what = next();
        if (what < 0.15) folds.marked(line, "group", next() < 0.4);
        else if (what < 0.3) folds.marked(line, "end", false);
      }
      const shown = visible(folds, lines);
      expect(folds.rows(lines)).toBe(shown.length);
      shown.forEach((line, row) => {
        expect(folds.line(row)).toBe(line);
        expect(folds.row(line)).toBe(row);
      });
    }
  });

  it("are told when groups open and close", () => {
    const folds = new Folds();
    folds.marked(2, "group", false);
    folds.marked(5, "end", false);
    expect(folds.rows(10)).toBe(7);
    expect(folds.reveal(4)).toBe(true);
    expect(folds.rows(10)).toBe(10);
    folds.toggle(2);
    expect(folds.rows(10)).toBe(7);
    expect(folds.row(4)).toBe(2);
    folds.all(true);
    expect(folds.rows(10)).toBe(10);
  });

  it("lets marks pass that are known, as after a connection that broke", () => {
    const folds = new Folds();
    folds.marked(2, "group", false);
    folds.marked(2, "group", false);
    folds.marked(5, "end", false);
    folds.marked(5, "end", false);
    expect(folds.groups).toHaveLength(1);
  });

  it("hides nothing of a group that is still written", () => {
    const folds = new Folds();
    folds.marked(2, "group", false);
    expect(folds.rows(9)).toBe(9);
  });
});
