/** A run that is kept up to date for as long as it is looked at. */
import { computed, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ask } from "../api";
import { nextTask } from "../live/frames";
import { stream } from "../live/stream";
import type { QueueItem, RunDetail, RunEvent } from "../types";
import { RunModel } from "./model";

/** Jobs that are read, taken in and drawn in one go. */
const MANY_JOBS = 500;

export class LiveRun {
  model: RunModel | null = null;
  /** Grows once for each batch of changes: who draws the model reads it first. */
  readonly version = signal(0);
  readonly error = signal<unknown>(null);
  #leave: (() => void) | null = null;
  #changed = false;
  #closed = false;

  constructor(readonly id: string) {}

  async open(): Promise<void> {
    this.#closed = false;
    this.error.value = null;
    try {
      const detail = await ask<RunDetail>(`/runs/${encodeURIComponent(this.id)}`);
      // Of 10,000 jobs, reading 5 MB, taking them in and drawing them are each some frames: keys come in between.
      const model = await RunModel.of(detail, detail.jobs.length > MANY_JOBS ? nextTask : null);
      if (this.#closed) return;
      this.model = model;
      this.version.value++;
      this.#leave?.();
      this.#leave = this.model.ended ? null : this.#follow(this.model);
    } catch (error) {
      if (!this.#closed) this.error.value = error;
    }
  }

  #follow(model: RunModel): () => void {
    return stream.subscribe({
      topic: () => `run:${model.run}@${model.position()}`,
      heard: (kind, data) => {
        if (kind === "event" && model.apply(data as RunEvent)) this.#changed = true;
      },
      drawn: () => {
        if (!this.#changed) return;
        this.#changed = false;
        this.version.value++;
        if (model.ended) {
          this.#leave?.();
          this.#leave = null;
        }
      },
      reset: () => void this.open(),
    });
  }

  close(): void {
    this.#closed = true;
    this.#leave?.();
    this.#leave = null;
  }
}

export function useRun(id: string): LiveRun {
  const live = useMemo(() => new LiveRun(id), [id]);
  useEffect(() => {
    void live.open();
    return () => live.close();
  }, [live]);
  return live;
}

/** State that comes whole: read once when the connection stands, and then as it changes. */
export function useState$<T>(topic: string, path: string) {
  const held = useMemo(() => ({ value: signal<T | null>(null), error: signal<unknown>(null) }), [topic, path]);
  useEffect(() => {
    let closed = false;
    let latest: T | undefined;
    const read = () =>
      ask<T>(path).then(
        (told) => {
          if (closed) return;
          held.value.value = told;
          held.error.value = null;
        },
        (error: unknown) => {
          if (!closed && held.value.value === null) held.error.value = error;
        },
      );
    void read();
    const leave = stream.subscribe({
      topic: () => topic,
      heard: (kind, data) => {
        if (kind === topic) latest = data as T;
      },
      drawn: () => {
        if (latest === undefined) return;
        held.value.value = latest;
        latest = undefined;
      },
      opened: () => void read(),
      reset: () => void read(),
    });
    return () => {
      closed = true;
      leave();
    };
  }, [held]);
  return held;
}

export interface Queue {
  total: number;
  items: QueueItem[];
}

/** Why the jobs of a run wait, by their numbers. */
export function useReasons(run: string): (job: number) => QueueItem | undefined {
  const queue = useState$<Queue>("queue", "/queue");
  const byJob = useMemo(
    () =>
      computed(
        () => new Map(queue.value.value?.items.filter((item) => item.run === run).map((item) => [item.job, item]) ?? []),
      ),
    [queue, run],
  );
  return (job) => byJob.value.get(job);
}
