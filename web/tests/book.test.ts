import { describe, expect, it } from "vitest";
import { Book, PAGE } from "../src/log/book";
import type { LogLine, LogPage } from "../src/types";

const line = (number: number): LogLine => ({ offset: number * 10, step: 0, at_ms: 0, text: `line ${number}` });
const lines = (from: number, count: number): LogLine[] => Array.from({ length: count }, (_, index) => line(from + index));

function server(total: () => number, complete = false) {
  const asked: number[] = [];
  const fetch = (from: number, count: number): Promise<LogPage> => {
    asked.push(from);
    const told = lines(from, Math.max(0, Math.min(count, total() - from)));
    return Promise.resolve({ from, lines: told, lines_total: total(), size_bytes: total() * 10, complete });
  };
  return { asked, fetch };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("a book of lines", () => {
  it("reads what comes into sight, once", async () => {
    const { asked, fetch } = server(() => 10_000_000, true);
    const book = new Book(fetch, () => {});
    book.take(await fetch(0, PAGE));
    book.want(5_000_010, 5_000_060);
    book.want(5_000_020, 5_000_070);
    await settled();
    expect(asked).toEqual([0, 5_000_000]);
    expect(book.line(5_000_033)?.text).toBe("line 5000033");
    book.want(5_000_020, 5_000_070);
    expect(asked).toHaveLength(2);
  });

  it("reads the rest of a page when an answer was cut short", async () => {
    const asked: [number, number][] = [];
    const fetch = (from: number, count: number): Promise<LogPage> => {
      asked.push([from, count]);
      return Promise.resolve({ from, lines: lines(from, Math.min(200, count)), lines_total: 2_000, size_bytes: 20_000, complete: true });
    };
    const book = new Book(fetch, () => book.want(500, 999));
    book.take({ from: 0, lines: [], lines_total: 2_000, size_bytes: 20_000, complete: true });
    book.want(500, 999);
    await settled();
    expect(asked).toEqual([[500, 500], [700, 300], [900, 100]]);
    expect(book.line(999)?.text).toBe("line 999");
  });

  it("does not ask again and again for what is not there", async () => {
    let asked = 0;
    const fetch = (from: number): Promise<LogPage> => {
      asked++;
      return Promise.resolve({ from, lines: [], lines_total: 2_000, size_bytes: 20_000, complete: true });
    };
    const book = new Book(fetch, () => book.want(500, 999), undefined, () => 0);
    book.take(await fetch(0));
    book.want(500, 999);
    await settled();
    expect(asked).toBe(2);
  });

  it("gives up what is far away", async () => {
    const { fetch } = server(() => 10_000_000, true);
    const book = new Book(fetch, () => {});
    book.take(await fetch(0, PAGE));
    for (let page = 1; page < 200; page++) book.take(await fetch(page * PAGE, PAGE));
    expect(book.line(0)).toBeUndefined();
    expect(book.line(199 * PAGE + 1)).toBeDefined();
  });

  it("counts each line once, whatever is told twice", async () => {
    let total = 3;
    const { fetch } = server(() => total);
    const book = new Book(fetch, () => {});
    book.take(await fetch(0, PAGE));
    book.followed = true;
    expect(book.last).toBe(20);
    // The stream begins with the line that is last known.
    expect(book.append(lines(2, 3))).toEqual({ first: 3, lines: lines(3, 2) });
    expect(book.append(lines(4, 2)).lines).toEqual(lines(5, 1));
    expect(book.total).toBe(6);
    // A page that was read meanwhile knows of more than the stream has told.
    total = 8;
    book.take(await fetch(0, PAGE));
    expect(book.append(lines(6, 4)).lines).toEqual(lines(8, 2));
    expect(book.total).toBe(10);
    for (let number = 0; number < 10; number++) expect(book.line(number)).toEqual(line(number));
  });

  it("takes the end of a line that was read while it was written", async () => {
    const book = new Book(server(() => 0).fetch, () => {});
    book.take({ from: 0, lines: [{ ...line(0), text: "half" }], lines_total: 1, size_bytes: 4, complete: false });
    book.followed = true;
    book.append([{ ...line(0), text: "half and half" }, line(1)]);
    expect(book.line(0)?.text).toBe("half and half");
    expect(book.total).toBe(2);
  });
});
