/** Actors as the tree of who supervises whom. */
import type { ActorState } from "../types";

export interface Branch {
  actor: ActorState;
  name: string;
  depth: number;
  /** Of it and all below it. */
  mail: number;
  below: number;
}

/** Parents before their children, children by name (numbers within names by value). */
export function tree(actors: readonly ActorState[], text = ""): Branch[] {
  const wanted = text.trim().toLowerCase();
  const parts = new Map(actors.map((actor) => [actor, actor.path.split("/").filter(Boolean)]));
  const paths = new Set(actors.map((actor) => actor.path.replace(/^\/|\/$/g, "")));
  const order = new Intl.Collator("en", { numeric: true });
  const sorted = [...actors].sort((a, b) => {
    const left = parts.get(a) as string[];
    const right = parts.get(b) as string[];
    for (let at = 0; at < Math.min(left.length, right.length); at++) {
      const differs = order.compare(left[at] as string, right[at] as string);
      if (differs) return differs;
    }
    return left.length - right.length;
  });
  const found: Branch[] = [];
  const open: Branch[] = [];
  for (const actor of sorted) {
    const names = parts.get(actor) as string[];
    // Indented below the nearest that is shown: a level without an actor of its own is part of the name.
    let depth = 0;
    let from = 0;
    for (let at = 1; at < names.length; at++) {
      if (paths.has(names.slice(0, at).join("/"))) {
        depth++;
        from = at;
      }
    }
    const branch = { actor, name: names.slice(from).join("/") || actor.path, depth, mail: actor.mailbox, below: 0 };
    open.length = depth;
    for (const parent of open) {
      parent.mail += actor.mailbox;
      parent.below++;
    }
    open.push(branch);
    if (!wanted || [actor.path, actor.kind, actor.about ?? ""].some((text) => text.toLowerCase().includes(wanted))) found.push(branch);
  }
  return found;
}
