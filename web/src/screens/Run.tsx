/** One run: how it stands, its graph, its time line, its jobs, and what it left. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { BASE, key, post, Problem, words } from "../api";
import { bytes, count, grouped } from "../format";
import { useKeys } from "../keys";
import { Markdown } from "../parts/Markdown";
import { CountsBar, Icon, StatusText } from "../parts/status";
import { Ago, asking, Duration, Empty, Loading, tell, Trouble, useTitle } from "../parts/ui";
import { go, query, where } from "../router";
import { Graph } from "../run/Graph";
import { type Choice, chosen, failedFirst, JobList } from "../run/JobList";
import { useReasons, useRun } from "../run/live";
import type { RunModel } from "../run/model";
import { heading } from "../run/rows";
import { Timeline } from "../run/Timeline";
import type { Annotation, Summary } from "../types";

const VIEWS = [
  { value: "", word: "Overview" },
  { value: "timeline", word: "Timeline" },
  { value: "jobs", word: "Jobs" },
];

export function Crumbs({ children }: { children: ComponentChildren }) {
  return (
    <nav class="crumbs" aria-label="Where this is">
      <a href="/runs">Runs</a>
      {children}
    </nav>
  );
}

export function askCancel(run: string, force: boolean): void {
  const act = (forced: boolean) => async () => {
    await post(`/runs/${run}/cancel`, { force: forced });
    tell(forced ? "The run is being ended." : "The run is being cancelled.");
  };
  asking.value = force
    ? {
        title: "End the run now?",
        text: "Steps with always() or cancelled() are not waited for.",
        yes: "End it now",
        run: act(true),
      }
    : {
        title: "Cancel the run?",
        text: "Steps that run are asked to end; steps with always() or cancelled() still run. By force, nothing is waited for.",
        yes: "Cancel the run",
        other: { word: "By force", run: act(true) },
        run: act(false),
      };
}

async function retry(run: string, failed: boolean, secrets: Record<string, string> = {}): Promise<void> {
  try {
    const told = await post<{ run: string }>(`/runs/${run}/retry`, { failed, secrets }, { "Idempotency-Key": key() });
    tell(failed ? "What failed is tried again, as a new run." : "All jobs are tried again, as a new run.");
    go(`/runs/${told.run}`);
  } catch (error) {
    if (error instanceof Problem && error.secrets.length) askSecrets(run, failed, error.secrets);
    else tell(words(error), true);
  }
}

function askSecrets(run: string, failed: boolean, names: readonly string[]): void {
  asking.value = {
    title: names.length === 1 ? "A secret is needed again" : "Secrets are needed again",
    text: "Secrets are destroyed when a run ends. What is given here goes to the new run alone.",
    yes: failed ? "Retry failed" : "Retry all",
    secrets: names,
    run: (given) => retry(run, failed, given),
  };
}

/** `version`: the model changes in place, and parts that use signals are drawn anew only when something that they are given differs. */
function Actions({ model, version }: { model: RunModel; version: number }) {
  void version;
  const [busy, setBusy] = useState(false);
  const again = (failed: boolean) => {
    setBusy(true);
    void retry(model.run, failed).finally(() => setBusy(false));
  };
  if (!model.ended) {
    return (
      <div class="buttons">
        {model.status === "cancelling" ? (
          <button type="button" class="button danger" onClick={() => askCancel(model.run, true)}>
            End it now
          </button>
        ) : (
          <button type="button" class="button" onClick={() => askCancel(model.run, false)}>
            Cancel
          </button>
        )}
      </div>
    );
  }
  return (
    <div class="buttons">
      {model.status !== "succeeded" && (
        <button type="button" class="button primary" disabled={busy} onClick={() => again(true)}>
          Retry failed
        </button>
      )}
      <button type="button" class="button" disabled={busy} onClick={() => again(false)}>
        Retry all
      </button>
    </div>
  );
}

export function RunScreen({ run }: { run: string }) {
  const live = useRun(run);
  const version = live.version.value;
  const reasons = useReasons(live.model?.run ?? run);
  const model = live.model;
  const asked = where.value.query;
  const view = VIEWS.find((each) => each.value === (asked.get("view") ?? "")) ?? VIEWS[0]!;
  useTitle(model ? heading(model.title, model.workflow, model.trigger) : "Run");
  useKeys([
    { keys: "1", does: "Overview", run: () => query({ view: null }) },
    { keys: "2", does: "Timeline", run: () => query({ view: "timeline" }) },
    { keys: "3", does: "Jobs", run: () => query({ view: "jobs" }) },
  ]);
  if (live.error.value !== null) {
    return (
      <>
        <Crumbs>{null}</Crumbs>
        <h1 class="sr">Run</h1>
        <Trouble error={live.error.value} again={() => void live.open()} />
      </>
    );
  }
  if (!model) return <Loading />;
  return (
    <>
      <Crumbs>
        <span aria-current="page" class="mono">
          {model.run}
        </span>
      </Crumbs>
      <div class="head">
        <div class="head-title">
          <h1>{heading(model.title, model.workflow, model.trigger)}</h1>
          <p class="facts">
            <StatusText status={model.status} />
            <span>{model.workflow}</span>
            <span class="label">{model.trigger}</span>
            <span class="muted">
              <Ago at={model.createdMs} />
            </span>
            <span>
              <span class="muted">{model.ended ? "took" : "for"} </span>
              <Duration from={model.createdMs} to={model.endedMs} />
            </span>
            {model.retriedFrom && (
              <span>
                attempt {model.runAttempt}, after <a href={`/runs/${model.retriedFrom}`}>the one before</a>
              </span>
            )}
          </p>
          {model.message && <p class="muted">{model.message}</p>}
        </div>
        <Actions model={model} version={version} />
      </div>
      <span class="sr" role="status">
        The run is {model.status}.
      </span>
      {model.waits && !model.ended && (
        <p class="waits">
          <Icon status="waiting" />
          {model.waits}
        </p>
      )}
      <CountsBar counts={model.counts} legend />
      <div class="tabs" role="group" aria-label="View">
        {VIEWS.map((each) => (
          <button
            type="button"
            key={each.value}
            aria-pressed={each === view}
            onClick={() => query({ view: each.value || null })}
          >
            {each.word}
            {each.value === "jobs" && <span class="graph-count">{grouped(model.jobs.length)}</span>}
          </button>
        ))}
      </div>
      {model.warnings.map((warning) => (
        <p key={warning} class="note level-warning">
          {warning}
        </p>
      ))}
      {view.value === "jobs" ? (
        <Jobs model={model} version={version} reasons={reasons} />
      ) : view.value === "timeline" ? (
        <section class="panel">
          <h2 class="sr">Timeline</h2>
          <Timeline model={model} version={version} jobs={model.jobs.filter((job) => !job.calls)} />
        </section>
      ) : (
        <Overview model={model} version={version} reasons={reasons} />
      )}
    </>
  );
}

type Reasons = ReturnType<typeof useReasons>;

function Jobs({ model, version, reasons }: { model: RunModel; version: number; reasons: Reasons }) {
  const asked = where.value.query;
  const choice = (asked.get("show") ?? "all") as Choice;
  const text = asked.get("q") ?? "";
  const words: Record<Choice, string> = { all: "All", failed: "Failed", running: "Running", waiting: "Waiting", ended: "Others" };
  return (
    <section class="panel">
      <h2 class="sr">Jobs</h2>
      <div class="tools inset">
        <input
          type="search"
          data-search
          class="field"
          placeholder="Name of a job"
          aria-label="Only jobs whose names hold this"
          value={text}
          onInput={(event) => query({ q: event.currentTarget.value })}
        />
        <div class="segments" role="group" aria-label="Which jobs">
          {(Object.keys(words) as Choice[]).map((each) => (
            <button
              type="button"
              key={each}
              aria-pressed={each === choice}
              onClick={() => query({ show: each === "all" ? null : each })}
            >
              {words[each]}
            </button>
          ))}
        </div>
      </div>
      <JobList model={model} version={version} jobs={chosen(model, choice, text, null)} reason={reasons} label="Jobs" tall />
    </section>
  );
}

function Overview({ model, version, reasons }: { model: RunModel; version: number; reasons: Reasons }) {
  const node = where.value.query.get("node");
  const failed = chosen(model, "failed", "", null);
  return (
    <>
      <section class="panel">
        <h2 class="sr">Graph</h2>
        {model.nodes.size ? (
          <Graph model={model} version={version} chosen={node} choose={(id) => query({ node: id })} />
        ) : (
          <Empty title="No jobs yet">They come when the run has begun.</Empty>
        )}
        {node !== null && model.nodes.has(node) && (
          <div class="opened">
            <h3>
              {node} <span class="graph-count">{grouped(model.nodes.get(node)?.jobs.length ?? 0)}</span>
              <button type="button" class="button icon" aria-label={`Close ${node}`} onClick={() => query({ node: null })}>
                ×
              </button>
            </h3>
            <JobList model={model} version={version} jobs={failedFirst(chosen(model, "all", "", node))} reason={reasons} label={node} />
          </div>
        )}
      </section>
      {failed.length > 0 && (
        <section class="panel">
          <h2>What failed</h2>
          <JobList model={model} version={version} jobs={failed} reason={reasons} label="Jobs that failed" />
        </section>
      )}
      {model.annotations.length > 0 && <Annotations model={model} annotations={model.annotations} />}
      {model.summaries.length > 0 && <Summaries summaries={model.summaries} />}
      {Object.keys(model.artifacts).length > 0 && <Artifacts run={model.run} artifacts={model.artifacts} />}
    </>
  );
}

const SHOWN = 50;

function Annotations({ model, annotations }: { model: RunModel; annotations: Annotation[] }) {
  const [all, setAll] = useState(false);
  const weight = { error: 0, warning: 1, notice: 2 };
  const sorted = [...annotations].sort((a, b) => weight[a.level] - weight[b.level]);
  return (
    <section class="panel">
      <h2>
        Annotations <span class="graph-count">{annotations.length}</span>
      </h2>
      <ul class="notes">
        {(all ? sorted : sorted.slice(0, SHOWN)).map((each, index) => {
          const job = model.job(each.job);
          return (
            <li key={index} class={`note level-${each.level}`}>
              <p>
                <b>{each.level === "error" ? "Error" : each.level === "warning" ? "Warning" : "Notice"}</b>
                {each.title && <b>{each.title}</b>}
                <span>{each.message}</span>
              </p>
              <p class="muted">
                {job ? <a href={`/runs/${model.run}/jobs/${job.number}`}>{each.job}</a> : each.job}
                {each.file && (
                  <span class="mono">
                    {each.file}
                    {each.line ? `:${each.line}` : ""}
                  </span>
                )}
              </p>
            </li>
          );
        })}
      </ul>
      {!all && annotations.length > SHOWN && (
        <p class="more-rows">
          <button type="button" class="button" onClick={() => setAll(true)}>
            Show all {count(annotations.length, "annotation")}
          </button>
        </p>
      )}
    </section>
  );
}

function Summaries({ summaries }: { summaries: Summary[] }) {
  return (
    <section class="panel">
      <h2>Summaries</h2>
      {summaries.slice(0, SHOWN).map((each, index) => (
        <article key={index} class="summary">
          <h3>
            {each.job} <span class="muted">{each.step}</span>
          </h3>
          <Markdown text={each.markdown} />
        </article>
      ))}
      {summaries.length > SHOWN && <p class="muted inset">{summaries.length - SHOWN} more: relevo show tells them all.</p>}
    </section>
  );
}

function Artifacts({ run, artifacts }: { run: string; artifacts: Readonly<Record<string, number>> }) {
  return (
    <section class="panel">
      <h2>
        Artifacts <span class="graph-count">{Object.keys(artifacts).length}</span>
      </h2>
      <ul class="artifacts">
        {Object.entries(artifacts).map(([name, size]) => (
          <li key={name}>
            <a href={`${BASE}/runs/${run}/artifacts/${encodeURIComponent(name)}`} download={`${name}.zip`}>
              {name}
            </a>
            <span class="muted num">{bytes(size)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
