/** One job: its steps, and what they write. */
import { useRef, useState } from "preact/hooks";
import { key, post, words } from "../api";
import { useKeys } from "../keys";
import { LogView, type LogHandle } from "../log/LogView";
import { Icon, StatusText } from "../parts/status";
import { Ago, asking, Duration, Empty, Labels, Loading, tell, Trouble, useTitle } from "../parts/ui";
import { go, query, where } from "../router";
import { JobList } from "../run/JobList";
import { useReasons, useRun } from "../run/live";
import { jobEnded, type RunModel } from "../run/model";
import { heading } from "../run/rows";
import { waits } from "../run/waiting";
import type { Job } from "../types";
import { askCancel, Crumbs } from "./Run";

export function JobScreen({ run, number }: { run: string; number: number }) {
  const live = useRun(run);
  const version = live.version.value;
  const reasons = useReasons(live.model?.run ?? run);
  const model = live.model;
  const job = model?.jobs[number];
  useTitle(job && model ? `${job.name} · ${heading(model.title, model.workflow, model.trigger)}` : "Job");
  useKeys([
    { keys: "<", does: "Job before", run: () => number > 0 && go(`/runs/${run}/jobs/${number - 1}`) },
    { keys: ">", does: "Next job", run: () => model && number + 1 < model.jobs.length && go(`/runs/${run}/jobs/${number + 1}`) },
  ]);
  if (live.error.value !== null) {
    return (
      <>
        <Crumbs>{null}</Crumbs>
        <h1 class="sr">Job</h1>
        <Trouble error={live.error.value} again={() => void live.open()} />
      </>
    );
  }
  if (!model) return <Loading />;
  return (
    <>
      <Crumbs>
        <a href={`/runs/${model.run}`}>
          {heading(model.title, model.workflow, model.trigger)} <span class="muted mono">{model.run}</span>
        </a>
        <span aria-current="page">{job?.name ?? number}</span>
      </Crumbs>
      {job ? (
        <Body model={model} job={job} version={version} reasons={reasons} />
      ) : (
        <>
          <h1 class="sr">Job {number}</h1>
          <Empty title={`The run has no job ${number}${model.ended ? "" : " yet"}`}>
            <a href={`/runs/${model.run}`}>Its jobs</a>
          </Empty>
        </>
      )}
    </>
  );
}

function Held({ model, job }: { model: RunModel; job: Job }) {
  const decide = (what: "retry" | "fail") =>
    post(`/runs/${model.run}/jobs/${job.number}/${what}`, {}, { "Idempotency-Key": key() }).then(
      () => tell(what === "retry" ? "The job is tried again." : "The job has failed."),
      (error: unknown) => tell(words(error), true),
    );
  return (
    <>
      <button type="button" class="button primary" onClick={() => void decide("retry")}>
        Retry
      </button>
      <button
        type="button"
        class="button"
        onClick={() =>
          (asking.value = {
            title: "Has the job failed?",
            text: "It is not run again; what needs it is skipped.",
            yes: "It has failed",
            run: async () => void (await decide("fail")),
          })
        }
      >
        Fail
      </button>
    </>
  );
}

function Body({
  model,
  job,
  version,
  reasons,
}: {
  model: RunModel;
  job: Job;
  version: number;
  reasons: ReturnType<typeof useReasons>;
}) {
  const asked = Number(where.value.query.get("attempt") ?? 0);
  const attempt = asked >= 1 && asked <= job.attempts ? asked : job.attempt || job.attempts;
  const current = attempt === (job.attempt || job.attempts);
  const handle = useRef<LogHandle | null>(null);
  const [sight, setSight] = useState<number | null>(null);
  const failed = current ? job.steps.find((step) => step.status === "failed" || step.status === "timed-out") : undefined;
  const why = waits(model, job, reasons(job.number));
  const begun = attempt > 0 && (job.started_ms !== null || jobEnded(job.status) || !current);
  const outputs = Object.entries(job.outputs);
  return (
    <>
      <div class="head">
        <div class="head-title">
          <h1>{job.name}</h1>
          <p class="facts">
            <StatusText status={job.status} />
            {job.started_ms !== null && (
              <>
                <span class="muted">
                  began <Ago at={job.started_ms} />
                </span>
                <span>
                  <span class="muted">{job.ended_ms === null ? "for" : "took"} </span>
                  <Duration from={job.started_ms} to={job.ended_ms} />
                </span>
              </>
            )}
            {job.queued_ms !== null && job.started_ms !== null && (
              <span class="muted">
                waited <Duration from={job.queued_ms} to={Math.max(job.queued_ms, job.started_ms)} />
              </span>
            )}
            {job.agent && <span class="muted mono">{job.agent}</span>}
            <Labels labels={job.labels} />
          </p>
          {job.message && !why && <p>{job.message}</p>}
        </div>
        <div class="buttons">
          {job.attempts > 1 && (
            <label class="attempts">
              <span class="sr">Attempt</span>
              <select
                class="field"
                value={attempt}
                onChange={(event) => query({ attempt: event.currentTarget.value === String(job.attempts) ? null : event.currentTarget.value })}
              >
                {Array.from({ length: job.attempts }, (_, index) => (
                  <option key={index} value={index + 1}>
                    Attempt {index + 1}
                  </option>
                ))}
              </select>
            </label>
          )}
          {job.status === "held" && <Held model={model} job={job} />}
          {!model.ended && job.status !== "held" && (
            <button type="button" class="button" onClick={() => askCancel(model.run, model.status === "cancelling")}>
              {model.status === "cancelling" ? "End the run now" : "Cancel the run"}
            </button>
          )}
        </div>
      </div>
      <span class="sr" role="status">
        The job is {job.status}.
      </span>
      {why && (
        <p class="waits">
          <Icon status={job.status} />
          {why}
        </p>
      )}
      {job.calls ? (
        <section class="panel">
          <h2>Jobs of {job.calls}</h2>
          <JobList
            model={model}
            version={version}
            jobs={model.jobs.filter((each) => each.name.startsWith(`${job.name} / `))}
            reason={reasons}
            label="Jobs that it called"
          />
        </section>
      ) : (
        <div class="job-columns">
          <nav class="steps panel" aria-label="Steps">
            <h2>Steps</h2>
            {job.steps.length === 0 && <p class="muted inset">{jobEnded(job.status) ? "None of its steps ran." : "None has begun."}</p>}
            <ol>
              {job.steps.map((step) => (
                <li key={step.step}>
                  <button
                    type="button"
                    data-row
                    class={step.step === sight ? "step in-sight" : "step"}
                    aria-current={step.step === sight ? "step" : undefined}
                    title={step.exit_code ? `${step.name}: exit code ${step.exit_code}` : step.message || step.name}
                    onClick={() => handle.current?.showStep(step.step)}
                  >
                    <Icon status={step.status} label />
                    <span class="step-name">{step.name}</span>
                    <span class="step-time muted">
                      <Duration from={step.started_ms} to={step.ended_ms} />
                    </span>
                  </button>
                </li>
              ))}
            </ol>
            {outputs.length > 0 && (
              <>
                <h2>Outputs</h2>
                <dl class="outputs">
                  {outputs.map(([name, value]) => (
                    <div key={name}>
                      <dt class="mono">{name}</dt>
                      <dd class="mono">{value}</dd>
                    </div>
                  ))}
                </dl>
              </>
            )}
          </nav>
          <section class="panel log-panel">
            <h2 class="sr">Log</h2>
            {begun ? (
              <LogView
                key={`${job.number} ${attempt}`}
                run={model.run}
                job={job.number}
                attempt={attempt}
                failing={failed?.step ?? null}
                handle={handle}
                inSight={setSight}
              />
            ) : (
              <Empty title={jobEnded(job.status) ? "It did not run" : "It has not begun"}>{why}</Empty>
            )}
          </section>
        </div>
      )}
    </>
  );
}
