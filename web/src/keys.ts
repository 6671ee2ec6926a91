/** The keyboard: what each key does on this screen, and the table of them that `?` shows. */
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import { go, up } from "./router";
import { nextTheme } from "./theme";

export interface Key {
  /** As KeyboardEvent.key, or two for one after the other: "g r". */
  keys: string;
  does: string;
  run: () => void;
}

export const help = signal(false);
/** Keys of the screens and parts that are shown now, those that came last first. */
export const bound = signal<readonly (readonly Key[])[]>([]);

export const everywhere: readonly Key[] = [
  { keys: "?", does: "Show or hide these keys", run: () => (help.value = !help.value) },
  { keys: "/", does: "Search or filter", run: () => search() },
  { keys: "j", does: "Next row", run: () => step(1) },
  { keys: "k", does: "Row before", run: () => step(-1) },
  { keys: "u", does: "Up: from a job to its run, from a run to all", run: up },
  { keys: "g r", does: "Go to runs", run: () => go("/runs") },
  { keys: "g w", does: "Go to workers", run: () => go("/workers") },
  { keys: "g q", does: "Go to the queue", run: () => go("/queue") },
  { keys: "g a", does: "Go to actors", run: () => go("/actors") },
  { keys: "d", does: "Dark, light, or as the system", run: nextTheme },
];

function search(): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  field?.focus();
  field?.select();
}

/** Rows are links or buttons: moving is moving the focus, and Enter does what it always does. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: "nearest" });
}

/** Keys for as long as a part is shown; the handlers are always those of the last drawing. */
export function useKeys(keys: readonly Key[]): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const mine = keys.map((key, index) => ({ ...key, run: () => latest.current[index]?.run() }));
    bound.value = [mine, ...bound.peek()];
    return () => {
      bound.value = bound.peek().filter((each) => each !== mine);
    };
  }, []);
}

let first = "";
let firstAt = 0;

export function pressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  if (event.key === "Escape") {
    if (help.value) help.value = false;
    else if (target.matches("input, textarea, select")) target.blur();
    return;
  }
  if (target.closest("input, textarea, select, dialog")) return;
  const two = first && event.timeStamp - firstAt < 1_200 ? `${first} ${event.key}` : "";
  const all = [...bound.value.flat(), ...everywhere];
  const found = (two && all.find((key) => key.keys === two)) || all.find((key) => key.keys === event.key);
  first = "";
  if (found) {
    event.preventDefault();
    found.run();
  } else if (all.some((key) => key.keys.startsWith(`${event.key} `))) {
    first = event.key;
    firstAt = event.timeStamp;
  }
}
