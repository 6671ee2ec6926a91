/** The shapes of `/api/v1`, as its OpenAPI description has them. Times: Unix milliseconds. */

export type RunStatus = "pending" | "running" | "cancelling" | "held" | "succeeded" | "failed" | "cancelled";
export type JobStatus =
  | "pending"
  | "waiting"
  | "calling"
  | "queued"
  | "assigned"
  | "starting"
  | "running"
  | "preempting"
  | "cancelling"
  | "held"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "timed-out"
  | "skipped";
export type StepStatus = "pending" | "running" | "cancelling" | "succeeded" | "failed" | "cancelled" | "timed-out" | "skipped" | "lost";
export type Status = RunStatus | JobStatus | StepStatus;

export interface RunRow {
  run: string;
  status: RunStatus;
  workflow: string;
  title: string;
  event: string;
  priority: number;
  live: boolean;
  created_ms: number;
  ended_ms: number | null;
  jobs: number;
  jobs_ended: number;
  retried_from: string | null;
  run_attempt: number;
}

export interface Step {
  step: number;
  name: string;
  status: StepStatus;
  outcome: string;
  conclusion: string;
  exit_code: number | null;
  message: string;
  started_ms: number | null;
  ended_ms: number | null;
}

export interface Job {
  number: number;
  name: string;
  /** As it is called in its file; all legs of a matrix share it. */
  node: string;
  needs: string[];
  labels: string[];
  status: JobStatus;
  attempts: number;
  attempt: number;
  message: string;
  outputs: Record<string, string>;
  queued_ms: number | null;
  assigned_ms: number | null;
  started_ms: number | null;
  ended_ms: number | null;
  agent: string;
  /** The workflow file that it calls; "": it has steps of its own. */
  calls: string;
  log_size: number;
  /** The concurrency group that it waits for, as events told it. */
  group?: string;
  steps: Step[];
}

export interface Annotation {
  job: string;
  attempt: number;
  step: number;
  level: "notice" | "warning" | "error";
  message: string;
  title: string;
  file: string;
  line: number | null;
  column: number | null;
}

export interface Summary {
  job: string;
  /** The step's name. */
  step: string;
  markdown: string;
}

export interface RunDetail {
  run: string;
  workflow: string;
  title: string;
  trigger: string;
  status: RunStatus;
  message?: string;
  created_ms: number;
  ended_ms: number | null;
  retried_from: string | null;
  run_attempt: number;
  seq: number;
  /** Jobs as the files have them. */
  nodes?: { node: string; needs: string[] }[];
  jobs: Job[];
  annotations: Annotation[];
  /** Bytes by name. */
  artifacts: Record<string, number>;
  summaries: Summary[];
  warnings: string[];
  /** Why jobs wait (`number` -1: no job yet), or the run itself (`job` ""). */
  waits?: { job: string; number: number; reason: string }[];
}

/** One stored event of a run, see orchestrator/api.py. */
export interface RunEvent {
  v: number;
  event: string;
  run: string;
  seq: number;
  at: number;
  [field: string]: unknown;
}

export interface LogLine {
  offset: number;
  step: number;
  at_ms: number;
  text: string;
  cut?: boolean;
}

export interface LogPage {
  from: number;
  lines: LogLine[];
  lines_total: number;
  size_bytes: number;
  complete: boolean;
}

export interface LogMatches {
  matches: { line: number; column: number; text: string }[];
  next: number | null;
}

export interface AgentState {
  id: string;
  ready: boolean;
  connected: boolean;
  labels: string[];
  slots: number;
  places: number;
  busy: number;
  /** 0, here and in the next: not known. */
  cpus: number;
  cpus_free: number;
  memory_bytes: number;
  memory_free_bytes: number;
  version: string;
  spool_bytes: number;
  /** It holds its steps back: its disk is full, or too much waits in its spool. */
  held: boolean;
  jobs: { run: string; job: number; name: string; attempt: number; since_ms: number }[];
  /** Only jobs that tolerate all of them run there. */
  taints: string[];
  /** "", here and in the next: none. */
  pool: string;
  zone: string;
  /** The share of its machine that is in use, whoever uses it, as it says; 1: all of it. */
  load: number;
  /** It takes nothing new, for that reason ("": none was given). */
  drained: boolean;
  drained_for: string;
}

export interface QueueItem {
  position: number;
  run: string;
  job: number;
  name: string;
  priority: number;
  since_ms: number;
  labels: string[];
  reason: string;
}

export interface ActorState {
  path: string;
  kind: string;
  state: string;
  mailbox: number;
  handled: number;
  restarts: number;
  /** What it is about, where its path does not say it: a concurrency group's name. */
  about?: string;
}

export interface ServerInfo {
  version: string;
  pid: number;
  epoch: number;
  live: number;
  started_ms: number;
  home: string;
}
