/** Colours of a line: Anser reads the escape sequences, what is found becomes classes (the page allows no inline styles). */
import Anser from "anser";

export interface Piece {
  text: string;
  /** Class names, "" for plain text. */
  looks: string;
  /** A colour of the 256 or of all: no class can name it. */
  colour?: string;
  background?: string;
}

/** Sequences other than colours: moves of the cursor, titles, links. They have no meaning in a log. */
const OTHER = /\x1b\](?:[^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[()][A-Z0-9]|\x1b[=>78]/g;

/** What a terminal would show of a line with carriage returns: what was written last. */
function lastWritten(text: string): string {
  const trimmed = text.endsWith("\r") ? text.slice(0, -1) : text;
  const at = trimmed.lastIndexOf("\r");
  return at < 0 ? trimmed : trimmed.slice(at + 1);
}

const COLOURS = /\x1b\[([0-9;:]*)m/g;
/** What carries over is bounded: programs that never reset write but a few in a row. */
const MOST = 256;

/** The sequences that are still in force behind a text, given those before it: a terminal does not end colours with a line. */
export function carried(before: string, text: string): string {
  if (!text.includes("\x1b[")) return before;
  let state = before;
  for (const [sequence, parameters] of text.matchAll(COLOURS)) {
    if (/^0*(;|$)/.test(parameters as string)) state = /[1-9]/.test(parameters as string) ? sequence : "";
    else state += sequence;
  }
  return state.length <= MOST ? state : state.slice(state.indexOf("\x1b", state.length - MOST));
}

export function plain(text: string): string {
  return lastWritten(text.replace(OTHER, "")).replace(/\x1b\[[0-9;:]*m/g, "");
}

export function pieces(raw: string): Piece[] {
  const text = lastWritten(raw.includes("\x1b") ? raw.replace(OTHER, "") : raw);
  if (!text.includes("\x1b")) return text ? [{ text, looks: "" }] : [];
  const found: Piece[] = [];
  for (const part of Anser.ansiToJson(text, { use_classes: true, json: true, remove_empty: true })) {
    const looks: string[] = [];
    const piece: Piece = { text: part.content, looks: "" };
    if (part.fg) {
      if (part.fg === "ansi-truecolor") piece.colour = `rgb(${part.fg_truecolor})`;
      else if (part.fg.startsWith("ansi-palette-")) piece.colour = palette(Number(part.fg.slice(13)));
      else looks.push(part.fg.replace("ansi-", "fg-"));
    }
    if (part.bg) {
      if (part.bg === "ansi-truecolor") piece.background = `rgb(${part.bg_truecolor})`;
      else if (part.bg.startsWith("ansi-palette-")) piece.background = palette(Number(part.bg.slice(13)));
      else looks.push(part.bg.replace("ansi-", "bg-"));
    }
    for (const decoration of part.decorations ?? []) looks.push(`is-${decoration}`);
    piece.looks = looks.join(" ");
    found.push(piece);
  }
  return found;
}

function palette(index: number): string {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey},${grey},${grey})`;
  }
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  const cube = Math.max(0, index - 16);
  return `rgb(${level(Math.floor(cube / 36))},${level(Math.floor(cube / 6) % 6)},${level(cube % 6)})`;
}
