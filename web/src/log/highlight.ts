/** What was searched for, marked within pieces of any colours. */
import type { Piece } from "./ansi";

export interface Marked extends Piece {
  found?: boolean;
}

/** As the server finds: without regard to case when the words are all in lower case. */
export function occurrences(text: string, words: string): [number, number][] {
  if (!words) return [];
  const all = words === words.toLowerCase() ? text.toLowerCase() : text;
  // A few letters change their length with their case: then nothing is marked rather than the wrong part.
  if (all.length !== text.length) return [];
  const found: [number, number][] = [];
  for (let at = all.indexOf(words); at >= 0 && found.length < 200; at = all.indexOf(words, at + words.length)) {
    found.push([at, at + words.length]);
  }
  return found;
}

export function highlight(pieces: readonly Piece[], words: string): Marked[] {
  const spans = occurrences(pieces.map((piece) => piece.text).join(""), words);
  if (!spans.length) return [...pieces];
  const marked: Marked[] = [];
  let at = 0;
  let next = 0;
  for (const piece of pieces) {
    const end = at + piece.text.length;
    let from = at;
    while (from < end) {
      while (next < spans.length && (spans[next] as [number, number])[1] <= from) next++;
      const [start, stop] = spans[next] ?? [Infinity, Infinity];
      const inside = start <= from;
      const to = Math.min(end, inside ? stop : start);
      marked.push({ ...piece, text: piece.text.slice(from - at, to - at), ...(inside ? { found: true } : {}) });
      from = to;
    }
    at = end;
  }
  return marked;
}
