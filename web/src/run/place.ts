/** dagre behind graph.ts's `Place`; a chunk of its own. */
import { Graph, layout } from "@dagrejs/dagre";
import type { Edge, Place, Point } from "./graph";

export const place: Place = (sizes, edges) => {
  const graph = new Graph();
  // Turned around (from right to left, needs after what needs them), so that jobs that need nothing stand at the left edge.
  graph.setGraph({ rankdir: "RL", nodesep: 14, ranksep: 52, edgesep: 14, ranker: "longest-path" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { key, width, height } of sizes) graph.setNode(key, { width, height });
  for (const { from, to } of edges) graph.setEdge(to, from, { width: 0, height: 0 });
  layout(graph);
  const centres = new Map<string, Point>();
  for (const { key } of sizes) {
    const { x, y } = graph.node(key) as Point;
    centres.set(key, { x, y });
  }
  const routes = new Map<Edge, Point[]>();
  for (const edge of edges) {
    const { points } = graph.edge(edge.to, edge.from) as { points: Point[] };
    // The first and the last lie on the boxes; those between only matter where a line passes other boxes.
    routes.set(edge, points.length > 3 ? points.slice(1, -1).reverse() : []);
  }
  return { centres, routes };
};
