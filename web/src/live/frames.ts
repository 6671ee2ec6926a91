/** Work that arrives faster than the screen is drawn: gathered, and done once a frame within a budget. */

/** Longest turn of gathered work, in milliseconds: what is left waits for the next frame, so that keys and scrolling stay quick. */
const TURN_MS = 8;

type Scheduler = (run: () => void) => void;

/** Frames while somebody looks; a hidden tab draws none, and its work must not pile up. */
export const nextFrame: Scheduler = (run) => {
  if (document.hidden) setTimeout(run, 200);
  else requestAnimationFrame(run);
};

/** What waits (keys, scrolling, a frame) comes first. */
export const nextTask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

export class Batches<T> {
  #waiting: T[] = [];
  #from = 0;
  #asked = false;

  /** `done` is called after each turn with something in it: that is when to draw. */
  constructor(
    private readonly each: (item: T) => void,
    private readonly done: () => void,
    private readonly schedule: Scheduler = nextFrame,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  get waiting(): number {
    return this.#waiting.length - this.#from;
  }

  add(item: T): void {
    this.#waiting.push(item);
    if (this.#asked) return;
    this.#asked = true;
    this.schedule(() => this.#turn());
  }

  #turn(): void {
    const end = this.clock() + TURN_MS;
    const all = this.#waiting;
    try {
      while (this.#from < all.length) {
        this.each(all[this.#from++] as T);
        if ((this.#from & 15) === 0 && this.clock() > end) break;
      }
      this.done();
    } finally {
      if (this.#from >= all.length) {
        this.#waiting = [];
        this.#from = 0;
        this.#asked = false;
      } else {
        this.schedule(() => this.#turn());
      }
    }
  }
}
