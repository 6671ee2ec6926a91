/** All runs, newest first, live. */
import { Component } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { ask } from "../api";
import { count } from "../format";
import { stream } from "../live/stream";
import { Icon, word } from "../parts/status";
import { Ago, Duration, Empty, Loading, Meter, Trouble, useTitle } from "../parts/ui";
import { query, where } from "../router";
import { type Filter, heading, merge } from "../run/rows";
import type { RunRow, RunStatus } from "../types";

const PAGE = 50;

const FILTERS: { value: string; word: string; filter: Pick<Filter, "live" | "status"> }[] = [
  { value: "", word: "All", filter: { live: false, status: null } },
  { value: "live", word: "Live", filter: { live: true, status: null } },
  ...(["failed", "succeeded", "cancelled", "held"] as RunStatus[]).map((status) => ({
    value: status as string,
    word: word(status),
    filter: { live: false, status },
  })),
];

class Runs {
  readonly rows = signal<RunRow[] | null>(null);
  readonly error = signal<unknown>(null);
  readonly more = signal<string | null>(null);
  readonly loading = signal(false);
  #changed = new Map<string, RunRow>();
  #closed = false;
  #leave: (() => void) | null = null;
  #asked = 0;

  constructor(readonly filter: Filter) {}

  open(): void {
    this.#closed = false;
    this.#leave = stream.subscribe({
      topic: () => "runs",
      heard: (kind, data) => {
        if (kind === "row") this.#changed.set((data as RunRow).run, data as RunRow);
      },
      drawn: () => this.#merge(),
      // What changed while nobody listened is not told again: read once the connection stands.
      opened: () => void this.read(),
      reset: () => void this.read(),
    });
    void this.read();
  }

  close(): void {
    this.#closed = true;
    this.#leave?.();
  }

  #path(cursor: string | null): string {
    const asked = new URLSearchParams({ limit: String(PAGE) });
    if (this.filter.live) asked.set("live", "true");
    if (this.filter.status) asked.set("status", this.filter.status);
    if (this.filter.workflow) asked.set("workflow", this.filter.workflow);
    if (cursor) asked.set("cursor", cursor);
    return `/runs?${asked}`;
  }

  async read(): Promise<void> {
    const mine = ++this.#asked;
    try {
      const told = await ask<{ items: RunRow[]; next: string | null }>(this.#path(null));
      if (this.#closed || mine !== this.#asked) return;
      const known = this.rows.peek();
      if (known && known.length > told.items.length && told.next) {
        // Older pages were opened: they stay.
        this.rows.value = merge(known, told.items, this.filter);
      } else {
        this.rows.value = told.items;
        this.more.value = told.next;
      }
      this.error.value = null;
      this.#merge();
    } catch (error) {
      if (!this.#closed && mine === this.#asked) this.error.value = error;
    }
  }

  async older(): Promise<void> {
    const cursor = this.more.peek();
    if (!cursor || this.loading.peek()) return;
    this.loading.value = true;
    try {
      const told = await ask<{ items: RunRow[]; next: string | null }>(this.#path(cursor));
      const known = new Set(this.rows.peek()?.map((row) => row.run));
      this.rows.value = [...(this.rows.peek() ?? []), ...told.items.filter((row) => !known.has(row.run))];
      this.more.value = told.next;
    } catch (error) {
      this.error.value = error;
    } finally {
      this.loading.value = false;
    }
  }

  #merge(): void {
    const rows = this.rows.peek();
    if (!rows || !this.#changed.size) return;
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    this.rows.value = merge(rows, changed, this.filter);
  }
}

/** Drawn anew only when its row changed: the list may be long and the stream busy. */
class Row extends Component<{ row: RunRow }> {
  override shouldComponentUpdate(next: { row: RunRow }): boolean {
    return next.row !== this.props.row;
  }

  render({ row }: { row: RunRow }) {
    const named = heading(row.title, row.workflow, row.event);
    return (
      <li>
        <a class="run-row" data-row data-run={row.run} href={`/runs/${row.run}`}>
          <span class="run-status">
            <Icon status={row.status} />
            <span class={`status-word ${row.live ? "" : "muted"}`}>{word(row.status)}</span>
          </span>
          <span class="run-title">
            <b>{named}</b>
            <span class="muted">
              {named !== row.workflow && `${row.workflow} · `}
              <span class="mono">{row.run}</span>
              {row.run_attempt > 1 && ` · attempt ${row.run_attempt}`}
            </span>
          </span>
          <span class="run-trigger">
            <span class="label">{row.event}</span>
          </span>
          <span class="run-jobs muted num">
            {row.live && <Meter value={row.jobs_ended} most={Math.max(1, row.jobs)} label="Jobs that have ended" />}
            <span>
              <span class="phone" aria-hidden="true">
                {word(row.status)} ·{" "}
              </span>
              {row.live ? `${row.jobs_ended} of ${count(row.jobs, "job")}` : count(row.jobs, "job")}
            </span>
          </span>
          <span class="run-when muted">
            <Ago at={row.created_ms} />
          </span>
          <span class="run-took">
            <Duration from={row.created_ms} to={row.live ? null : row.ended_ms} />
          </span>
        </a>
      </li>
    );
  }
}

export function RunsScreen() {
  const asked = where.value.query;
  const choice = FILTERS.find((each) => each.value === (asked.get("show") ?? "")) ?? FILTERS[0]!;
  const workflow = asked.get("workflow") ?? "";
  const [text, setText] = useState(workflow);
  const typed = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const runs = useMemo(() => new Runs({ ...choice.filter, workflow }), [choice, workflow]);
  useEffect(() => {
    runs.open();
    return () => runs.close();
  }, [runs]);
  useTitle("Runs");
  const rows = runs.rows.value;
  return (
    <>
      <div class="head">
        <h1>Runs</h1>
        <div class="tools">
          <input
            type="search"
            data-search
            class="field"
            placeholder="Workflow"
            aria-label="Only runs of this workflow"
            value={text}
            onInput={(event) => {
              const value = event.currentTarget.value;
              setText(value);
              clearTimeout(typed.current);
              typed.current = setTimeout(() => query({ workflow: value.trim() }), 250);
            }}
          />
          <div class="segments" role="group" aria-label="Which runs">
            {FILTERS.map((each) => (
              <button
                type="button"
                key={each.value}
                aria-pressed={each === choice}
                onClick={() => query({ show: each.value })}
              >
                {each.word}
              </button>
            ))}
          </div>
        </div>
      </div>
      {runs.error.value !== null && <Trouble error={runs.error.value} again={() => void runs.read()} />}
      {rows === null ? (
        runs.error.value === null && <Loading />
      ) : rows.length === 0 ? (
        <Empty title={workflow || choice.value ? "No such runs" : "No runs yet"}>
          {workflow || choice.value ? (
            <button type="button" class="button" onClick={() => (setText(""), query({ show: null, workflow: null }))}>
              Show all runs
            </button>
          ) : (
            <>
              Start one at a terminal: <code>relevo run workflow.yml</code>
            </>
          )}
        </Empty>
      ) : (
        <ul class="run-list">
          {rows.map((row) => (
            <Row key={row.run} row={row} />
          ))}
        </ul>
      )}
      {rows && runs.more.value && (
        <p class="more-rows">
          <button type="button" class="button" data-row disabled={runs.loading.value} onClick={() => void runs.older()}>
            Older runs
          </button>
        </p>
      )}
    </>
  );
}
