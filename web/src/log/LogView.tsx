/** A log: ten lines or ten million, ended or growing. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { BASE, words as worded } from "../api";
import { bytes, clock, count, grouped } from "../format";
import { useKeys } from "../keys";
import { Loading, tell, Trouble } from "../parts/ui";
import { Virtual, type VirtualHandle } from "../parts/Virtual";
import { go, where } from "../router";
import type { LogLine } from "../types";
import { pieces } from "./ansi";
import { Carry } from "./carry";
import { mark } from "./folds";
import { highlight } from "./highlight";
import { LiveLog } from "./live";

const ROW = 20;
const TIMES = "relevo.timestamps";
const MATCHES = 500;

export interface LogHandle {
  /** Its first line, or (`end`) its last. */
  showStep(step: number, end?: boolean): void;
}

interface Found {
  words: string;
  lines: number[];
  /** Line to search on from; null: all are known. */
  next: number | null;
  at: number;
}

function lineOfHash(hash: string): number | null {
  const found = /^L(\d+)$/.exec(hash);
  return found ? Math.max(0, Number(found[1]) - 1) : null;
}

const COMMAND = /^(?:::|##\[)(error|warning|notice|debug|command|add-mask|endgroup)\b([^\]:]*)(?:::|\])(.*)$/;

function Text({ line, words, before }: { line: LogLine; words: string; before: string }) {
  const group = mark(line.text);
  if (group?.kind === "group") return <b class="log-title">{group.title || "Group"}</b>;
  const command = COMMAND.exec(line.text);
  const said = command && ["error", "warning", "notice"].includes(command[1] as string);
  const shown = highlight(pieces(said ? (command[3] as string) : before + line.text), words);
  return (
    <span class={command ? `log-command is-${command[1]}` : undefined}>
      {said && <b>{`${(command[1] as string)[0]?.toUpperCase()}${(command[1] as string).slice(1)}: `}</b>}
      {shown.map((piece, index) =>
        piece.looks || piece.colour || piece.background || piece.found ? (
          <span
            key={index}
            class={piece.found ? `${piece.looks} found` : piece.looks}
            style={piece.colour || piece.background ? { color: piece.colour, backgroundColor: piece.background } : undefined}
          >
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
      {line.cut && <i class="muted"> … cut: the raw log has all of it</i>}
    </span>
  );
}

export function LogView({
  run,
  job,
  attempt,
  failing,
  handle,
  inSight,
}: {
  run: string;
  job: number;
  attempt: number;
  /** The step to jump to, if one failed. */
  failing: number | null;
  handle: { current: LogHandle | null };
  inSight: (step: number | null) => void;
}) {
  const log = useMemo(() => new LiveLog(run, job, attempt), [run, job, attempt]);
  const list = useRef<VirtualHandle>(null);
  const field = useRef<HTMLInputElement>(null);
  const [follow, setFollow] = useState(false);
  const [times, setTimes] = useState(() => remembered());
  const [search, setSearch] = useState("");
  const [found, setFound] = useState<Found | null>(null);
  const top = useRef(0);
  /** The line that was asked for, for as long as nobody scrolls away from it. */
  const anchor = useRef<number | null>(null);
  const searching = useRef(0);
  const version = log.version.value;
  const { book, folds } = log;
  const ready = log.ready.value;
  const chosen = lineOfHash(where.value.hash);

  useEffect(() => {
    void log.open();
    return () => log.close();
  }, [log]);

  // The first sight: a linked line, the live end, or the step that failed.
  useEffect(() => {
    if (!ready) return;
    if (chosen !== null) showLine(chosen, "middle");
    else if (!book.complete) setFollow(true);
    else if (failing !== null) void showStep(failing, true);
  }, [ready]);

  log.keep = () => {
    const asked = anchor.current;
    const line = asked ?? (ready ? folds.line(Math.min(top.current, Math.max(0, folds.rows(book.total) - 1))) : null);
    return () => {
      if (line === null || follow) return;
      if (asked !== null) folds.reveal(asked);
      requestAnimationFrame(() => list.current?.show(folds.row(line), asked === null ? "start" : "middle"));
    };
  };
  const showLine = (line: number, at: "start" | "middle" = "middle") => {
    setFollow(false);
    anchor.current = line;
    if (folds.reveal(line)) log.version.value++;
    // Rows may have changed: after the drawing.
    requestAnimationFrame(() => list.current?.show(folds.row(line), at));
  };
  const showStep = async (step: number, end = false) => {
    try {
      const line = end ? (await log.firstLine(step + 1)) - 1 : await log.firstLine(step);
      if (line >= 0 && line < book.total) showLine(line, end ? "middle" : "start");
      else tell("This step wrote nothing.");
    } catch (error) {
      tell(worded(error), true);
    }
  };
  handle.current = { showStep: (step, end) => void showStep(step, end) };

  const look = async (words: string) => {
    const mine = ++searching.current;
    if (!words) {
      setFound(null);
      return;
    }
    try {
      const told = await log.search(words, 0, MATCHES);
      if (mine !== searching.current) return;
      const lines = distinct(told.matches.map((match) => match.line));
      const from = folds.line(Math.min(top.current, Math.max(0, folds.rows(book.total) - 1)));
      const at = Math.max(0, lines.findIndex((line) => line >= from));
      setFound({ words, lines, next: told.next, at });
      if (lines.length) showLine(lines[at] as number);
    } catch (error) {
      if (mine === searching.current) tell(worded(error), true);
    }
  };
  const nextMatch = async (by: number) => {
    if (!found || !found.lines.length) return;
    let { lines, next } = found;
    let at = found.at + by;
    try {
      while (at >= lines.length && next !== null) {
        const told = await log.search(found.words, next, MATCHES);
        lines = distinct([...lines, ...told.matches.map((match) => match.line)]);
        next = told.next;
      }
    } catch (error) {
      tell(worded(error), true);
      return;
    }
    at = (at + lines.length) % lines.length;
    setFound({ ...found, lines, next, at });
    showLine(lines[at] as number);
  };

  const typed = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const toggleTimes = () => {
    remember(!times);
    setTimes(!times);
  };
  const toggleAll = () => {
    folds.all(!folds.groups.some((group) => group.open));
    log.version.value++;
  };
  useKeys([
    { keys: "f", does: "Follow the end of the log", run: () => setFollow(!follow) },
    { keys: "n", does: "Next match", run: () => void nextMatch(1) },
    { keys: "N", does: "Match before", run: () => void nextMatch(-1) },
    { keys: "e", does: "The step that failed", run: () => failing !== null && void showStep(failing, true) },
    { keys: "t", does: "Show or hide times", run: toggleTimes },
    { keys: "z", does: "Fold or unfold all groups", run: toggleAll },
    { keys: "G", does: "End of the log", run: () => list.current?.end() },
    { keys: "g g", does: "Beginning of the log", run: () => (setFollow(false), list.current?.show(0)) },
  ]);

  if (log.error.value !== null && !ready) return <Trouble error={log.error.value} again={() => void log.open()} />;
  if (!ready) return <Loading />;
  void version;
  const rows = folds.rows(book.total);
  const digits = String(book.total).length;
  const found1 = found?.words === search.trim() ? found : null;
  return (
    <>
      <div class="log-tools">
        <span class="log-search">
          <input
            ref={field}
            data-search
            class="field"
            type="search"
            placeholder="Search the log"
            aria-label="Search the log"
            value={search}
            onInput={(event) => {
              const value = event.currentTarget.value;
              setSearch(value);
              clearTimeout(typed.current);
              typed.current = setTimeout(() => void look(value.trim()), 200);
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter") void nextMatch(event.shiftKey ? -1 : 1);
            }}
          />
          {found1 && (
            <>
              <span class="num log-found" role="status">
                {found1.lines.length
                  ? `${grouped(found1.at + 1)} of ${grouped(found1.lines.length)}${found1.next === null ? "" : "+"}`
                  : "no match"}
              </span>
              <button type="button" class="button icon" aria-label="Match before" disabled={!found1.lines.length} onClick={() => void nextMatch(-1)}>
                ↑
              </button>
              <button type="button" class="button icon" aria-label="Next match" disabled={!found1.lines.length} onClick={() => void nextMatch(1)}>
                ↓
              </button>
            </>
          )}
        </span>
        <span class="buttons">
          {failing !== null && (
            <button type="button" class="button" title="The step that failed (e)" onClick={() => void showStep(failing, true)}>
              Failed step
            </button>
          )}
          <button type="button" class="button" aria-pressed={times} title="Times (t)" onClick={toggleTimes}>
            Times
          </button>
          {folds.groups.length > 0 && (
            <button type="button" class="button" title="Fold or unfold all groups (z)" onClick={toggleAll}>
              {folds.groups.some((group) => group.open) ? "Fold all" : "Unfold all"}
            </button>
          )}
          {!book.complete && (
            <button type="button" class="button" aria-pressed={follow} title="Follow (f)" onClick={() => setFollow(!follow)}>
              Follow
            </button>
          )}
          <a class="button" href={`${BASE}${log.path}?attempt=${attempt}`} target="_blank" rel="noopener">
            Raw
          </a>
        </span>
      </div>
      <div class={times ? "log with-times" : "log"} style={{ "--digits": String(digits) }}>
        {book.total === 0 ? (
          <p class="log-nothing">{book.complete ? "It wrote nothing." : "Nothing was written yet."}</p>
        ) : (
          <Virtual
            rows={rows}
            height={ROW}
            label="Log"
            handle={list}
            follow={follow && !book.complete}
            scrolled={(atEnd) => {
              anchor.current = null;
              setFollow(atEnd && !book.complete);
            }}
            sight={(first, last) => {
              top.current = first;
              if (rows) {
                book.want(folds.line(Math.max(0, first - 40)), folds.line(Math.min(rows - 1, last + 40)));
                inSight(book.line(folds.line(Math.min(rows - 1, first)))?.step ?? null);
              }
            }}
            render={(first, last) => {
              const drawn = [];
              const carry = new Carry((at) => book.line(at));
              let before = first > 0 ? book.line(folds.line(first - 1))?.step : undefined;
              for (let row = first; row < last; row++) {
                const number = folds.line(row);
                const line = book.line(number);
                const group = folds.at(number);
                const begins = line !== undefined && before !== undefined && line.step !== before;
                before = line?.step;
                drawn.push(
                  <div
                    key={number}
                    class={`log-line${number === chosen ? " chosen" : ""}${begins ? " begins" : ""}${folds.inside(number) ? " inside" : ""}`}
                    data-line={number + 1}
                  >
                    <a
                      class="log-number"
                      href={`#L${number + 1}`}
                      aria-label={`Line ${number + 1}`}
                      tabIndex={-1}
                      onClick={(event) => {
                        event.preventDefault();
                        go(`${location.pathname}${location.search}#L${number + 1}`, { replace: true });
                      }}
                    >
                      {number + 1}
                    </a>
                    {times && <span class="log-time">{line && clock(line.at_ms)}</span>}
                    {group ? (
                      <button
                        type="button"
                        class="log-fold"
                        aria-expanded={group.open || group.end === null}
                        onClick={() => {
                          folds.toggle(number);
                          setFollow(false);
                          log.version.value++;
                        }}
                      >
                        <span aria-hidden="true">{group.open || group.end === null ? "▾" : "▸"}</span>
                        {line && <Text line={line} words={found1?.words ?? ""} before={carry.before(number)} />}
                      </button>
                    ) : (
                      <span class="log-text">{line ? <Text line={line} words={found1?.words ?? ""} before={carry.before(number)} /> : <span class="log-gap" />}</span>
                    )}
                  </div>,
                );
              }
              return drawn;
            }}
          />
        )}
        {!book.complete && !follow && book.total > 0 && (
          <button type="button" class="button primary log-down" onClick={() => setFollow(true)}>
            ↓ Follow the end
          </button>
        )}
      </div>
      <p class="log-foot muted">
        <span class="num">{count(book.total, "line")}</span>
        <span class="num">{bytes(book.size)}</span>
        <span>{book.complete ? "complete" : "it grows"}</span>
      </p>
    </>
  );
}

function distinct(lines: number[]): number[] {
  return lines.filter((line, index) => line !== lines[index - 1]);
}

function remembered(): boolean {
  try {
    return localStorage.getItem(TIMES) === "yes";
  } catch {
    return false;
  }
}

function remember(shown: boolean): void {
  try {
    localStorage.setItem(TIMES, shown ? "yes" : "no");
  } catch {
    // It lasts as long as the screen.
  }
}
