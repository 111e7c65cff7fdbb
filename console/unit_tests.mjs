// SPDX-License-Identifier: Apache-2.0
// Bundles each src/**/*.test.ts and hands it to Node's own test runner: the oldest Node that we support cannot read TypeScript.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "node_modules", ".unit_tests");

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

const entryPoints = testFiles(join(here, "src"));
if (entryPoints.length === 0) throw new Error("no test found under src/");
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints, outdir: out, outbase: join(here, "src"), outExtension: { ".js": ".mjs" },
  bundle: true, platform: "node", format: "esm", target: "node18", sourcemap: "inline", logLevel: "warning",
});
const bundles = entryPoints.map((path) => join(out, path.slice(join(here, "src/").length).replace(/\.ts$/, ".mjs")));
const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...bundles], { stdio: "inherit", cwd: here });
process.exit(run.status ?? 1);
