/** The lines of a log that the page holds: pages of it, read when they come into sight, the oldest given up. */
import type { LogLine, LogPage } from "../types";

export const PAGE = 500;
/** Pages kept: ~20,000 lines, a few megabytes. */
const KEPT = 40;

export type Fetch = (from: number, count: number, signal: AbortSignal) => Promise<LogPage>;

export class Book {
  total = 0;
  size = 0;
  complete = false;
  /** The stream tells what is added, and when it is complete. */
  followed = false;
  /** Offset of the last line: who follows begins with it, as it may be unfinished. -1: not known. */
  last = -1;
  #pages = new Map<number, (LogLine | undefined)[]>();
  #asked = new Map<number, AbortController>();
  #failed = new Map<number, number>();

  constructor(
    private readonly fetch: Fetch,
    private readonly changed: () => void,
    private readonly failed: (error: unknown) => void = () => {},
    private readonly clock: () => number = () => Date.now(),
  ) {}

  line(number: number): LogLine | undefined {
    return this.#pages.get(Math.floor(number / PAGE))?.[number % PAGE];
  }

  /** Has these lines read, unless they are here; readings of pages that are no longer wanted are given up. */
  want(first: number, last: number): void {
    const from = Math.floor(Math.max(0, first) / PAGE);
    const to = Math.floor(Math.max(0, Math.min(last, this.total - 1)) / PAGE);
    for (const [page, abort] of this.#asked) {
      if (page < from - 1 || page > to + 1) {
        abort.abort();
        this.#asked.delete(page);
      }
    }
    for (let page = from; page <= to; page++) {
      if (this.#asked.has(page) || this.#whole(page) || (this.#failed.get(page) ?? 0) > this.clock()) continue;
      void this.#read(page);
    }
  }

  async #read(page: number): Promise<void> {
    const abort = new AbortController();
    this.#asked.set(page, abort);
    try {
      // An answer is bounded in bytes, too: of long lines it takes several.
      const end = page * PAGE + Math.min(PAGE, this.total - page * PAGE);
      for (let from = page * PAGE; from < end; ) {
        const told = await this.fetch(from, end - from, abort.signal);
        this.take(told);
        if (!told.lines.length) {
          this.#failed.set(page, this.clock() + 2_000);
          break;
        }
        from = told.from + told.lines.length;
      }
    } catch (error) {
      if (!abort.signal.aborted) {
        this.#failed.set(page, this.clock() + 2_000);
        this.failed(error);
      }
    } finally {
      if (this.#asked.get(page) === abort) this.#asked.delete(page);
      this.changed();
    }
  }

  /** What the server answered. */
  take(told: LogPage): void {
    told.lines.forEach((line, index) => this.#put(told.from + index, line));
    const last = told.lines[told.lines.length - 1];
    const ends = told.from + told.lines.length === told.lines_total;
    // Once it is followed, lines are counted as they come: a page that knows of more lines, but not where they begin, would have
    // them counted twice.
    if (told.lines_total >= this.total && (ends || !this.followed)) {
      this.total = told.lines_total;
      if (last && ends) this.last = Math.max(this.last, last.offset);
    }
    this.size = Math.max(this.size, told.size_bytes);
    if (!this.followed) this.complete ||= told.complete;
    this.#trim(Math.floor(told.from / PAGE));
  }

  /** Lines that the stream brought, from the last known one on. Returns the number of the first that is new, and the new ones. */
  append(lines: LogLine[]): { first: number; lines: LogLine[] } {
    const first = this.total;
    const fresh: LogLine[] = [];
    for (const line of lines) {
      if (line.offset < this.last) continue;
      if (line.offset === this.last) {
        // It may have been read while it was written.
        this.#put(this.total - 1, line);
        continue;
      }
      this.#put(this.total++, line);
      this.last = line.offset;
      this.size = Math.max(this.size, line.offset + line.text.length);
      fresh.push(line);
    }
    if (fresh.length) this.#trim(Math.floor((this.total - 1) / PAGE));
    return { first, lines: fresh };
  }

  #put(number: number, line: LogLine): void {
    const page = Math.floor(number / PAGE);
    let lines = this.#pages.get(page);
    if (!lines) this.#pages.set(page, (lines = []));
    lines[number % PAGE] = line;
  }

  #whole(page: number): boolean {
    const lines = this.#pages.get(page);
    if (!lines) return false;
    const length = Math.min(PAGE, this.total - page * PAGE);
    if (lines.length < length) return false;
    for (let at = 0; at < length; at++) if (lines[at] === undefined) return false;
    return true;
  }

  #trim(near: number): void {
    if (this.#pages.size <= KEPT) return;
    const far = [...this.#pages.keys()].sort((a, b) => Math.abs(b - near) - Math.abs(a - near));
    for (const page of far.slice(0, this.#pages.size - KEPT)) this.#pages.delete(page);
  }

  close(): void {
    for (const abort of this.#asked.values()) abort.abort();
    this.#asked.clear();
  }
}
