/**
 * The one stream of a tab.
 *
 * Parts of the page subscribe to topics; all of them share one connection. A topic is told with the position that its owner has
 * reached, so that a connection that broke, and one that is made anew because the topics changed, both go on without a gap:
 * the owner alone knows what it has, and the server needs no memory of us.
 */
import { signal } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { asProblem, BASE, session } from "../api";
import { Batches } from "./frames";

export interface Subscription {
  /** The topic with the position to go on from, e.g. `run:01m8@118`. */
  topic(): string;
  /** An event of the stream, as JSON. Those of others come by, too: look whose it is. */
  heard(kind: string, data: unknown): void;
  /** The connection stands: what has no position is to be read now. */
  opened?(): void;
  /** We were too slow, or the position is gone: read the resource again. */
  reset?(): void;
  /** After a batch of events. */
  drawn?(): void;
}

/** `idle`: nothing on this screen changes any more. */
export type Link = "idle" | "connecting" | "open" | "lost";

/** Shown when it is not open. */
export const link = signal<Link>("idle");
/** When the connection was lost, Unix milliseconds; 0 while it stands. */
export const lostSince = signal(0);

/** The server sends a comment every 15 s: silence for longer than this means that nobody is there. */
const SILENCE_MS = 40_000;
const RETRY_MS = [250, 500, 1_000, 2_000, 5_000];

export function retryDelay(tries: number): number {
  return RETRY_MS[Math.min(tries, RETRY_MS.length - 1)] as number;
}

/** Reads server-sent events from a body; calls `heard` for each, `alive` for every chunk. */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  heard: (kind: string, data: string) => void,
  alive: () => void = () => {},
): Promise<void> {
  const decoder = new TextDecoder();
  const parser = createParser({ onEvent: (event) => heard(event.event ?? "message", event.data) });
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    parser.feed(decoder.decode(value, { stream: true }));
  }
}

class Stream {
  #subscriptions = new Set<Subscription>();
  #abort: AbortController | null = null;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #planned = false;
  #batches = new Batches<{ kind: string; data: string }>(
    ({ kind, data }) => {
      const told: unknown = JSON.parse(data);
      for (const each of this.#subscriptions) {
        if (kind !== "reset") each.heard(kind, told);
        else if (each.topic().split("@")[0] === (told as { topic: string }).topic.split("@")[0]) each.reset?.();
      }
    },
    () => {
      for (const each of this.#subscriptions) each.drawn?.();
    },
  );

  subscribe(subscription: Subscription): () => void {
    this.#subscriptions.add(subscription);
    this.#plan();
    return () => {
      this.#subscriptions.delete(subscription);
      this.#plan();
    };
  }

  /** Topics changed: one new connection for all the changes of this turn. */
  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setTimeout(() => {
      this.#planned = false;
      this.#tries = 0;
      this.#connect();
    }, 0);
  }

  /** Try at once: somebody came back to the tab, or the network did. */
  wake(): void {
    if (link.value === "lost") this.#connect();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
    if (this.#subscriptions.size === 0 || session.peek() !== "open") {
      link.value = "idle";
      lostSince.value = 0;
      return;
    }
    if (link.peek() === "idle") link.value = "connecting";
    const abort = new AbortController();
    this.#abort = abort;
    void this.#follow(abort).catch((error: unknown) => {
      if (!abort.signal.aborted) this.#lost(error);
    });
  }

  async #follow(abort: AbortController): Promise<void> {
    // What waits to be drawn is not in the positions yet.
    while (this.#batches.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    if (abort.signal.aborted) return;
    const topics = [...this.#subscriptions].map((each) => `topic=${encodeURIComponent(each.topic())}`);
    const response = await fetch(`${BASE}/stream?${topics.join("&")}`, {
      headers: { Accept: "text/event-stream" },
      credentials: "same-origin",
      cache: "no-store",
      signal: abort.signal,
    });
    if (response.status === 401) {
      session.value = "closed";
      return;
    }
    if (!response.ok || !response.body) throw await asProblem(response);
    this.#tries = 0;
    link.value = "open";
    lostSince.value = 0;
    for (const each of this.#subscriptions) each.opened?.();
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => {
        abort.abort();
        this.#lost(new Error("silence"));
      }, SILENCE_MS);
    };
    alive();
    try {
      await readEvents(
        response.body,
        (kind, data) => {
          if (!abort.signal.aborted) this.#batches.add({ kind, data });
        },
        alive,
      );
    } finally {
      clearTimeout(quiet);
    }
    if (!abort.signal.aborted) this.#lost(new Error("ended"));
  }

  #lost(_error: unknown): void {
    link.value = "lost";
    if (!lostSince.value) lostSince.value = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), retryDelay(this.#tries++));
  }
}

export const stream = new Stream();

session.subscribe((state) => {
  if (state === "open") stream.wake();
});
if (typeof window !== "undefined") {
  addEventListener("online", () => stream.wake());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) stream.wake();
  });
}
