/** Which screen an address shows. */

export type Route =
  | { screen: "runs" }
  | { screen: "run"; run: string }
  | { screen: "job"; run: string; job: number }
  | { screen: "workers" }
  | { screen: "queue" }
  | { screen: "actors" }
  | { screen: "nowhere" };

export function match(path: string): Route {
  const [first, second, third, fourth, ...more] = path.split("/").filter(Boolean).map(decodeURIComponent);
  if (more.length) return { screen: "nowhere" };
  if (!first || (first === "runs" && !second)) return { screen: "runs" };
  if (first === "runs" && second && !third) return { screen: "run", run: second };
  if (first === "runs" && second && third === "jobs" && /^\d+$/.test(fourth ?? "")) {
    return { screen: "job", run: second, job: Number(fourth) };
  }
  if (!second && (first === "workers" || first === "queue" || first === "actors")) return { screen: first };
  return { screen: "nowhere" };
}

/** The address of what holds a place; null for those that nothing holds. */
export function above(place: Route): string | null {
  if (place.screen === "job") return `/runs/${encodeURIComponent(place.run)}`;
  return place.screen === "run" ? "/runs" : null;
}
