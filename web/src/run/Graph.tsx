/** The job graph: boxes of rows, lines between boxes, a matrix as one row that opens. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { count, grouped } from "../format";
import { CountsBar, Icon } from "../parts/status";
import { Duration } from "../parts/ui";
import type { Job } from "../types";
import { layout, PAD, type Place, ROW, ROWS, sum, worst } from "./graph";
import type { Node, RunModel } from "./model";
import { waitsFor } from "./waiting";

function span(node: Node, jobs: readonly Job[]): { from: number | null; to: number | null } {
  let from: number | null = null;
  let to: number | null = 0;
  for (const number of node.jobs) {
    const job = jobs[number];
    if (!job || job.started_ms === null) continue;
    from = from === null ? job.started_ms : Math.min(from, job.started_ms);
    if (job.ended_ms === null) to = null;
    else if (to !== null) to = Math.max(to, job.ended_ms);
  }
  return { from, to };
}

function Row({ node, model, chosen, choose }: { node: Node; model: RunModel; chosen: boolean; choose: (id: string) => void }) {
  const first = model.jobs[node.jobs[0] as number];
  const status = worst(node.counts);
  const single = node.jobs.length === 1 && first;
  const { from, to } = span(node, node.jobs.length > 200 ? [] : model.jobs);
  const name = shortName(single ? first.name : node.id);
  const content = (
    <>
      <Icon status={status} label />
      <span class="graph-name" title={single ? first.name : node.id}>
        {name}
      </span>
      {node.jobs.length > 1 && <span class="graph-count">{grouped(node.jobs.length)}</span>}
      {single && from !== null && (
        <span class="graph-time">
          <Duration from={from} to={to} />
        </span>
      )}
    </>
  );
  if (!node.jobs.length) {
    return (
      <span class="graph-row" title={waitsFor(model, node.needs) || "Its jobs are not known yet."}>
        <Icon status="pending" label />
        <span class="graph-name muted">{name}</span>
      </span>
    );
  }
  if (single && !first.calls) {
    return (
      <a class="graph-row" data-row href={`/runs/${model.run}/jobs/${first.number}`}>
        {content}
      </a>
    );
  }
  return (
    <button
      type="button"
      class="graph-row"
      data-row
      aria-expanded={chosen}
      onClick={() => choose(node.id)}
    >
      {content}
      {node.jobs.length > 1 && <CountsBar counts={node.counts} />}
    </button>
  );
}

/** Within the box of a called workflow its prefix is said once, above. */
function shortName(name: string): string {
  const cut = name.lastIndexOf(" / ");
  return cut < 0 ? name : `… / ${name.slice(cut + 3)}`;
}

export function Graph({
  model,
  version,
  chosen,
  choose,
}: {
  model: RunModel;
  version: number;
  chosen: string | null;
  choose: (id: string | null) => void;
}) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [place, setPlace] = useState<Place | null>(null);
  const lines = useMemo(() => [...model.nodes.values()].some((node) => node.needs.length), [model, model.shape]);
  useEffect(() => {
    if (lines && !place) void import("./place").then((loaded) => setPlace(() => loaded.place));
  }, [lines]);
  const drawn = useMemo(() => layout(model.nodes, open, place), [model, model.shape, open, place]);
  void version;
  // Placed twice, the graph would jump: with lines it is drawn when dagre is there.
  if (lines && !place) return <div class="graph" style={{ height: "120px" }} />;
  return (
    <div class="graph" role="group" aria-label="Graph of the jobs">
      <div class="graph-sheet" style={{ width: `${drawn.width}px`, height: `${drawn.height}px` }}>
        <svg width={drawn.width} height={drawn.height} aria-hidden="true">
          {drawn.edges.map((edge) => (
            <path key={edge.path} d={edge.path} />
          ))}
        </svg>
        {drawn.boxes.map((box) => {
          const hidden = box.nodes.slice(box.rows.length);
          return (
            <div
              key={box.key}
              class="graph-box"
              style={{ left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px`, padding: `${PAD}px 0` }}
            >
              {box.rows.map((node) => (
                <Row
                  key={node.id}
                  node={node}
                  model={model}
                  chosen={chosen === node.id}
                  choose={(id) => choose(chosen === id ? null : id)}
                />
              ))}
              {hidden.length > 0 && (
                <button
                  type="button"
                  class="graph-row more"
                  style={{ height: `${ROW}px` }}
                  onClick={() => setOpen(new Set([...open, box.key]))}
                >
                  <Icon status={worst(sum(hidden))} />
                  <span class="graph-name">{count(hidden.length, "more job")}</span>
                  <CountsBar counts={sum(hidden)} />
                </button>
              )}
              {open.has(box.key) && box.nodes.length > ROWS && (
                <button
                  type="button"
                  class="graph-less"
                  aria-label="Show fewer of these jobs"
                  onClick={() => setOpen(new Set([...open].filter((key) => key !== box.key)))}
                >
                  –
                </button>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
