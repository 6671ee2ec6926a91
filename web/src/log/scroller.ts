/**
 * Scrolling through more rows than a browser can lay out.
 *
 * No browser draws an element much taller than ten million pixels, and ten million log lines are two hundred. So the element that
 * scrolls has a height that is bounded; small movements move by exact pixels, and a jump (the bar dragged, Home, End) goes to
 * the same share of the whole. Between the two lies an offset, which is taken up where nobody can see it.
 * Source of the method: M. Leibman, SlickGrid (2009).
 */

/** Every browser can do this. */
export const MOST_PX = 6_000_000;

export class Scroller {
  /** Of all rows, pixels. */
  whole = 0;
  /** Of the element that scrolls, pixels. */
  height = 0;
  /** Pixels that the rows are above where they would be without bounds. */
  #offset = 0;
  #last = 0;

  constructor(
    readonly row: number,
    public view = 0,
  ) {}

  get scaled(): boolean {
    return this.whole > this.height;
  }

  resize(rows: number, view: number): void {
    this.whole = rows * this.row;
    this.view = view;
    this.height = Math.min(this.whole, MOST_PX);
    if (!this.scaled) this.#offset = 0;
  }

  /** The browser scrolled; returns the topmost pixel of the whole, and, when it must move, where the element is to be scrolled. */
  scrolled(top: number): { at: number; scrollTo?: number } {
    if (!this.scaled) {
      this.#last = top;
      return { at: top };
    }
    const most = this.height - this.view;
    const far = this.whole - this.view;
    if (top <= 0) this.#offset = 0;
    else if (top >= most) this.#offset = far - most;
    else if (Math.abs(top - this.#last) > this.view * 2) this.#offset = Math.round((top / most) * far) - top;
    this.#last = top;
    const at = Math.max(0, Math.min(far, top + this.#offset));
    // Small movements near an end of the element, while the whole goes on: take up the offset.
    const room = this.view * 3;
    const ideal = Math.round((at / far) * most);
    if ((top < room && at > top) || (most - top < room && far - at > most - top)) {
      const scrollTo = Math.max(room < ideal ? 1 : 0, Math.min(most, ideal));
      if (Math.abs(scrollTo - top) > 1) {
        this.#last = scrollTo;
        this.#offset = at - scrollTo;
        return { at, scrollTo };
      }
    }
    return { at };
  }

  /** Where the element is to be scrolled so that this pixel of the whole is topmost. */
  to(at: number): number {
    const far = Math.max(0, this.whole - this.view);
    const bounded = Math.max(0, Math.min(far, at));
    if (!this.scaled) {
      this.#last = bounded;
      return bounded;
    }
    const top = Math.round((bounded / far) * (this.height - this.view));
    this.#offset = bounded - top;
    this.#last = top;
    return top;
  }

  /** Where in the element a row is to be drawn. */
  drawn(index: number): number {
    return index * this.row - this.#offset;
  }
}
