/** Jobs of a run as rows, however many. */
import { count, duration } from "../format";
import { Icon, word } from "../parts/status";
import { Duration, Empty } from "../parts/ui";
import { Virtual } from "../parts/Virtual";
import type { Job, QueueItem } from "../types";
import type { RunModel } from "./model";
import { waits } from "./waiting";

const ROW = 36;

export type Choice = "all" | "failed" | "running" | "waiting" | "ended";

const CHOICES: Record<Choice, (job: Job) => boolean> = {
  all: () => true,
  failed: (job) => job.status === "failed" || job.status === "timed-out" || job.status === "held",
  running: (job) => ["assigned", "starting", "running", "preempting", "calling", "cancelling"].includes(job.status),
  waiting: (job) => ["pending", "waiting", "queued"].includes(job.status),
  ended: (job) => ["succeeded", "skipped", "cancelled"].includes(job.status),
};

export function chosen(model: RunModel, choice: Choice, text: string, node: string | null): Job[] {
  const wanted = text.trim().toLowerCase();
  const numbers = node === null ? null : (model.nodes.get(node)?.jobs ?? []);
  const all = numbers ? numbers.map((number) => model.jobs[number] as Job) : model.jobs;
  return all.filter((job) => CHOICES[choice](job) && (!wanted || job.name.toLowerCase().includes(wanted)));
}

/** What failed is looked for; the order is otherwise that of the run. */
export function failedFirst(jobs: Job[]): Job[] {
  const failed = jobs.filter(CHOICES.failed);
  return failed.length ? [...failed, ...jobs.filter((job) => !CHOICES.failed(job))] : jobs;
}

function note(model: RunModel, job: Job, reason: QueueItem | undefined): string {
  const waiting = waits(model, job, reason);
  if (waiting) return waiting;
  if (job.calls) return `Calls ${job.calls}`;
  if (job.message) return job.message;
  if (job.status === "failed" || job.status === "timed-out") {
    const step = job.steps.find((each) => each.status === "failed" || each.status === "timed-out");
    if (step) return `${step.name}${step.exit_code ? `: exit code ${step.exit_code}` : step.message ? `: ${step.message}` : ""}`;
  }
  if (job.status === "running") return job.steps[job.steps.length - 1]?.name ?? "";
  return "";
}

export function JobList({
  model,
  version,
  jobs,
  reason,
  label,
  tall,
}: {
  model: RunModel;
  version: number;
  jobs: Job[];
  reason: (job: number) => QueueItem | undefined;
  label: string;
  /** As high as the window has room. */
  tall?: boolean;
}) {
  void version;
  const height = tall ? `min(${jobs.length * ROW}px, max(360px, 100vh - 330px))` : `${Math.min(jobs.length, 12) * ROW}px`;
  if (!jobs.length) return <Empty title="No such jobs" />;
  return (
    <div class="joblist" style={{ height }}>
      <Virtual
        rows={jobs.length}
        height={ROW}
        label={`${label}, ${count(jobs.length, "job")}`}
        render={(first, last) =>
          jobs.slice(first, last).map((job) => (
            <a
              key={job.number}
              class="job-row"
              data-row
              href={`/runs/${model.run}/jobs/${job.number}`}
            >
              <Icon status={job.status} label />
              <span class="job-status" aria-hidden="true">
                {word(job.status)}
              </span>
              <span class="job-name">{job.name}</span>
              <span class="job-note muted">{note(model, job, reason(job.number))}</span>
              {job.attempts > 1 && <span class="label">attempt {job.attempt}</span>}
              <span class="job-wait muted num" title="Time in the queue">
                {job.queued_ms !== null && job.started_ms !== null && job.started_ms - job.queued_ms >= 1_000
                  ? `+${duration(job.started_ms - job.queued_ms)}`
                  : ""}
              </span>
              <span class="job-time">
                <Duration from={job.started_ms} to={job.ended_ms} />
              </span>
            </a>
          ))
        }
      />
    </div>
  );
}
