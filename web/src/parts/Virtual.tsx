/** A list of which only the rows in sight exist. All rows have one height, so any number of them costs the same. */
import type { ComponentChildren, RefObject } from "preact";
import { useImperativeHandle, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { Scroller } from "../log/scroller";

export interface VirtualHandle {
  /** Brings a row into sight: topmost, or in the middle. */
  show(row: number, where?: "start" | "middle" | "nearest"): void;
  end(): void;
  focus(): void;
}

interface Props {
  rows: number;
  height: number;
  /** Rows from `first` to before `last`. */
  render: (first: number, last: number) => ComponentChildren;
  label: string;
  class?: string;
  /** Draws anew when any of these changes. */
  handle?: RefObject<VirtualHandle | null>;
  /** Stay at the end as rows come. */
  follow?: boolean;
  /** The user (not `follow`) scrolled; whether the end is in sight. */
  scrolled?: (atEnd: boolean) => void;
  /** Which rows are in sight after a drawing. */
  sight?: (first: number, last: number) => void;
  role?: "list" | "region";
}

const OVER = 12;

export function Virtual(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const state = useRef({ scroller: new Scroller(props.height), at: 0, follow: false, scrollTop: 0 });
  const [, draw] = useReducer((n: number, _: void) => n + 1, 0);
  const { scroller } = state.current;
  if (scroller.row !== props.height) state.current.scroller = new Scroller(props.height);
  state.current.scroller.resize(props.rows, scroller.view);
  if (props.follow) state.current.at = Math.max(0, scroller.whole - scroller.view);
  const at = Math.max(0, Math.min(state.current.at, scroller.whole - scroller.view));
  const seen = Math.ceil(scroller.view / props.height) + 1;
  const top = Math.floor(at / props.height);
  const first = Math.max(0, top - OVER);
  const last = Math.min(props.rows, top + seen + OVER);

  const move = (to: number) => {
    const element = box.current;
    if (!element) return;
    const scrollTop = scroller.to(to);
    state.current.at = Math.max(0, Math.min(to, scroller.whole - scroller.view));
    if (Math.abs(element.scrollTop - scrollTop) >= 1) {
      element.scrollTop = scrollTop;
      state.current.scrollTop = element.scrollTop;
    }
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => {
      if (element.clientHeight === scroller.view) return;
      scroller.resize(props.rows, element.clientHeight);
      draw();
    });
    scroller.resize(props.rows, element.clientHeight);
    draw();
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (props.follow) move(scroller.whole);
    props.sight?.(top, Math.min(props.rows, top + seen));
  });

  useImperativeHandle(
    props.handle as RefObject<VirtualHandle>,
    () => ({
      show(row, where = "start") {
        const { at: now } = state.current;
        const start = row * props.height;
        if (where === "nearest" && start >= now && start + props.height <= now + scroller.view) return;
        const lead = where === "start" ? 0 : where === "nearest" && start < now ? props.height : (scroller.view - props.height) / 2;
        move(start - lead);
        draw();
      },
      end() {
        move(scroller.whole);
        draw();
      },
      focus() {
        box.current?.focus();
      },
    }),
    [props.height],
  );

  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    // Our own movement comes back as an event, too.
    const ours = Math.abs(element.scrollTop - state.current.scrollTop) < 1;
    state.current.scrollTop = element.scrollTop;
    if (!ours) {
      const { at: to, scrollTo } = scroller.scrolled(element.scrollTop);
      state.current.at = to;
      if (scrollTo !== undefined) {
        element.scrollTop = scrollTo;
        state.current.scrollTop = element.scrollTop;
      }
      props.scrolled?.(scroller.whole - scroller.view - to < props.height * 1.5);
    }
    draw();
  };

  return (
    <div
      ref={box}
      class={`virtual ${props.class ?? ""}`}
      onScroll={scrolled}
      tabIndex={0}
      role={props.role ?? "region"}
      aria-label={props.label}
    >
      <div class="virtual-whole" style={{ height: `${scroller.height}px` }} />
      <div class="virtual-rows" style={{ transform: `translateY(${scroller.drawn(first)}px)` }}>
        {props.render(first, last)}
      </div>
    </div>
  );
}
