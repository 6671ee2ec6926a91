/** Where moments stand on a time line, and which of them are named. */

export interface Span {
  from: number;
  to: number;
}

export interface Tick {
  at: number;
  label: string;
}

const STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
  1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 86_400_000,
];

/** At most `most` ticks at round distances from `origin`. */
export function ticks(span: Span, origin: number, most: number): Tick[] {
  const length = Math.max(1, span.to - span.from);
  const step = STEPS_MS.find((each) => length / each <= most) ?? 86_400_000 * Math.ceil(length / 86_400_000 / most);
  const found: Tick[] = [];
  for (let at = Math.ceil((span.from - origin) / step) * step; at <= span.to - origin; at += step) {
    found.push({ at: origin + at, label: label(at, step) });
  }
  return found;
}

function label(ms: number, step: number): string {
  if (ms === 0) return "0";
  if (step < 1_000) return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(step < 10 ? 3 : step < 100 ? 2 : 1)} s`;
  const s = Math.round(ms / 1_000);
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return s % 60 ? `${m}:${String(s % 60).padStart(2, "0")} min` : `${m} min`;
  return m % 60 ? `${Math.floor(m / 60)} h ${m % 60} min` : `${Math.floor(m / 60)} h`;
}

/** Per cent from the left, and of width; bars that took no time are still seen (CSS gives them a least width). */
export function bar(span: Span, from: number, to: number): { left: number; width: number } | null {
  const length = Math.max(1, span.to - span.from);
  const left = Math.max(0, (from - span.from) / length);
  const right = Math.min(1, (to - span.from) / length);
  if (right < 0 || left > 1 || right < left) return null;
  return { left: left * 100, width: (right - left) * 100 };
}

/** The same moment stays under the pointer. */
export function zoom(span: Span, whole: Span, at: number, factor: number): Span {
  const least = 20;
  const length = Math.min(whole.to - whole.from, Math.max(least, (span.to - span.from) * factor));
  const share = (at - span.from) / Math.max(1, span.to - span.from);
  return within({ from: at - share * length, to: at - share * length + length }, whole);
}

export function within(span: Span, whole: Span): Span {
  const length = Math.min(span.to - span.from, whole.to - whole.from);
  const from = Math.max(whole.from, Math.min(span.from, whole.to - length));
  return { from, to: from + length };
}
