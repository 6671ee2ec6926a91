import { describe, expect, it } from "vitest";
import { boxes, layout, ROWS, worst } from "../src/run/graph";
import type { Node } from "../src/run/model";
import { place } from "../src/run/place";

function nodes(needs: Record<string, string[]>): Map<string, Node> {
  return new Map(Object.entries(needs).map(([id, all], number) => [id, { id, needs: all, jobs: [number], counts: { pending: 1 } }]));
}

describe("the graph", () => {
  it("puts together what needs the same and is needed by the same", () => {
    const found = boxes(nodes({ lint: [], unit: ["build"], build: [], e2e: ["build"], ship: ["unit", "e2e"] }));
    expect(found.boxes.map((box) => box.nodes.map((node) => node.id))).toEqual([["lint"], ["unit", "e2e"], ["build"], ["ship"]]);
    expect(found.edges).toHaveLength(2);
  });

  it("draws needs to the left of what needs them, without overlaps", () => {
    const drawn = layout(
      nodes({ a: [], b: ["a"], c: ["a"], d: ["b"], e: ["b", "c"], f: [], g: ["f", "d"] }),
      new Set(),
      place,
    );
    for (const edge of drawn.edges) {
      const from = drawn.boxes.find((box) => box.key === edge.from);
      const to = drawn.boxes.find((box) => box.key === edge.to);
      expect((from?.x ?? 0) + (from?.width ?? 0)).toBeLessThanOrEqual(to?.x ?? 0);
    }
    for (const one of drawn.boxes) {
      for (const other of drawn.boxes) {
        if (one === other) continue;
        const apart =
          one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y;
        expect(apart).toBe(true);
      }
    }
  });

  it("stays small with 10,000 jobs that need nothing", () => {
    const many: Record<string, string[]> = {};
    for (let number = 0; number < 10_000; number++) many[`job ${number}`] = [];
    const drawn = layout(nodes(many), new Set(), null);
    expect(drawn.boxes).toHaveLength(1);
    expect(drawn.boxes[0]?.rows).toHaveLength(ROWS - 1);
    expect(drawn.height).toBeLessThan(500);
  });

  it("survives 1,000 boxes in a chain", () => {
    const chain: Record<string, string[]> = {};
    for (let number = 0; number < 1_000; number++) chain[`job ${number}`] = number ? [`job ${number - 1}`] : [];
    const drawn = layout(nodes(chain), new Set(), place);
    expect(drawn.boxes).toHaveLength(1_000);
    expect(new Set(drawn.boxes.map((box) => box.x)).size).toBe(1_000);
  });

  it("tells the worst first", () => {
    expect(worst({ succeeded: 9_999, failed: 1 })).toBe("failed");
    expect(worst({ succeeded: 1, running: 1 })).toBe("running");
    expect(worst({ succeeded: 3, skipped: 1 })).toBe("succeeded");
  });
});
