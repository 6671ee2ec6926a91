import assert from "node:assert/strict";
import { test } from "node:test";

import { format, parse } from "../lib/index.js";

test("there and back", () => {
  for (const text of ["1h30m", "45s", "2h1s"]) {
    assert.equal(format(parse(text)), text);
  }
  assert.equal(format(0), "0s");
});

test("what is no duration", () => {
  for (const text of ["", "1", "h", "1h 30m"]) {
    assert.throws(() => parse(text), RangeError);
  }
});
