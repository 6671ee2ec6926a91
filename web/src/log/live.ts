/** The log of an attempt that is looked at: its pages, its groups, its live end. */
import { signal } from "@preact/signals";
import { ask } from "../api";
import { stream } from "../live/stream";
import type { LogLine, LogMatches, LogPage } from "../types";
import { Book, PAGE } from "./book";
import { Folds, mark } from "./folds";

/** Groups beyond these are not looked for: a log of so many is not read by its groups. */
const MOST_GROUPS = 20_000;
const MATCHES = 1_000;
/** So long the first drawing waits for the groups. */
const GROUPS_MS = 300;

interface Lines {
  run: string;
  job: number;
  attempt: number;
  lines: LogLine[];
}

export class LiveLog {
  readonly book: Book;
  readonly folds = new Folds();
  /** Grows with each change: who draws reads it first. */
  readonly version = signal(0);
  readonly error = signal<unknown>(null);
  readonly ready = signal(false);
  /** Called before groups become known that may fold lines above those in sight; what it returns, afterwards. */
  keep: () => () => void = () => () => {};
  #closed = new AbortController();
  #leave: (() => void) | null = null;
  #changed = false;
  /** Lines of the stream whose marks wait until the groups before them are known; null: nothing to wait for. */
  #waiting: { first: number; lines: LogLine[] }[] | null = [];

  constructor(
    readonly run: string,
    readonly job: number,
    readonly attempt: number,
  ) {
    this.book = new Book(
      (from, count, abort) => ask<LogPage>(`${this.path}/lines?from=${from}&count=${count}&attempt=${attempt}`, { signal: abort }),
      () => this.version.value++,
      (error) => (this.error.value = error),
    );
  }

  get path(): string {
    return `/runs/${encodeURIComponent(this.run)}/jobs/${this.job}/log`;
  }

  async open(): Promise<void> {
    try {
      this.book.take(await this.#page(0));
      this.error.value = null;
    } catch (error) {
      if (!this.#closed.signal.aborted) this.error.value = error;
      return;
    }
    try {
      // The end, too: it is where a live log is looked at, and followed from.
      if (!this.book.complete && this.book.total > 0 && this.book.last < 0) await this.#end();
    } catch (error) {
      if (!this.#closed.signal.aborted) this.error.value = error;
      return;
    }
    if (this.#closed.signal.aborted) return;
    if (!this.book.complete) this.#follow();
    const groups = this.#groups(this.book.total);
    // Mostly they are known at once, and nothing moves afterwards.
    await Promise.race([groups, new Promise((resolve) => setTimeout(resolve, GROUPS_MS))]);
    this.ready.value = true;
    this.version.value++;
    await groups;
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const { first, lines } of waiting) this.#marks(first, lines);
    this.version.value++;
  }

  /** Reads up to the last line: an answer is bounded in bytes, and may not reach it. */
  async #end(): Promise<void> {
    let told = await this.#page(-PAGE);
    this.book.take(told);
    while (told.lines.length && told.from + told.lines.length < told.lines_total) {
      told = await this.#page(told.from + told.lines.length);
      this.book.take(told);
    }
  }

  #page(from: number, count = PAGE): Promise<LogPage> {
    return ask<LogPage>(`${this.path}/lines?from=${from}&count=${count}&attempt=${this.attempt}`, { signal: this.#closed.signal });
  }

  #held(from: number, to: number): LogLine[] {
    const found: LogLine[] = [];
    for (let at = from; at < to; at++) {
      const line = this.book.line(at);
      if (line) found.push(line);
    }
    return found;
  }

  #marks(first: number, lines: LogLine[]): void {
    this.#mark(lines.map((line, index) => ({ line: first + index, text: line.text })));
  }

  #mark(lines: { line: number; text: string }[]): void {
    const found = lines.map(({ line, text }) => ({ line, mark: mark(text) })).filter((each) => each.mark);
    if (!found.length) return;
    const kept = this.keep();
    for (const { line, mark: told } of found) this.folds.marked(line, told!.kind, false);
    kept();
  }

  /** Groups are lines like others: the server finds them, however long the log is. */
  async #groups(before: number): Promise<void> {
    const held = before <= PAGE ? this.#held(0, before) : [];
    if (held.length === before) {
      this.#marks(0, held);
      return;
    }
    let from: number | null = 0;
    try {
      while (from !== null && from < before && this.folds.groups.length < MOST_GROUPS && !this.#closed.signal.aborted) {
        const told: LogMatches = await this.search("group::", from, MATCHES);
        this.#mark(told.matches.filter((match) => match.line < before));
        this.version.value++;
        from = told.next;
      }
    } catch {
      // Without them the log is all there, unfolded.
    }
  }

  #follow(): void {
    this.book.followed = true;
    const mine = (data: unknown): data is Lines => {
      const { run, job, attempt } = data as Lines;
      return run === this.run && job === this.job && attempt === this.attempt;
    };
    this.#leave = stream.subscribe({
      topic: () => `log:${this.run}/${this.job}/${this.attempt}@${Math.max(0, this.book.last)}`,
      heard: (kind, data) => {
        if (kind === "lines" && mine(data)) {
          const { first, lines } = this.book.append(data.lines);
          if (this.#waiting) this.#waiting.push({ first, lines });
          else this.#marks(first, lines);
          this.#changed = true;
        } else if (kind === "log-end" && mine(data)) {
          this.book.complete = true;
          this.#changed = true;
        }
      },
      drawn: () => {
        if (!this.#changed) return;
        this.#changed = false;
        this.version.value++;
        if (this.book.complete) this.#stop();
      },
      reset: () => void this.#end(),
    });
  }

  #stop(): void {
    this.#leave?.();
    this.#leave = null;
  }

  search(text: string, from: number, limit: number): Promise<LogMatches> {
    const asked = new URLSearchParams({ q: text, from: String(from), limit: String(limit), attempt: String(this.attempt) });
    return ask<LogMatches>(`${this.path}/search?${asked}`, { signal: this.#closed.signal });
  }

  /** The first line of a step or of one after it; the number of lines when there is none. Steps write one after another. */
  async firstLine(step: number): Promise<number> {
    let low = 0;
    let high = this.book.total;
    while (low < high) {
      const middle = (low + high) >> 1;
      const line = this.book.line(middle) ?? (await this.#page(middle, 1)).lines[0];
      if (line === undefined || line.step >= step) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  close(): void {
    this.#closed.abort();
    this.#stop();
    this.book.close();
  }
}
