import { describe, expect, it } from "vitest";
import { MOST_PX, Scroller } from "../src/log/scroller";

const ROW = 20;
const VIEW = 600;

function scroller(rows: number): Scroller {
  const made = new Scroller(ROW, VIEW);
  made.resize(rows, VIEW);
  return made;
}

/** As a browser has it: an element that can be scrolled from 0 to its height less the view. */
class Element {
  top = 0;
  at = 0;
  constructor(readonly scroller: Scroller) {}
  scroll(to: number): number {
    this.top = Math.max(0, Math.min(this.scroller.height - VIEW, to));
    const { at, scrollTo } = this.scroller.scrolled(this.top);
    if (scrollTo !== undefined) this.top = scrollTo;
    return (this.at = at);
  }
}

describe("a list that fits", () => {
  it("is scrolled as it is", () => {
    const list = scroller(1_000);
    expect(list.height).toBe(20_000);
    expect(list.scrolled(1_234).at).toBe(1_234);
    expect(list.drawn(7)).toBe(140);
    expect(list.to(500)).toBe(500);
  });
});

describe("ten million rows", () => {
  it("are bounded in height", () => {
    expect(scroller(10_000_000).height).toBe(MOST_PX);
  });

  it("are moved exactly by small movements, wherever one is", () => {
    for (const start of [0, 1_000_000, 100_000_000, 199_000_000]) {
      const list = scroller(10_000_000);
      const element = new Element(list);
      element.top = list.to(start);
      let at = start;
      for (let turn = 0; turn < 50; turn++) {
        const to = element.scroll(element.top + 60);
        expect(to).toBe(Math.min(at + 60, 200_000_000 - VIEW));
        at = to;
      }
    }
  });

  it("reach both ends by wheel alone from near them", () => {
    const list = scroller(10_000_000);
    const element = new Element(list);
    element.top = list.to(200_000_000 - VIEW - 5_000);
    for (let turn = 0; turn < 200; turn++) element.scroll(element.top + 100);
    expect(element.at).toBe(200_000_000 - VIEW);
    element.top = list.to(5_000);
    for (let turn = 0; turn < 200; turn++) element.scroll(element.top - 100);
    expect(element.at).toBe(0);
  });

  it("are reached by the bar in proportion", () => {
    const list = scroller(10_000_000);
    const element = new Element(list);
    const half = (list.height - VIEW) / 2;
    expect(Math.abs(element.scroll(half) - 100_000_000)).toBeLessThan(1_000);
    expect(element.scroll(list.height)).toBe(200_000_000 - VIEW);
    expect(element.scroll(0)).toBe(0);
  });

  it("draw a row where it is seen", () => {
    const list = scroller(10_000_000);
    const row = 7_654_321;
    const top = list.to(row * ROW);
    expect(list.drawn(row) - top).toBe(0);
    expect(list.drawn(row + 3) - top).toBe(60);
  });
});
