import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const BUILT = join(HERE, "../src/relevo/console/static");
/** What the page is made of. tests/unit/console/test_static.py goes by the same names. */
const SOURCES = ["index.html", "package-lock.json", "package.json", "public", "src", "tsconfig.json", "vite.config.ts"];

function files(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => files(join(path, name)));
}

/** SHA-256 over names and contents, in the order of names. */
function digest(folder: string, paths: string[]): string {
  const hash = createHash("sha256");
  const named = paths.map((path) => ({ path, name: relative(folder, path).replaceAll("\\", "/") }));
  for (const { path, name } of named.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(`${name}\0${createHash("sha256").update(readFileSync(path)).digest("hex")}\n`);
  }
  return hash.digest("hex");
}

/** Files are served compressed, without the server doing it; and a test can tell whether the page that is committed is this one. */
const finish: Plugin = {
  name: "relevo-finish",
  apply: "build",
  closeBundle() {
    for (const path of files(BUILT)) {
      if (!/\.(js|css|html|svg)$/.test(path) || statSync(path).size < 512) continue;
      const packed = gzipSync(readFileSync(path), { level: 9 });
      packed[9] = 255; // the system that packed it: unknown, so that the bytes are the same everywhere
      writeFileSync(`${path}.gz`, packed);
    }
    const built = digest(BUILT, files(BUILT));
    const sources = digest(
      HERE,
      SOURCES.flatMap((name) => files(join(HERE, name))),
    );
    writeFileSync(join(BUILT, "built.json"), `${JSON.stringify({ sources, built }, null, 2)}\n`);
  },
};

export default defineConfig({
  base: "/",
  plugins: [finish],
  build: {
    outDir: BUILT,
    emptyOutDir: true,
    target: "es2022",
    // Colours are told for light and dark at once: light-dark() needs no twin of every rule.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // Small files stay files: the page's content security policy allows no data: addresses for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npx vite` beside a living `relevo up`: the page is made anew as its sources change.
  server: { proxy: { "/api": "http://127.0.0.1:7878" } },
});
