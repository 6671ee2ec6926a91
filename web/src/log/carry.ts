/** Colours that go on from one line of a step to the next. */
import type { LogLine } from "../types";
import { carried } from "./ansi";

/** Lines before one in sight that are looked at: colours of a paragraph that began further up are not seen. */
const FAR = 500;

export class Carry {
  #next = -1;
  #state = "";
  #step = -1;

  constructor(private readonly line: (number: number) => LogLine | undefined) {}

  /** What is in force where a line begins. Asked in order, each line is looked at once. */
  before(number: number): string {
    const step = this.line(number)?.step;
    if (step === undefined) return "";
    let from = number;
    let state = "";
    if (this.#step === step && this.#next <= number && number - this.#next <= FAR) {
      from = this.#next;
      state = this.#state;
    } else {
      while (from > 0 && number - from < FAR && this.line(from - 1)?.step === step) from--;
    }
    for (; from < number; from++) state = carried(state, this.line(from)?.text ?? "");
    this.#next = number;
    this.#state = state;
    this.#step = step;
    return state;
  }
}
