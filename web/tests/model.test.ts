import { describe, expect, it } from "vitest";
import { RunModel } from "../src/run/model";
import type { Job, RunDetail, RunEvent } from "../src/types";

const detail = (): RunDetail => ({
  run: "r",
  workflow: "CI",
  title: "push",
  trigger: "push",
  status: "pending",
  created_ms: 1_000,
  ended_ms: null,
  retried_from: null,
  run_attempt: 1,
  seq: 1,
  jobs: [],
  annotations: [],
  artifacts: {},
  summaries: [],
  warnings: [],
});

const DONE: Job = {
  number: 0,
  name: "",
  node: "",
  needs: [],
  labels: [],
  calls: "",
  status: "succeeded",
  attempts: 1,
  attempt: 1,
  message: "",
  outputs: {},
  queued_ms: 1,
  assigned_ms: 1,
  started_ms: 1,
  ended_ms: 2,
  agent: "local",
  log_size: 0,
  steps: [],
};

let at = 2_000;
const event = (seq: number, kind: string, fields: Record<string, unknown> = {}): RunEvent => ({
  v: 1,
  event: kind,
  run: "r",
  seq,
  at: (at += 10),
  ...fields,
});

const STORY: RunEvent[] = [
  event(2, "run.started"),
  event(2, "job.added", { job: "build", node: "build", needs: [], labels: ["linux"] }),
  event(2, "job.added", { job: "test (1)", node: "test", needs: ["build"], labels: [] }),
  event(2, "job.added", { job: "test (2)", node: "test", needs: ["build"], labels: [] }),
  event(2, "job.queued", { job: "build" }),
  event(3, "job.assigned", { job: "build", attempt: 1, agent: "local" }),
  event(4, "job.running", { job: "build", attempt: 1 }),
  event(4, "step.started", { job: "build", attempt: 1, step: 0, name: "Compile" }),
  event(5, "annotation", { job: "build", attempt: 1, step: 0, level: "warning", message: "old" }),
  event(6, "step.finished", {
    job: "build",
    attempt: 1,
    step: 0,
    name: "Compile",
    outcome: "failure",
    conclusion: "failure",
    exit_code: 2,
    summary: "# Sum",
  }),
  event(6, "artifact", { job: "build", attempt: 1, name: "dist", size: 12 }),
  event(6, "attempt.finished", { job: "build", attempt: 1, result: "failed", log_size: 99 }),
  event(6, "job.finished", { job: "build", status: "failed", attempts: 1, outputs: { v: "1" } }),
  event(7, "job.finished", { job: "test (1)", status: "skipped" }),
  event(7, "job.finished", { job: "test (2)", status: "skipped" }),
  event(7, "run.finished", { status: "failed" }),
];

const shape = (model: RunModel) => ({ ...model, counts: { ...model.counts }, nodes: [...model.nodes] });

describe("a run", () => {
  it("is what its events tell", async () => {
    const model = await RunModel.of(detail());
    for (const each of STORY) expect(model.apply(each)).toBe(true);
    expect(model.status).toBe("failed");
    expect(model.counts).toEqual({ failed: 1, skipped: 2 });
    const build = model.job("build");
    expect(build).toMatchObject({ status: "failed", agent: "local", attempts: 1, log_size: 99, outputs: { v: "1" } });
    expect(build?.steps).toMatchObject([{ name: "Compile", status: "failed", exit_code: 2 }]);
    expect(model.nodes.get("test")?.counts).toEqual({ skipped: 2 });
    expect(model.artifacts).toEqual({ dist: 12 });
    expect(model.summaries).toEqual([{ job: "build", step: "Compile", markdown: "# Sum" }]);
    expect(model.annotations).toHaveLength(1);
  });

  it("is the same wherever the connection broke", async () => {
    const whole = await RunModel.of(detail());
    for (const each of STORY) whole.apply(each);
    for (let broken = 0; broken <= STORY.length; broken++) {
      const model = await RunModel.of(detail());
      for (const each of STORY.slice(0, broken)) model.apply(each);
      // The server tells what comes after the sequence that is asked for: whole sequences.
      const after = model.position();
      for (const each of STORY.filter((one) => one.seq > after)) model.apply(each);
      expect(shape(model)).toEqual(shape(whole));
    }
  });

  it("lets events of others, and those it has, pass", async () => {
    const model = await RunModel.of(detail());
    expect(model.apply({ ...event(9, "run.started"), run: "other" })).toBe(false);
    expect(model.apply(event(1, "run.started"))).toBe(false);
    expect(model.status).toBe("pending");
  });

  it("counts calls apart from the jobs that they stand for", async () => {
    const model = await RunModel.of(detail());
    model.apply(event(2, "job.added", { job: "deploy", node: "deploy", needs: [], calls: "./d.yml" }));
    model.apply(event(2, "job.calling", { job: "deploy" }));
    model.apply(event(2, "job.added", { job: "deploy / ship", node: "deploy / ship", needs: [] }));
    expect(model.total).toBe(1);
    expect(model.job("deploy")?.status).toBe("calling");
  });

  it("of many jobs is taken in between pauses, and is the same", async () => {
    const one = (number: number) => ({ ...DONE, number, name: `j (${number})`, node: "j" });
    const told = { ...detail(), jobs: Array.from({ length: 4_500 }, (_, number) => one(number)), waits: [{ run: "r", job: "j (7)", number: 7, reason: "so" }] };
    let pauses = 0;
    const model = await RunModel.of(told, async () => void pauses++);
    expect(pauses).toBe(4); // before each part, and before it is drawn
    expect(model).toEqual(await RunModel.of(told));
    expect(model.total).toBe(4_500);
    expect(model.job("j (4499)")?.number).toBe(4_499);
    expect(model.reason(model.jobs[7]!)).toBe("so");
  });
});
