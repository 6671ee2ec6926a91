/**
 * The graph of a run's jobs.
 *
 * The legs of a matrix are one row, and rows that need the same and are needed by the same share a box: the graph grows with the
 * shape of the workflow, not with its jobs, and every line between boxes is true for each row in them.
 */
import type { Counts, Node } from "./model";
import type { JobStatus } from "../types";

export interface Box {
  key: string;
  nodes: Node[];
  column: number;
}

export interface Edge {
  from: string;
  to: string;
}

export interface Placed extends Box {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Rows that are drawn; the others are counted in one more. */
  rows: Node[];
}

export interface Layout {
  boxes: Placed[];
  edges: { path: string; from: string; to: string }[];
  width: number;
  height: number;
}

export const ROW = 30;
export const PAD = 5;
export const WIDTH = 224;
const GAP_X = 52;
const GAP_Y = 14;
/** More rows than these are folded into one that counts them, until it is opened. */
export const ROWS = 12;

export function boxes(nodes: ReadonlyMap<string, Node>): { boxes: Box[]; edges: Edge[] } {
  const dependents = new Map<string, string[]>();
  for (const node of nodes.values()) {
    for (const need of node.needs) {
      const known = dependents.get(need);
      if (known) known.push(node.id);
      else dependents.set(need, [node.id]);
    }
  }
  const found = new Map<string, Box>();
  const of = new Map<string, string>();
  const columns = columnsOf(nodes);
  for (const node of nodes.values()) {
    const key = JSON.stringify([[...node.needs].sort(), (dependents.get(node.id) ?? []).sort(), prefix(node.id)]);
    const known = found.get(key);
    if (known) known.nodes.push(node);
    else found.set(key, { key, nodes: [node], column: columns.get(node.id) ?? 0 });
    of.set(node.id, key);
  }
  const edges = new Map<string, Edge>();
  for (const node of nodes.values()) {
    const to = of.get(node.id) as string;
    for (const need of node.needs) {
      const from = of.get(need);
      if (from !== undefined && from !== to) edges.set(`${from}\n${to}`, { from, to });
    }
  }
  return { boxes: [...found.values()], edges: [...edges.values()] };
}

/** Jobs of a called workflow stay together: `build / test` stands in `build`. */
function prefix(id: string): string {
  const cut = id.lastIndexOf(" / ");
  return cut < 0 ? "" : id.slice(0, cut);
}

function columnsOf(nodes: ReadonlyMap<string, Node>): Map<string, number> {
  const columns = new Map<string, number>();
  const waiting = new Map<string, number>();
  const dependents = new Map<string, string[]>();
  for (const node of nodes.values()) {
    const needs = node.needs.filter((need) => nodes.has(need));
    waiting.set(node.id, needs.length);
    for (const need of needs) dependents.set(need, [...(dependents.get(need) ?? []), node.id]);
  }
  let ready = [...nodes.keys()].filter((id) => !waiting.get(id));
  for (const id of ready) columns.set(id, 0);
  while (ready.length) {
    const next: string[] = [];
    for (const id of ready) {
      for (const dependent of dependents.get(id) ?? []) {
        columns.set(dependent, Math.max(columns.get(dependent) ?? 0, (columns.get(id) ?? 0) + 1));
        const left = (waiting.get(dependent) ?? 1) - 1;
        waiting.set(dependent, left);
        if (left === 0) next.push(dependent);
      }
    }
    ready = next;
  }
  return columns;
}

function heightOf(box: Box, open: ReadonlySet<string>): { rows: Node[]; height: number } {
  const folded = box.nodes.length > ROWS && !open.has(box.key);
  const rows = folded ? box.nodes.slice(0, ROWS - 1) : box.nodes;
  return { rows, height: (rows.length + (folded ? 1 : 0)) * ROW + PAD * 2 };
}

/** Places from a layered drawing made by dagre, loaded when the first graph with lines is drawn. */
export interface Point {
  x: number;
  y: number;
}
export type Place = (
  sizes: { key: string; width: number; height: number }[],
  edges: Edge[],
) => { centres: Map<string, Point>; routes: Map<Edge, Point[]> };

/** More boxes than these are placed column by column, which costs next to nothing. */
export const DAGRE_BOXES = 150;

export function layout(nodes: ReadonlyMap<string, Node>, open: ReadonlySet<string>, place: Place | null): Layout {
  const { boxes: all, edges } = boxes(nodes);
  const sized = all.map((box) => ({ ...box, ...heightOf(box, open), width: WIDTH }));
  const drawn = place && edges.length && all.length <= DAGRE_BOXES ? place(sized, edges) : null;
  const centres = drawn?.centres ?? byColumn(sized);
  const placed = new Map<string, Placed>();
  let left = Infinity;
  let top = Infinity;
  for (const box of sized) {
    const centre = centres.get(box.key) ?? { x: 0, y: 0 };
    const at = { ...box, x: centre.x - WIDTH / 2, y: centre.y - box.height / 2 };
    left = Math.min(left, at.x);
    top = Math.min(top, at.y);
    placed.set(box.key, at);
  }
  let width = 0;
  let height = 0;
  for (const box of placed.values()) {
    box.x = Math.round(box.x - left) + 1;
    box.y = Math.round(box.y - top) + 1;
    width = Math.max(width, box.x + box.width + 1);
    height = Math.max(height, box.y + box.height + 1);
  }
  const lines = edges.map((edge) => ({
    from: edge.from,
    to: edge.to,
    path: curve(
      placed.get(edge.from) as Placed,
      placed.get(edge.to) as Placed,
      (drawn?.routes.get(edge) ?? []).map((point) => ({ x: point.x - left + 1, y: point.y - top + 1 })),
    ),
  }));
  return { boxes: [...placed.values()], edges: lines, width, height };
}

function byColumn(sized: (Box & { height: number })[]): Map<string, Point> {
  const heights: number[] = [];
  const centres = new Map<string, Point>();
  for (const box of sized) {
    const y = heights[box.column] ?? 0;
    centres.set(box.key, { x: box.column * (WIDTH + GAP_X) + WIDTH / 2, y: y + box.height / 2 });
    heights[box.column] = y + box.height + GAP_Y;
  }
  return centres;
}

/** From the right of one box to the left of another, by way of points between the boxes. */
function curve(from: Placed, to: Placed, via: Point[]): string {
  const points = [{ x: from.x + from.width, y: from.y + from.height / 2 }, ...via, { x: to.x, y: to.y + to.height / 2 }];
  let path = `M${points[0]?.x} ${points[0]?.y}`;
  for (let at = 1; at < points.length; at++) {
    const before = points[at - 1] as Point;
    const next = points[at] as Point;
    const bend = (next.x - before.x) / 2;
    path += `C${before.x + bend} ${before.y} ${next.x - bend} ${next.y} ${next.x} ${next.y}`;
  }
  return path;
}

/** What a row of several jobs shows: the worst that holds, then what goes on. */
const WORST: readonly JobStatus[] = [
  "held",
  "failed",
  "timed-out",
  "cancelling",
  "preempting",
  "running",
  "starting",
  "assigned",
  "calling",
  "queued",
  "waiting",
  "pending",
  "cancelled",
  "succeeded",
  "skipped",
];

export function worst(counts: Counts): JobStatus {
  return WORST.find((status) => counts[status]) ?? "pending";
}

export function sum(nodes: readonly Node[]): Counts {
  const total: Counts = {};
  for (const node of nodes) {
    for (const [status, count] of Object.entries(node.counts) as [JobStatus, number][]) {
      total[status] = (total[status] ?? 0) + count;
    }
  }
  return total;
}
