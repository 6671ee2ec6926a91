import { readFileSync } from "node:fs";

import { stats } from "./stats.js";

console.log(JSON.stringify(stats(JSON.parse(readFileSync(0, "utf8")))));
