/**
 * A run as the page knows it: what the server told at first, with each event since laid on top.
 *
 * It changes in place, one event in constant time, so that runs of 10,000 jobs and hundreds of events a second cost little;
 * whoever draws looks at it once a frame.
 */
import type { Annotation, Job, JobStatus, RunDetail, RunEvent, RunStatus, Step, StepStatus, Summary } from "../types";

export type Counts = Partial<Record<JobStatus, number>>;

const JOB_ENDS: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "timed-out", "skipped"]);
const RUN_ENDS: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled"]);

/** Jobs that are taken in at a time, where they are many: some milliseconds. */
const PART_JOBS = 2_000;

export const jobEnded = (status: string): boolean => JOB_ENDS.has(status);
export const runEnded = (status: string): boolean => RUN_ENDS.has(status);

/** Jobs of one node of the workflow: one job, or the legs of a matrix; none before they are known. */
export interface Node {
  id: string;
  needs: string[];
  jobs: number[];
  counts: Counts;
}

function stepStatus(outcome: string, conclusion: string): StepStatus {
  const told = conclusion || outcome;
  if (told === "success") return "succeeded";
  if (told === "failure") return "failed";
  return (told as StepStatus) || "running";
}

export class RunModel {
  readonly run: string;
  workflow: string;
  title: string;
  trigger: string;
  status: RunStatus;
  message: string;
  createdMs: number;
  endedMs: number | null;
  retriedFrom: string | null;
  runAttempt: number;
  jobs: Job[] = [];
  nodes = new Map<string, Node>();
  /** Without jobs that only stand for those that they call. */
  counts: Counts = {};
  annotations: Annotation[];
  artifacts: Readonly<Record<string, number>>;
  summaries: Summary[];
  warnings: string[];
  /** Why the run itself waits, in a sentence; "" when it does not. */
  waits = "";
  /** Grows when jobs were added or became calls: the graph is to be laid out anew. */
  shape = 0;
  /** Why jobs waited when the run was read. */
  #reasons = new Map<number, string>();
  #byName = new Map<string, number>();
  #sequence: number;
  /** Events taken of the last sequence; Infinity: all of it. */
  #taken = Infinity;
  /** Events of the sequence being sent again that were seen. */
  #again = 0;

  private constructor(detail: RunDetail) {
    this.run = detail.run;
    this.workflow = detail.workflow;
    this.title = detail.title;
    this.trigger = detail.trigger;
    this.status = detail.status;
    this.message = detail.message ?? "";
    this.createdMs = detail.created_ms;
    this.endedMs = detail.ended_ms;
    this.retriedFrom = detail.retried_from;
    this.runAttempt = detail.run_attempt;
    this.annotations = detail.annotations;
    this.artifacts = detail.artifacts;
    this.summaries = detail.summaries;
    this.warnings = detail.warnings;
    this.#sequence = detail.seq;
    for (const { node, needs } of detail.nodes ?? []) this.#node(node, needs);
    for (const { job, number, reason } of detail.waits ?? []) {
      if (detail.jobs[number]) this.#reasons.set(number, reason);
      else if (!job) this.waits = `${reason}.`;
    }
  }

  /** A run as the server told it. `pause`: waited for before its jobs are taken in, after some of them, and at the end. */
  static async of(detail: RunDetail, pause: (() => Promise<void>) | null = null): Promise<RunModel> {
    const model = new RunModel(detail);
    for (let from = 0; from < detail.jobs.length; from += PART_JOBS) {
      await pause?.();
      for (const job of detail.jobs.slice(from, from + PART_JOBS)) model.#add(job);
    }
    await pause?.();
    return model;
  }

  get ended(): boolean {
    return runEnded(this.status);
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /**
   * The sequence to follow after. One append may hold several events under one sequence: when it is not certain that all of the
   * last have come, they are asked for again, and `apply` lets those pass that it has.
   */
  position(): number {
    if (this.#taken === Infinity) return this.#sequence;
    this.#again = 0;
    return this.#sequence - 1;
  }

  /** Why a job waited when the run was read, without a full stop; "" when that is not known. */
  reason(job: Job): string {
    return this.#reasons.get(job.number) ?? "";
  }

  job(name: string): Job | undefined {
    const number = this.#byName.get(name);
    return number === undefined ? undefined : this.jobs[number];
  }

  /** Lays the next event on top. Returns whether anything came of it. */
  apply(event: RunEvent): boolean {
    if (event.run !== this.run) return false;
    if (event.seq < this.#sequence || (event.seq === this.#sequence && this.#taken === Infinity)) return false;
    if (event.seq > this.#sequence) {
      this.#sequence = event.seq;
      this.#taken = 0;
      this.#again = 0;
    }
    this.#again++;
    if (this.#again <= this.#taken) return false;
    this.#taken = this.#again;
    this.#take(event);
    return true;
  }

  #take(event: RunEvent): void {
    switch (event.event) {
      case "run.accepted":
        this.workflow = text(event.workflow) || this.workflow;
        this.title = text(event.title) || this.title;
        this.trigger = text(event.trigger) || this.trigger;
        return;
      case "run.started":
      case "run.released":
        this.status = "running";
        return;
      case "run.cancelling":
        this.status = "cancelling";
        this.message = text(event.reason);
        return;
      case "run.waiting":
        this.waits = `It waits for the concurrency group ${text(event.group)}.`;
        return;
      case "run.granted":
        this.waits = "";
        return;
      case "run.held":
        this.status = "held";
        return;
      case "run.finished":
        this.status = event.status as RunStatus;
        this.message = text(event.message) || this.message;
        this.endedMs = event.at;
        return;
      case "warning":
        this.warnings = [...this.warnings, text(event.message)];
        return;
      case "node.added":
        this.#node(text(event.node), event.needs as string[]);
        this.shape++;
        return;
      case "job.added":
        if (!this.#byName.has(text(event.job))) this.#add(added(event, this.jobs.length));
        return;
    }
    const job = this.job(text(event.job));
    if (job) this.#of(job, event);
  }

  #of(job: Job, event: RunEvent): void {
    switch (event.event) {
      case "job.calling":
        job.started_ms = event.at;
        this.#become(job, "calling");
        this.shape++;
        return;
      case "job.waiting":
        job.group = text(event.group);
        this.#become(job, "waiting");
        return;
      case "job.queued":
        job.queued_ms ??= event.at;
        this.#become(job, "queued");
        return;
      case "job.assigned":
        job.attempt = job.attempts = event.attempt as number;
        job.assigned_ms ??= event.at;
        job.agent = text(event.agent);
        job.steps = [];
        this.#become(job, "assigned");
        return;
      case "job.starting":
        this.#become(job, "starting");
        return;
      case "job.running":
        job.attempt = job.attempts = event.attempt as number;
        job.steps = [];
        job.started_ms ??= event.at;
        this.#become(job, "running");
        return;
      case "job.cancelling":
        this.#become(job, job.calls ? "calling" : "cancelling");
        return;
      case "job.preempting":
        job.message = `preempted for job '${text(event.for_job)}' of run ${text(event.for_run)}`;
        this.#become(job, "preempting");
        return;
      case "job.held":
        job.message = text(event.message);
        this.#become(job, "held");
        return;
      case "job.retrying":
        job.message = text(event.message);
        this.#become(job, "queued");
        return;
      case "job.finished":
        job.attempts = (event.attempts as number | undefined) ?? job.attempts;
        job.message = text(event.message);
        job.outputs = (event.outputs as Record<string, string> | undefined) ?? {};
        job.ended_ms = event.at;
        this.#become(job, event.status as JobStatus);
        return;
      case "attempt.finished":
        job.log_size = (event.log_size as number | undefined) ?? 0;
        if (event.result === "lost")
          for (const step of job.steps)
            if (step.status === "running") put(job.steps, { ...step, status: "lost", ended_ms: event.at });
        return;
      case "step.started":
        put(job.steps, begun(event));
        return;
      case "step.finished":
        this.#stepFinished(job, event);
        return;
      case "annotation":
        this.annotations = [...this.annotations, event as unknown as Annotation];
        return;
      case "artifact":
        this.artifacts = { ...this.artifacts, [text(event.name)]: event.size as number };
    }
  }

  #stepFinished(job: Job, event: RunEvent): void {
    const known = job.steps.find((step) => step.step === event.step);
    const outcome = text(event.outcome);
    const conclusion = text(event.conclusion);
    put(job.steps, {
      step: event.step as number,
      name: text(event.name),
      status: stepStatus(outcome, conclusion),
      outcome,
      conclusion,
      exit_code: (event.exit_code as number | null | undefined) ?? null,
      message: text(event.message),
      started_ms: known?.started_ms ?? null,
      ended_ms: event.at,
    });
    if (event.summary) {
      this.summaries = [
        ...this.summaries,
        { job: job.name, step: text(event.name), markdown: text(event.summary) },
      ];
    }
  }

  #node(id: string, needs: string[]): Node {
    let node = this.nodes.get(id);
    if (!node) this.nodes.set(id, (node = { id, needs, jobs: [], counts: {} }));
    return node;
  }

  #add(job: Job): void {
    this.jobs.push(job);
    this.#byName.set(job.name, this.jobs.length - 1);
    const node = this.#node(job.node, job.needs);
    node.jobs.push(job.number);
    change(node.counts, job.status, 1);
    if (!job.calls) change(this.counts, job.status, 1);
    this.shape++;
  }

  #become(job: Job, status: JobStatus): void {
    if (job.status === status) return;
    const node = this.nodes.get(job.node);
    if (node) {
      change(node.counts, job.status, -1);
      change(node.counts, status, 1);
    }
    if (!job.calls) {
      change(this.counts, job.status, -1);
      change(this.counts, status, 1);
    }
    job.status = status;
  }
}

function added(event: RunEvent, number: number): Job {
  return {
    number,
    name: text(event.job),
    node: text(event.node) || text(event.job),
    needs: (event.needs as string[] | undefined) ?? [],
    labels: (event.labels as string[] | undefined) ?? [],
    calls: text(event.calls),
    status: "pending",
    attempts: 0,
    attempt: 0,
    message: "",
    outputs: {},
    queued_ms: null,
    assigned_ms: null,
    started_ms: null,
    ended_ms: null,
    agent: "",
    log_size: 0,
    steps: [],
  };
}

function begun(event: RunEvent): Step {
  return {
    step: event.step as number,
    name: text(event.name),
    status: "running",
    outcome: "",
    conclusion: "",
    exit_code: null,
    message: "",
    started_ms: event.at,
    ended_ms: null,
  };
}

function put(steps: Step[], step: Step): void {
  const at = steps.findIndex((known) => known.step >= step.step);
  if (at < 0) steps.push(step);
  else if (steps[at]?.step === step.step) steps[at] = step;
  else steps.splice(at, 0, step);
}

function change(counts: Counts, status: JobStatus, by: number): void {
  const count = (counts[status] ?? 0) + by;
  if (count > 0) counts[status] = count;
  else delete counts[status];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
