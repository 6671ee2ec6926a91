/** Rows of runs with changes laid on top. */
import type { RunRow, RunStatus } from "../types";

export interface Filter {
  live: boolean;
  status: RunStatus | null;
  /** "": any. */
  workflow: string;
}

/** Rows kept on the page; who wants to see older ones filters. */
export const MOST_ROWS = 1_000;

export function fits(row: RunRow, filter: Filter): boolean {
  return (
    (!filter.live || row.live) &&
    (!filter.status || row.status === filter.status) &&
    (!filter.workflow || row.workflow === filter.workflow)
  );
}

/** Newest first. Rows that did not change stay the same objects. */
export function merge(rows: readonly RunRow[], changed: readonly RunRow[], filter: Filter): RunRow[] {
  const news = new Map(changed.map((row) => [row.run, row]));
  const kept: RunRow[] = [];
  for (const row of rows) {
    const next = news.get(row.run);
    if (!next) {
      kept.push(row);
      continue;
    }
    news.delete(row.run);
    if (fits(next, filter)) kept.push(next);
  }
  const oldest = kept[kept.length - 1];
  const fresh = [...news.values()].filter((row) => fits(row, filter) && (!oldest || row.created_ms >= oldest.created_ms));
  if (!fresh.length) return kept;
  return [...fresh, ...kept]
    .sort((a, b) => b.created_ms - a.created_ms || (a.run < b.run ? 1 : -1))
    .slice(0, Math.max(MOST_ROWS, rows.length));
}

/** A run that nobody named is called by its workflow: all of them have the same few triggers. */
export function heading(title: string, workflow: string, trigger: string): string {
  return title && title !== trigger ? title : workflow;
}
