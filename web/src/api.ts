/** Asks of the server, with errors as it words them. */
import { signal } from "@preact/signals";

export const BASE = "/api/v1";

/** Who we are to the server: asked once at the start, and again whenever it says 401. */
export const session = signal<"unknown" | "open" | "closed">("unknown");

export class Problem extends Error {
  constructor(
    readonly status: number,
    title: string,
    readonly hint: string = "",
    /** Names of secrets that are to be given again. */
    readonly secrets: readonly string[] = [],
  ) {
    super(title);
  }
}

export async function ask<T>(path: string, options: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(BASE + path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached.", "Is relevo up running?");
  }
  if (response.ok) return response.status === 204 ? (undefined as T) : await body<T>(response);
  const problem = await asProblem(response);
  if (response.status === 401) {
    const ended = session.peek() === "open";
    session.value = "closed";
    if (ended) throw new Problem(401, "Your session has ended.", "Sign in to go on; what you did last was not done.");
  }
  throw problem;
}

async function body<T>(response: Response): Promise<T> {
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function asProblem(response: Response): Promise<Problem> {
  try {
    const told = (await response.json()) as { title?: string; detail?: string; hint?: string; secrets?: string[] };
    return new Problem(response.status, told.detail || told.title || response.statusText, told.hint ?? "", told.secrets ?? []);
  } catch {
    return new Problem(response.status, `The server answered ${response.status} ${response.statusText}.`);
  }
}

export function post<T>(path: string, what: unknown = {}, headers: Record<string, string> = {}): Promise<T> {
  return ask<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(what),
  });
}

export async function signIn(token: string): Promise<void> {
  await post("/session", { token });
  session.value = "open";
}

export async function signOut(): Promise<void> {
  await ask("/session", { method: "DELETE" });
  session.value = "closed";
}

export function words(error: unknown): string {
  if (error instanceof Problem) {
    if (!error.hint) return error.message;
    return `${error.message}${/[.!?:]$/.test(error.message) ? "" : "."} ${error.hint[0]?.toUpperCase()}${error.hint.slice(1)}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Asked twice with one key (a click that was repeated, an answer that got lost), it happens once. */
export function key(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
