/** The engine from inside: its actors, and how much mail waits for each. */
import { useState } from "preact/hooks";
import { count, grouped } from "../format";
import { Empty, Loading, Meter, Trouble, useTitle } from "../parts/ui";
import { Virtual } from "../parts/Virtual";
import { useState$ } from "../run/live";
import { tree } from "../run/tree";
import type { ActorState } from "../types";

const ROW = 30;

export function ActorsScreen() {
  const state = useState$<{ actors: ActorState[] }>("actors", "/actors");
  const [text, setText] = useState("");
  useTitle("Actors");
  const actors = state.value.value?.actors;
  const rows = actors ? tree(actors, text) : [];
  const most = Math.max(10, ...rows.slice(0, 20_000).map((row) => row.actor.mailbox));
  return (
    <>
      <div class="head">
        <h1>Actors</h1>
        <div class="tools">
          <input
            type="search"
            data-search
            class="field"
            placeholder="Path or kind"
            aria-label="Only actors whose path or kind holds this"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
      </div>
      {state.error.value !== null && <Trouble error={state.error.value} />}
      {!actors ? (
        state.error.value === null && <Loading />
      ) : (
        <>
          <p class="facts muted">
            <span>{count(actors.length, "actor")}</span>
            <span>{count(actors.reduce((sum, actor) => sum + actor.mailbox, 0), "message waits", "messages wait")}</span>
            <span>{count(actors.reduce((sum, actor) => sum + actor.restarts, 0), "restart")}</span>
          </p>
          {rows.length === 0 ? (
            <Empty title="No such actors" />
          ) : (
            <section class="panel">
              <h2 class="sr">Tree of actors</h2>
              <div class="actor-row actor-head" aria-hidden="true">
                <span>Path</span>
                <span>Kind</span>
                <span>State</span>
                <span>Mailbox</span>
                <span>Handled</span>
                <span>Restarts</span>
              </div>
              <div style={{ height: `min(${rows.length * ROW}px, max(320px, 100vh - 230px))` }}>
                <Virtual
                  rows={rows.length}
                  height={ROW}
                  label="Tree of actors"
                  render={(first, last) =>
                    rows.slice(first, last).map(({ actor, name, depth, below }) => (
                      <div key={actor.path} class="actor-row" data-actor={actor.path}>
                        <span class="actor-name mono" title={actor.path} style={{ paddingLeft: `${depth * 18}px` }}>
                          {depth > 0 && <i aria-hidden="true" />}
                          {actor.about ? (
                            <>
                              <b>{actor.about}</b> <span class="muted">{name}</span>
                            </>
                          ) : (
                            name
                          )}
                          {below > 0 && <span class="graph-count">{grouped(below)}</span>}
                        </span>
                        <span class="muted">{actor.kind}</span>
                        <span>{actor.state}</span>
                        <span class="num">
                          <Meter value={actor.mailbox} most={most} label="Messages that wait" />
                          {grouped(actor.mailbox)}
                        </span>
                        <span class="num muted">{grouped(actor.handled)}</span>
                        <span class={actor.restarts ? "num tone-bad status-text" : "num muted"}>{actor.restarts}</span>
                      </div>
                    ))
                  }
                />
              </div>
            </section>
          )}
        </>
      )}
    </>
  );
}
