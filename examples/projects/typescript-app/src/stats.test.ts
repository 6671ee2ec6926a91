import assert from "node:assert/strict";
import { test } from "node:test";

import { stats } from "./stats.js";

test("odd and even", () => {
  assert.deepEqual(stats([3, 1, 2]), { count: 3, median: 2, mean: 2 });
  assert.equal(stats([1, 2, 3, 10]).median, 2.5);
});

test("nothing has no mean", () => {
  assert.throws(() => stats([]), RangeError);
});
