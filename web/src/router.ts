/** The address is the state that a link carries: path, query, and the hash for lines of a log. */
import { computed, signal } from "@preact/signals";
import { above, match } from "./places";

export interface Where {
  path: string;
  query: URLSearchParams;
  hash: string;
}

const here = (): Where => ({
  path: location.pathname,
  query: new URLSearchParams(location.search),
  hash: location.hash.slice(1),
});

export const where = signal<Where>(here());

const path = computed(() => where.value.path);
export const route = computed(() => match(path.value));

export function go(to: string, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  const before = where.peek().path;
  where.value = here();
  if (before !== where.peek().path) {
    scrollTo(0, 0);
    // Who hears the page instead of seeing it, and who goes on by Tab, begins at the new screen.
    requestAnimationFrame(() => document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true }));
  }
}

/** From a job to its run, from a run to all. By the address, which is right at once; the screen follows it. */
export function up(): void {
  const to = above(match(where.peek().path));
  if (to) go(to);
}

/** The same place with some of its query changed; null removes. */
export function query(changes: Record<string, string | null>): void {
  const { path: at, query: old, hash } = where.peek();
  const next = new URLSearchParams(old);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  go(at + (text ? `?${text}` : "") + (hash ? `#${hash}` : ""), { replace: true });
}

/** Links within the page need no new page. */
export function catchLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest("a");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (match(link.pathname).screen === "nowhere") return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
}

export function start(): void {
  addEventListener("popstate", () => (where.value = here()));
  addEventListener("hashchange", () => (where.value = here()));
  document.addEventListener("click", catchLinks);
}
