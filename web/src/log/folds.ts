/**
 * Groups of a log (`::group::` to `::endgroup::`) folded away: which line stands in which row.
 *
 * Groups may be many (tens of thousands), lines more; asking costs a binary search.
 */

export interface Group {
  /** Line of `::group::`. */
  line: number;
  /** Line of `::endgroup::`, or the one before the next group or the end; null while it is written. */
  end: number | null;
  open: boolean;
}

const MARK = /^(?:\x1b\[[0-9;]*m)*(?:::|##\[)(end)?group(?:\]|::| [^:]*::)(.*)$/;

/** "group", its title; "end"; or null for any other line. */
export function mark(text: string): { kind: "group"; title: string } | { kind: "end" } | null {
  if (!text.includes("group")) return null;
  const found = MARK.exec(text);
  if (!found) return null;
  return found[1] ? { kind: "end" } : { kind: "group", title: found[2] ?? "" };
}

export class Folds {
  groups: Group[] = [];
  /** Hidden lines before each group, in order; made anew after changes. */
  #before: number[] | null = null;

  /** A line that is a mark, in order of lines; those known already are let pass. */
  marked(line: number, kind: "group" | "end", open: boolean): void {
    const last = this.groups[this.groups.length - 1];
    if (kind === "group") {
      if (last && line <= last.line) return;
      // Groups do not nest: the next one ends the one before.
      if (last && last.end === null) last.end = line - 1;
      this.groups.push({ line, end: null, open });
    } else if (last && last.end === null && line > last.line) {
      last.end = line;
    } else {
      return;
    }
    this.#before = null;
  }

  toggle(line: number): void {
    const group = this.groups[this.#at(line)];
    if (!group || group.line !== line) return;
    group.open = !group.open;
    this.#before = null;
  }

  all(open: boolean): void {
    for (const group of this.groups) group.open = open;
    this.#before = null;
  }

  /** Opens the group in which a line is hidden. Returns whether that changed anything. */
  reveal(line: number): boolean {
    const group = this.groups[this.#at(line)];
    if (!group || group.open || line <= group.line || (group.end !== null && line > group.end)) return false;
    group.open = true;
    this.#before = null;
    return true;
  }

  at(line: number): Group | undefined {
    const group = this.groups[this.#at(line)];
    return group?.line === line ? group : undefined;
  }

  /** Whether a line belongs to a group (its title does not). */
  inside(line: number): boolean {
    const group = this.groups[this.#at(line)];
    return group !== undefined && line > group.line && (group.end === null || line <= group.end);
  }

  /** Rows for this many lines. */
  rows(lines: number): number {
    return lines - this.#hiddenBefore(lines);
  }

  /** The line in a row. */
  line(row: number): number {
    const before = this.#sums();
    // The last group whose title stands in this row or above.
    let low = 0;
    let high = this.groups.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.groups[middle] as Group).line - (before[middle] as number) <= row) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return row;
    const group = this.groups[low - 1] as Group;
    const title = group.line - (before[low - 1] as number);
    const hidden = (before[low - 1] as number) + (row > title ? hiddenIn(group) : 0);
    return row + hidden;
  }

  /** The row of a line; that of its group's title when it is hidden. */
  row(line: number): number {
    const at = this.#at(line);
    const group = this.groups[at];
    if (!group) return line;
    const before = this.#sums()[at] as number;
    return line - before - Math.min(line - group.line, hiddenIn(group));
  }

  #hiddenBefore(line: number): number {
    const at = this.#at(line - 1);
    const group = this.groups[at];
    if (!group) return 0;
    const before = this.#sums()[at] as number;
    return before + Math.min(line - 1 - group.line, hiddenIn(group));
  }

  /** Index of the last group that begins at or before a line; -1. */
  #at(line: number): number {
    let low = 0;
    let high = this.groups.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.groups[middle] as Group).line <= line) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #sums(): number[] {
    if (this.#before) return this.#before;
    const sums: number[] = [];
    let hidden = 0;
    for (const group of this.groups) {
      sums.push(hidden);
      hidden += hiddenIn(group);
    }
    return (this.#before = sums);
  }
}

/** A group that is still written hides nothing: its lines are what one waits for. */
function hiddenIn(group: Group): number {
  return group.open || group.end === null ? 0 : group.end - group.line;
}
