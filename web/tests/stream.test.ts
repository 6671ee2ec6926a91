import { describe, expect, it } from "vitest";
import { Batches } from "../src/live/frames";
import { readEvents, retryDelay } from "../src/live/stream";

function body(text: string, size: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
}

describe("server-sent events", () => {
  it("are the same however the bytes are cut", async () => {
    const text = ': hello\n\nretry: 1000\n\nid: 1.1\nevent: row\ndata: {"title":"añb🚦"}\n\n:\n\nid: 2.1\nevent: lines\ndata: {"a":1}\n\nevent: broken\ndata: {"half":';
    for (const size of [1, 2, 3, 7, 64, 10_000]) {
      const heard: [string, string][] = [];
      await readEvents(body(text, size), (kind, data) => heard.push([kind, data]));
      // What was cut off by the loss of the connection is no event.
      expect(heard).toEqual([
        ["row", '{"title":"añb🚦"}'],
        ["lines", '{"a":1}'],
      ]);
    }
  });

  it("are asked for again soon, then more seldom", () => {
    const delays = Array.from({ length: 8 }, (_, tries) => retryDelay(tries));
    expect(delays[0]).toBeLessThanOrEqual(500);
    expect(delays).toEqual([...delays].sort((a, b) => a - b));
    expect(delays[7]).toBe(delays[6]);
  });
});

describe("batches", () => {
  it("keep order, draw once a frame, and leave the rest for the next when time is up", () => {
    const frames: (() => void)[] = [];
    let time = 0;
    const done: number[] = [];
    const seen: number[] = [];
    const batches = new Batches<number>(
      (item) => {
        seen.push(item);
        time += 1;
      },
      () => done.push(seen.length),
      (run) => frames.push(run),
      () => time,
    );
    for (let item = 0; item < 100; item++) batches.add(item);
    expect(frames).toHaveLength(1);
    while (frames.length) frames.shift()?.();
    expect(seen).toEqual(Array.from({ length: 100 }, (_, item) => item));
    expect(done.length).toBeGreaterThan(3);
    expect(Math.max(...done.map((count, index) => count - (done[index - 1] ?? 0)))).toBeLessThanOrEqual(16);
    batches.add(100);
    expect(frames).toHaveLength(1);
  });
});
