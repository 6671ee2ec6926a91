/** What is around every screen. */
import type { ComponentChildren } from "preact";
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { session, signOut } from "./api";
import { now, running } from "./format";
import { bound, everywhere, help } from "./keys";
import { link, lostSince, stream } from "./live/stream";
import { Empty, Loading, Question, Tellings, Trouble } from "./parts/ui";
import { route } from "./router";
import { ActorsScreen } from "./screens/Actors";
import { QueueScreen } from "./screens/Queue";
import { RunScreen } from "./screens/Run";
import { RunsScreen } from "./screens/Runs";
import { SignIn } from "./screens/SignIn";
import { WorkersScreen } from "./screens/Workers";
import type { JobScreen } from "./screens/Job";
import { nextTheme, theme } from "./theme";

const PLACES = [
  { screen: "runs", word: "Runs" },
  { screen: "workers", word: "Workers" },
  { screen: "queue", word: "Queue" },
  { screen: "actors", word: "Actors" },
] as const;

/** With the reader of logs, which is a quarter of the page and which other screens do not need: it loads with the first job. */
const jobScreen = signal<typeof JobScreen | null>(null);
const jobScreenFailed = signal(false);

function JobPlace(at: { run: string; number: number }) {
  const Loaded = jobScreen.value;
  useEffect(() => {
    if (Loaded) return;
    import("./screens/Job").then(
      (module) => (jobScreen.value = module.JobScreen),
      () => (jobScreenFailed.value = true),
    );
  }, []);
  if (Loaded) return <Loaded {...at} />;
  if (!jobScreenFailed.value) return <Loading />;
  // Browsers remember that a module could not be had; and a newer server has another one.
  return (
    <>
      <h1 class="sr">Job</h1>
      <Trouble error={new Error("This part of the page could not be loaded.")} again={() => location.reload()} />
    </>
  );
}

export function App() {
  if (session.value === "closed") {
    return (
      <>
        <SignIn />
        <Tellings />
      </>
    );
  }
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.querySelector<HTMLElement>("main")?.focus())}>
        Skip to the content
      </a>
      <Bar />
      <Lost />
      <main id="main" tabIndex={-1}>
        {session.value === "open" && <Screen />}
      </main>
      <Help />
      <Question />
      <Tellings />
    </>
  );
}

function Screen() {
  const at = route.value;
  switch (at.screen) {
    case "runs":
      return <RunsScreen />;
    case "run":
      return <RunScreen key={at.run} run={at.run} />;
    case "job":
      return <JobPlace key={`${at.run} ${at.job}`} run={at.run} number={at.job} />;
    case "workers":
      return <WorkersScreen />;
    case "queue":
      return <QueueScreen />;
    case "actors":
      return <ActorsScreen />;
    default:
      return (
        <Empty title="There is no such page">
          <a href="/runs">All runs</a>
        </Empty>
      );
  }
}

function Bar() {
  const at = route.value.screen;
  const current = at === "run" || at === "job" ? "runs" : at;
  return (
    <header class="bar">
      <a class="brand" href="/runs" aria-label="relevo: all runs">
        <img src="/icon.svg" width="22" height="22" alt="" />
        <span>relevo</span>
      </a>
      <nav class="places" aria-label="Screens">
        {PLACES.map((place) => (
          <a key={place.screen} href={`/${place.screen}`} aria-current={place.screen === current ? "page" : undefined}>
            {place.word}
          </a>
        ))}
      </nav>
      <span class="bar-end">
        <LinkState />
        <button type="button" class="bar-button" title={`Theme: ${theme.value} (d)`} aria-label={`Theme: ${theme.value}`} onClick={nextTheme}>
          <ThemeIcon />
        </button>
        <button type="button" class="bar-button" title="Keyboard (?)" aria-label="Keyboard" onClick={() => (help.value = true)}>
          ?
        </button>
        <button type="button" class="bar-button" title="Sign out" aria-label="Sign out" onClick={() => void signOut()}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path class="line" d="M6 2.500H3v11h3M10 5l3 3-3 3m3-3H6.5" />
          </svg>
        </button>
      </span>
    </header>
  );
}

function ThemeIcon() {
  const paths: Record<string, ComponentChildren> = {
    light: (
      <>
        <circle class="line" cx="8" cy="8" r="3" />
        <path class="line" d="M8 1v2m0 10v2M1 8h2m10 0h2M3 3l1.4 1.400m7.2 7.200L13 13M3 13l1.4-1.400m7.2-7.200L13 3" />
      </>
    ),
    dark: <path class="line" d="M13 9.500A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.500z" />,
    system: (
      <>
        <circle class="line" cx="8" cy="8" r="6" />
        <path class="fill" d="M8 2a6 6 0 0 1 0 12z" />
      </>
    ),
  };
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      {paths[theme.value]}
    </svg>
  );
}

function LinkState() {
  const state = link.value;
  if (state === "idle") return null;
  const words = { connecting: "Connecting", open: "Live", lost: "Lost" }[state];
  return (
    <span class={`link link-${state}`} role="status">
      <span class="dot" aria-hidden="true" />
      {words}
    </span>
  );
}

/** A loss of a moment is not worth a word. */
function Lost() {
  if (link.value !== "lost" || !lostSince.value) return null;
  const since = now.value - lostSince.value;
  if (since < 1_000) return null;
  return (
    <div class="lost" role="alert">
      <span>The connection to the server is lost{since >= 5_000 ? ` for ${running(since)}` : ""}. What you see may be old; it goes on by itself.</span>
      <button type="button" class="button" onClick={() => stream.wake()}>
        Try now
      </button>
    </div>
  );
}

function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = help.value;
  useEffect(() => {
    if (shown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [shown]);
  const here = bound.value.flat();
  const table = (title: string, keys: readonly { keys: string; does: string }[]) => (
    <section>
      <h3>{title}</h3>
      <dl class="keys">
        {keys.map((key) => (
          <div key={key.keys}>
            <dt>
              {key.keys.split(" ").map((each) => (
                <kbd key={each}>{each}</kbd>
              ))}
            </dt>
            <dd>{key.does}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
  return (
    <dialog
      ref={dialog}
      class="dialog help"
      aria-labelledby="help-title"
      onClose={() => (help.value = false)}
      onKeyDown={(event) => {
        if (event.key === "?") help.value = false;
      }}
      onClick={(event) => {
        if (event.target === dialog.current) help.value = false;
      }}
    >
      {shown && (
        <div>
          <h2 id="help-title">Keyboard</h2>
          {here.length > 0 && table("On this screen", here)}
          {table("Everywhere", everywhere)}
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => (help.value = false)}>
              Close
            </button>
          </div>
        </div>
      )}
    </dialog>
  );
}
