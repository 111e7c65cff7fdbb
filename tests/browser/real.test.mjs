// SPDX-License-Identifier: Apache-2.0
// The console against a real centre:  CENTRALE_URL=http://127.0.0.1:7070 [CENTRALE_KEY=…] node --test real.test.mjs
// It submits one short job of its own and changes nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./browser.mjs";

const url = process.env.CENTRALE_URL?.replace(/\/$/, "");
const key = process.env.CENTRALE_KEY;
const kPatience_ms = 30_000;

async function call(method, path, body) {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...(body ? { "Content-Type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

test("the console shows a real centre and stops a real job", { skip: url ? false : "CENTRALE_URL is not set", timeout: 120_000 }, async () => {
  const browser = await launch();
  let submitted = null;
  try {
    const page = await (await browser.newContext({ viewport: { width: 1440, height: 900 } })).newPage();
    page.setDefaultTimeout(kPatience_ms);
    const problems = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !/status of 401/.test(message.text())) problems.push(message.text());
    });
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(`${url}/`)) problems.push(`a request to ${request.url()}`);
    });

    const answer = await page.goto(`${url}/`);
    assert.match(answer.headers()["content-security-policy"] ?? "", /default-src 'self'/);
    if (key) {
      await page.getByRole("textbox", { name: "Key" }).fill(key);
      await page.keyboard.press("Enter");
    }
    await page.getByText("Live", { exact: true }).waitFor();

    const centre = await call("GET", "/centre");
    await page.locator(".facts", { hasText: centre.version }).waitFor();
    await page.locator(".facts", { hasText: `${centre.journal.kind}, healthy` }).waitFor();
    assert.equal(await page.locator(".centre-name").innerText(), centre.name);
    const { nodes } = await call("GET", "/nodes");
    const chips = nodes.flatMap((node) => node.chips);
    assert.ok(chips.length > 0, "the machine has at least one chip");
    if (chips.length <= 2000) assert.equal(await page.locator("#chips .cell").count(), chips.length);

    // While the page is open: a job comes, runs, writes, and is stopped from the page.
    const name = `console-${process.pid}`;
    const script =
      'i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo "line $i <b>of the test</b>"; ' +
      'echo "@centrale {\\"step\\":$i,\\"steps\\":600,\\"loss\\":$((700-i))}"; sleep 0.2; done';
    submitted = (await call("POST", "/jobs", { name, command: ["/bin/sh", "-c", script] })).id;
    const row = page.locator("#jobs tbody tr", { hasText: name });
    await row.waitFor();
    await page.locator("#jobs tbody tr", { hasText: name }).filter({ hasText: "Running" }).waitFor();
    await row.click();
    const panel = page.locator("#job");
    await panel.locator(".log", { hasText: "line 3 <b>of the test</b>" }).waitFor();
    await panel.locator(".chart canvas").waitFor();
    assert.match(await panel.innerText(), /Runs on/);
    await panel.getByRole("button", { name: "Stop job" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop job" }).click();
    await page.locator("#jobs tbody tr", { hasText: name }).filter({ hasText: "Cancelled" }).waitFor();
    submitted = null;
    assert.match((await call("GET", `/jobs?name=${name}`)).jobs[0].state, /cancelled/);
    await page.locator("#usage tbody tr").first().waitFor();
    assert.deepEqual(problems, []);
  } finally {
    if (submitted) await call("POST", `/jobs/${submitted}/stop`, {}).catch(() => undefined);
    await browser.close();
  }
});
