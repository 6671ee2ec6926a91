/** Small parts that several screens share. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { words } from "../api";
import { ago, duration, moment, now, running } from "../format";

/** Counts while it goes on. */
export function Duration({ from, to }: { from: number | null; to: number | null }) {
  if (from === null) return <span class="muted">–</span>;
  if (to !== null) return <span class="num">{duration(to - from)}</span>;
  return <span class="num">{running(now.value - from)}</span>;
}

/** The moment itself is told to whoever points at it: to write it out for each row of a list takes longer than all else of the row. */
export function Ago({ at }: { at: number }) {
  return (
    <time
      class="num"
      dateTime={new Date(at).toISOString()}
      onPointerEnter={(event) => (event.currentTarget.title = moment(at))}
    >
      {ago(at, now.value)}
    </time>
  );
}

export function Labels({ labels }: { labels: readonly string[] }) {
  return (
    <span class="labels">
      {labels.map((label) => (
        <span class="label" key={label}>
          {label}
        </span>
      ))}
    </span>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <div class="muted">{children}</div>}
    </div>
  );
}

export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <span>{words(error)}</span>
      {again && (
        <button type="button" class="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Nothing for a moment (most answers are there at once), then a word. */
export function Loading() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 400);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="empty muted" role="status">
      {slow ? "Reading…" : ""}
    </div>
  );
}

interface Told {
  id: number;
  text: string;
  bad: boolean;
}
const toldNow = signal<readonly Told[]>([]);
let tellings = 0;

/** Says something at the lower edge, for some seconds. */
export function tell(text: string, bad = false): void {
  const told = { id: ++tellings, text, bad };
  toldNow.value = [...toldNow.peek().slice(-2), told];
  setTimeout(
    () => {
      toldNow.value = toldNow.peek().filter((each) => each.id !== told.id);
    },
    bad ? 10_000 : 4_000,
  );
}

export function Tellings() {
  return (
    <div class="tellings" role="status" aria-live="polite">
      {toldNow.value.map((told) => (
        <p key={told.id} class={told.bad ? "telling bad" : "telling"}>
          {told.text}
        </p>
      ))}
    </div>
  );
}

export interface Asking {
  title: string;
  text: string;
  yes: string;
  /** A second way, for instance by force. */
  other?: { word: string; run: () => Promise<void> };
  /** Names of secrets that have to be given with it. */
  secrets?: readonly string[];
  run: (secrets: Record<string, string>) => Promise<void>;
}
export const asking = signal<Asking | null>(null);

/** One question at a time, before what cannot be undone. */
export function Question() {
  const question = asking.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (question) dialog.current?.showModal();
    else dialog.current?.close();
  }, [question]);
  const act = async (run: (secrets: Record<string, string>) => Promise<void>, form?: HTMLFormElement) => {
    const given: Record<string, string> = {};
    for (const name of question?.secrets ?? []) {
      given[name] = (form?.elements.namedItem(name) as HTMLInputElement | null)?.value ?? "";
    }
    setBusy(true);
    try {
      await run(given);
    } catch (error) {
      tell(words(error), true);
    } finally {
      setBusy(false);
      // It may have asked something else.
      if (asking.peek() === question) asking.value = null;
    }
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="question" onClose={() => (asking.value = null)}>
      {question && (
        <form
          key={question.title}
          method="dialog"
          onSubmit={(event) => {
            event.preventDefault();
            void act(question.run, event.currentTarget);
          }}
        >
          <h2 id="question">{question.title}</h2>
          <p>{question.text}</p>
          {question.secrets?.map((name, index) => (
            <label key={name} class="dialog-field">
              <span class="mono">{name}</span>
              <input class="field" type="password" name={name} autocomplete="off" required autofocus={index === 0} />
            </label>
          ))}
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => (asking.value = null)}>
              Leave it
            </button>
            {question.other && (
              <button type="button" class="button danger" disabled={busy} onClick={() => act(question.other!.run)}>
                {question.other.word}
              </button>
            )}
            <button type="submit" class="button primary" disabled={busy}>
              {question.yes}
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}

export function Meter({ value, most, label }: { value: number; most: number; label: string }) {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  return (
    <span class="meter" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={most} aria-valuenow={value}>
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}

/** Sets the tab's title while a screen is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · relevo` : "relevo";
  }, [title]);
}
