/** Why a job has not begun, in one sentence. */
import type { Job, QueueItem } from "../types";
import { jobEnded, type RunModel } from "./model";

export function waits(model: RunModel, job: Job, item: QueueItem | undefined): string {
  switch (job.status) {
    case "pending": {
      const open = waitsFor(model, job.needs);
      if (open) return open;
      return model.status === "pending" ? "The run has not begun." : "Waits for its turn among the legs of its matrix.";
    }
    case "waiting":
      return job.group ? `Waits for the concurrency group ${job.group}.` : sentence(model.reason(job) || "It waits for its concurrency group");
    case "queued":
      return item ? `Place ${item.position + 1} in the queue: ${sentence(item.reason)}` : "Waits for a worker.";
    case "assigned":
      return job.agent ? `Agent ${job.agent} has it, and begins as soon as a slot is free.` : "An agent has it, and begins as soon as a slot is free.";
    case "starting":
      return "Its worker is being made.";
    case "preempting":
      return "It makes room for another job, and then waits again.";
    case "held":
      return job.message || "It was lost where running it again is not safe: retry it, or decide that it failed.";
    default:
      return "";
  }
}

/** Those of some needs that have not ended, in a sentence; "" when all have. */
export function waitsFor(model: RunModel, needs: readonly string[]): string {
  const open = needs.filter((need) => {
    const node = model.nodes.get(need);
    return node && (!node.jobs.length || node.jobs.some((number) => !jobEnded(model.jobs[number]?.status ?? "pending")));
  });
  return open.length ? `Waits for ${list(open)}.` : "";
}

function list(names: string[]): string {
  const shown = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
