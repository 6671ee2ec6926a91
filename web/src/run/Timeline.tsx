/** When each job waited and ran, and, where there is room, its steps. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { duration, now } from "../format";
import { useKeys } from "../keys";
import { Icon, tone, word } from "../parts/status";
import { Virtual } from "../parts/Virtual";
import type { Job } from "../types";
import type { RunModel } from "./model";
import { bar, type Span, ticks, within, zoom } from "./timescale";

const ROW = 28;

export function Timeline({ model, version, jobs }: { model: RunModel; version: number; jobs: Job[] }) {
  void version;
  const whole: Span = { from: model.createdMs, to: Math.max(model.createdMs + 50, model.endedMs ?? now.value) };
  const [chosen, setChosen] = useState<Span | null>(null);
  const span = chosen ? within(chosen, whole) : whole;
  const axis = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const element = axis.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(element.clientWidth));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  const by = (factor: number, at = (span.from + span.to) / 2) => {
    const next = zoom(span, whole, at, factor);
    setChosen(next.to - next.from >= whole.to - whole.from ? null : next);
  };
  const shift = (share: number) => {
    const length = span.to - span.from;
    setChosen(within({ from: span.from + length * share, to: span.to + length * share }, whole));
  };
  useKeys([
    { keys: "+", does: "Timeline: closer", run: () => by(0.5) },
    { keys: "-", does: "Timeline: farther", run: () => by(2) },
    { keys: "0", does: "Timeline: all of it", run: () => setChosen(null) },
    { keys: "h", does: "Timeline: earlier", run: () => shift(-0.25) },
    { keys: "l", does: "Timeline: later", run: () => shift(0.25) },
  ]);

  const frame = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      const left = axis.current?.getBoundingClientRect().left ?? 0;
      if (event.ctrlKey) {
        event.preventDefault();
        by(event.deltaY > 0 ? 1.25 : 0.8, span.from + ((event.clientX - left) / width) * (span.to - span.from));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        shift((event.deltaX || event.deltaY) / width);
      }
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  });

  const named = ticks(span, model.createdMs, Math.max(2, Math.floor(width / 90)));
  return (
    <div class="timeline" ref={frame}>
      <div class="timeline-tools">
        <ul class="timeline-key">
          <li>
            <i class="bar-waits" /> in the queue
          </li>
          <li>
            <i class="bar-starts" /> at an agent
          </li>
          <li>
            <i class="bar-runs tone-busy" /> runs
          </li>
        </ul>
        <span class="buttons">
          <button type="button" class="button icon" aria-label="Closer" title="Closer (+)" onClick={() => by(0.5)}>
            +
          </button>
          <button type="button" class="button icon" aria-label="Farther" title="Farther (-)" onClick={() => by(2)}>
            −
          </button>
          <button type="button" class="button" disabled={!chosen} title="All of it (0)" onClick={() => setChosen(null)}>
            All
          </button>
        </span>
      </div>
      <div class="timeline-axis">
        <div class="timeline-ticks" ref={axis} aria-hidden="true">
          {named.map((tick) => {
            const left = ((tick.at - span.from) / (span.to - span.from)) * 100;
            return (
              <span key={tick.at} style={{ left: `${left}%` }}>
                {tick.label}
              </span>
            );
          })}
        </div>
      </div>
      <div class="timeline-rows" style={{ height: `min(${jobs.length * ROW}px, max(360px, 100vh - 360px))` }}>
        <Virtual
          rows={jobs.length}
          height={ROW}
          label="Timeline of the jobs"
          render={(first, last) =>
            jobs.slice(first, last).map((job) => <TimeRow key={job.number} model={model} job={job} span={span} width={width} end={whole.to} />)
          }
        />
      </div>
    </div>
  );
}

function TimeRow({ model, job, span, width, end }: { model: RunModel; job: Job; span: Span; width: number; end: number }) {
  const started = job.started_ms;
  const over = job.ended_ms ?? end;
  const took = started === null ? "" : duration(over - started);
  const waited = job.queued_ms === null ? "" : `waited ${duration((job.assigned_ms ?? started ?? over) - job.queued_ms)}`;
  const parts: { kind: string; from: number; to: number; title: string }[] = [];
  if (job.queued_ms !== null) {
    parts.push({ kind: "bar-waits", from: job.queued_ms, to: job.assigned_ms ?? started ?? over, title: "In the queue" });
  }
  if (job.assigned_ms !== null && (started === null || started > job.assigned_ms)) {
    parts.push({ kind: "bar-starts", from: job.assigned_ms, to: started ?? over, title: "At an agent" });
  }
  const run = started === null ? null : bar(span, started, over);
  const scale = width / Math.max(1, span.to - span.from);
  const steps = started !== null && (over - started) * scale > 48 ? job.steps : [];
  return (
    <a class="time-row" data-row href={`/runs/${model.run}/jobs/${job.number}`}>
      <span class="time-name">
        <Icon status={job.status} label />
        <span>{job.name}</span>
      </span>
      <span class="time-bars">
        {parts.map((part) => {
          const at = bar(span, part.from, part.to);
          return (
            at && (
              <i
                key={part.kind}
                class={part.kind}
                title={`${part.title}: ${duration(part.to - part.from)}`}
                style={{ left: `${at.left}%`, width: `${at.width}%` }}
              />
            )
          );
        })}
        {run && (
          <i
            class={`bar-runs tone-${tone(job.status)}`}
            title={`${word(job.status)}: ${took}`}
            style={{ left: `${run.left}%`, width: `${run.width}%` }}
          />
        )}
        {steps.map((step) => {
          if (step.started_ms === null) return null;
          const stepEnd = step.ended_ms ?? over;
          const at = bar(span, step.started_ms, stepEnd);
          if (!at) return null;
          return (
            <i
              key={`step ${step.step}`}
              class={`bar-step tone-${tone(step.status)}`}
              title={`${step.name}: ${word(step.status)}, ${duration(stepEnd - step.started_ms)}`}
              style={{ left: `${at.left}%`, width: `${at.width}%` }}
            >
              {(at.width / 100) * width > 70 ? step.name : ""}
            </i>
          );
        })}
      </span>
      <span class="time-took num">{took}</span>
      <span class="sr">{waited}</span>
    </a>
  );
}
