// SPDX-License-Identifier: Apache-2.0
// The console in a real browser against a centre that only speaks the API. Every test also fails on any error of the page, and on
// any request to somebody else.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { busyHall } from "./busy_hall.mjs";
import { chip, FakeCentre, job, service, usageLine } from "./fake_centre.mjs";

const kPatience_ms = 15_000;
const kOptions = { timeout: 60_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/// Opens the console, runs the test, and looks at what went wrong meanwhile. `expected`: browser messages that belong to the test.
async function visit(centre, run, { expected = null, place = "", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(kPatience_ms);
  const problems = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected?.test(message.text())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${centre.url}/`)) problems.push(`a request to ${request.url()}`);
  });
  try {
    await page.goto(`${centre.url}/${place}`);
    await run(page);
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
  }
}

async function withCentre(fill, run, options) {
  const centre = new FakeCentre();
  fill(centre);
  await centre.listen();
  try {
    await visit(centre, (page) => run(page, centre), options);
  } finally {
    await centre.close().catch(() => undefined); // some tests close it themselves
  }
}

async function eventually(check, what) {
  const end = Date.now() + kPatience_ms;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) assert.fail(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

const live = (page) => page.getByText("Live", { exact: true }).waitFor();
const row = (page, id) => page.locator("#jobs tbody tr", { has: page.locator(`a[href="#/jobs/${id}"]`) });
const posts = (centre) => centre.calls.filter((call) => call.startsWith("POST /api"));
const progress = (step, loss, more = {}) => ({
  step, steps: 100, loss, tokens: step * 512, tokens_per_s: 9120, eta_s: 100 - step, checkpoint: null, ...more,
});

function smallHall(centre) {
  const held = { task: "t1", job: "j1", service: null, name: "train" };
  const serving = { task: "t2", job: null, service: "s1", name: "chat" };
  centre.nodes.set("n1", {
    id: "n1", name: "alpha", state: "up", memory_bytes: 2 ** 36, since: null,
    chips: [
      chip("c1", "h100", 0, { holder: held, utilisation: 0.93, power_now_w: 611, power_w: 700 }), chip("c2", "h100", 1, { holder: serving }),
      chip("c3", "h100", 2), chip("c4", "h100", 3, { health: "failed" }),
    ],
  });
  centre.nodes.set("n2", { id: "n2", name: "beta", state: "drained", memory_bytes: null, since: null, chips: [chip("c5", "cpu", 0)] });
  centre.jobs.set("j1", job("j1", "train", {
    state: "running", wait: null, attempts: 1, task: "t1", started: new Date(Date.now() - 60_000).toISOString(), runtime_s: 60,
    placement: [{ node: "n1", chip: "c1", kind: "h100" }], progress: progress(40, 3.25), tenant: "lab",
  }));
  centre.jobs.set("j2", job("j2", "later", { after: ["j1"], wait: "dependency" }));
  centre.jobs.set("j3", job("j3", "broken", { state: "failed", wait: null, message: "exit code 65: no such file", runtime_s: 3 }));
  centre.services.set("s1", service("s1", "chat", {
    state: "ready", model: "job:train", replicas_ready: 1, replicas: [{ ordinal: 0, task: "t2", state: "running", ready: true, port: 4000, node: "n1", message: "", failures: 0 }],
    usage: usageLine("s1", "chat", { requests: 12, prompt_tokens: 1000, completion_tokens: 234 }),
  }));
  centre.tenants.set("u1", usageLine("u1", "default", { device_s: 7200, energy_j: 7200, energy_estimated: true, tokens_trained: 20_480, cost: "1.5" }));
  centre.tenants.set("u2", usageLine("u2", "lab", { device_s: 60, energy_j: 900, prompt_tokens: 1000, completion_tokens: 234, cost: "0.0042" }));
}

test("the lists say what the centre says", kOptions, () =>
  withCentre(smallHall, async (page, centre) => {
    await live(page);
    assert.equal(await page.title(), "hall-2 · Centrale");
    const facts = await page.locator(".facts").innerText();
    for (const word of ["fifo", "sqlite, healthy", "2 / 5", "611 W", "1 h 02 min", "0.1.0"]) assert.ok(facts.includes(word), `${word} in: ${facts}`);

    const labels = await page.locator("#chips .cell").evaluateAll((cells) => cells.map((cell) => cell.getAttribute("aria-label")));
    assert.equal(labels.length, 5);
    assert.match(labels[0], /^h100 #0: alpha · c1, Held by job train \(j1\), Task t1, Utilisation 93 % · Power 611 W \/ 700 W/);
    assert.match(labels[1], /Held by service chat \(s1\)/);
    assert.match(labels[3], /Failed/);
    assert.match(labels[4], /drained/);
    const colours = await page.locator("#chips .cell").evaluateAll((cells) => cells.map((cell) => cell.dataset.colour));
    assert.deepEqual(colours, ["job", "service", "free", "failed", "off"]);
    await page.locator("#chips .cell").first().hover();
    assert.match(await page.getByRole("tooltip").innerText(), /Held by job train/);
    await page.getByRole("radio", { name: "Utilisation" }).check();
    await eventually(async () => (await page.locator("#chips .cell").first().getAttribute("data-colour")) === "level-5", "coloured by utilisation");

    assert.deepEqual(await page.locator("#jobs tbody th").allInnerTexts(), ["train", "later", "broken"]);
    assert.match(await row(page, "j1").innerText(), /lab\s+Running\s+1 × h100\s+40 %\s+3\.250\s+9,120\s+1 min 00 s/);
    assert.equal(await row(page, "j1").locator("progress").getAttribute("value"), "0.4");
    assert.match(await row(page, "j2").innerText(), /Queued.*waits for other jobs/s);
    assert.match(await row(page, "j3").innerText(), /Failed.*exit code 65/s);

    assert.match(await page.locator("#services").innerText(), /chat\s+Ready\s+job:train.*1 of 1 ready.*1,234.*12.*Replica 0 · ready · alpha/s);
    const usage = await page.locator("#usage tbody").innerText();
    assert.match(usage, /default\s+2\.00 h\s+≈ 2\.00 Wh\s+20\.5 k\s+0\s+1\.50/);
    assert.match(usage, /lab\s+60\.0 s\s+900 J\s+0\s+1,234\s+0\.0042/);
    assert.match(await page.locator("#usage thead").innerText(), /Cost, EUR/);
    assert.ok(centre.calls.some((call) => call.startsWith("GET /api/v1/events")));
  }));

test("a centre without anything says what to do next", kOptions, () =>
  withCentre(() => undefined, async (page) => {
    await live(page);
    for (const command of ["centrale nodes", "centrale submit examples/train-small.yaml", "centrale serve examples/serve-small.yaml"]) {
      await page.locator(".empty code", { hasText: command }).waitFor();
    }
    await page.getByText("Nothing was used yet").waitFor();
    assert.equal(await page.locator("#jobs table").isVisible(), false);
  }));

test("what happens in the centre shows by itself, and is said aloud", kOptions, () =>
  withCentre(smallHall, async (page, centre) => {
    await live(page);
    centre.changeJob("j1", { progress: progress(41, 3.125, { tokens_per_s: 8000 }) });
    await eventually(async () => /41 %\s+3\.125\s+8,000/.test(await row(page, "j1").innerText()), "progress");
    assert.match(await row(page, "j1").locator("polyline").getAttribute("points"), /^0\.0,0\.0 48\.0,14\.0$/);

    centre.putJob(job("j4", "newcomer"));
    await row(page, "j4").waitFor();
    centre.changeJob("j1", { state: "done", runtime_s: 75, finished: new Date().toISOString() });
    await eventually(async () => /Done.*1 min 15 s/s.test(await row(page, "j1").innerText()), "the end");
    await page.locator('[aria-live="polite"]', { hasText: "Job train: done." }).waitFor({ state: "attached" });
    await eventually(async () => (await page.getByRole("radio", { name: /^Done/ }).locator("xpath=..").innerText()).includes("1"), "the count of ended jobs");

    const freed = structuredClone(centre.nodes.get("n1"));
    freed.chips[0].holder = null;
    centre.putNode(freed);
    await eventually(async () => (await page.locator("#chips .cell").first().getAttribute("data-colour")) === "free", "a free chip");

    centre.putService({ ...centre.services.get("s1"), state: "degraded", replicas_ready: 0 });
    await page.locator("#services", { hasText: "Degraded" }).waitFor();
    centre.removeService("s1");
    await page.locator("#services", { hasText: "No services yet" }).waitFor();
    centre.putTenant(usageLine("u2", "lab", { device_s: 90, cost: "0.25" }));
    await page.locator("#usage tbody", { hasText: "0.2500" }).waitFor();
  }));

test("a job's panel has its facts, its loss from the log and its log, which goes on", kOptions, () =>
  withCentre(
    (centre) => {
      smallHall(centre);
      centre.logs.set("j1/0/out", 'hello from rank 0\n@centrale {"step":1,"loss":9.5}\n@centrale {"step":20,"loss":5}\n');
      centre.logs.set("j1/0/err", "a warning\n");
    },
    async (page, centre) => {
      await row(page, "j1").click();
      const panel = page.locator("#job");
      await panel.getByText("hello from rank 0").waitFor();
      assert.equal(new URL(page.url()).hash, "#/jobs/j1");
      assert.match(await panel.innerText(), /Runs on\s+1 × h100: alpha \(c1\)/);
      await panel.getByText("3.250 at step 40").waitFor();
      await eventually(
        async () => (await panel.locator(".chart").getAttribute("aria-label")) === "Loss over 3 points, from 9.500 to 3.250", "three points of the loss",
      );
      assert.ok((await panel.locator("canvas").boundingBox()).width > 300);
      assert.equal(await page.locator("#chips .cell[data-selected]").count(), 1);

      centre.logs.set("j1/0/out", `${centre.logs.get("j1/0/out")}one more line\n`);
      await panel.getByText("one more line").waitFor();
      await panel.getByRole("radio", { name: "stderr" }).check();
      await panel.getByText("a warning").waitFor();
      assert.equal(await panel.getByText("one more line").count(), 0);

      await page.goto(`${centre.url}/#/jobs/j99`);
      await panel.getByText("This job cannot be shown").waitFor();
      await panel.getByText("no job 'j99'").waitFor();
    },
    { expected: /status of 404/ },
  ));

test("stopping a job asks first; no means no", kOptions, () =>
  withCentre(
    smallHall,
    async (page, centre) => {
      await row(page, "j1").click();
      const stop = page.locator("#job").getByRole("button", { name: "Stop job" });
      await stop.click();
      const dialog = page.getByRole("dialog", { name: "Stop job train (j1)?" });
      await dialog.waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.textContent), "Let it run");
      await page.keyboard.press("Enter");
      await dialog.waitFor({ state: "detached" });
      await stop.click();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      assert.deepEqual(posts(centre), []);
      assert.equal(centre.jobs.get("j1").state, "running");

      await stop.click();
      await dialog.getByRole("button", { name: "Stop job" }).click();
      await eventually(async () => /Stopping/.test(await row(page, "j1").innerText()), "the job stops");
      assert.deepEqual(posts(centre), ["POST /api/v1/jobs/j1/stop"]);
      assert.equal(await page.locator("#job").getByRole("button", { name: "Stopping …" }).isDisabled(), true);
      centre.changeJob("j1", { state: "cancelled", message: "stopped by lab" });
      await page.locator("#job", { hasText: "stopped by lab" }).waitFor();
      assert.equal(await page.locator("#job .danger").isVisible(), false);

      centre.refuseStop = "viewers may not stop jobs";
      await row(page, "j2").click();
      await page.locator("#job").getByRole("button", { name: "Stop job" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Stop job" }).click();
      await page.getByRole("alert").getByText("viewers may not stop jobs").waitFor();
      assert.equal(centre.jobs.get("j2").state, "queued");
      await page.getByRole("button", { name: "Dismiss" }).click();
    },
    { expected: /status of 403/ },
  ));

test("when the centre goes away the page says so, keeps what it knows, and comes back by itself", kOptions, () =>
  withCentre(
    smallHall,
    async (page, centre) => {
      await live(page);
      const { port } = centre;
      await centre.close();
      await page.getByText("No connection").waitFor();
      await page.getByText("The centre does not answer. What you see is its last known state.").waitFor();
      await page.locator('[aria-live="polite"]', { hasText: "Connection to the centre lost" }).waitFor({ state: "attached" });
      assert.equal(await page.locator("#jobs tbody tr").count(), 3);

      centre.jobs.delete("j2");
      centre.jobs.set("j1", { ...centre.jobs.get("j1"), state: "done", runtime_s: 100 });
      centre.jobs.set("j5", job("j5", "while-away"));
      await centre.listen(port);
      await live(page);
      await row(page, "j5").waitFor();
      assert.match(await row(page, "j1").innerText(), /Done/);
      assert.equal(await row(page, "j2").count(), 0);
      assert.equal(await page.locator(".banner").isVisible(), false);
      centre.putJob(job("j6", "after-all"));
      await row(page, "j6").waitFor();
    },
    { expected: /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY_RESPONSE|Failed to load resource/ },
  ));

test("a centre with keys asks for one, and keeps it in the tab only", kOptions, () =>
  withCentre(
    (centre) => {
      smallHall(centre);
      centre.key = "ck-right";
    },
    async (page) => {
      const dialog = page.getByRole("dialog", { name: "This centre asks for a key" });
      await dialog.waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.id), "key");
      assert.equal(await page.locator("#jobs tbody tr").count(), 0);
      await page.keyboard.press("Escape");
      assert.equal(await dialog.isVisible(), true);
      await page.keyboard.type("two words");
      await page.keyboard.press("Enter");
      await dialog.getByText("A key has no spaces").waitFor();
      await page.getByRole("textbox", { name: "Key" }).fill("ck-wrong");
      await page.keyboard.press("Enter");
      await dialog.getByText("The centre does not accept this key.").waitFor();
      await page.getByRole("textbox", { name: "Key" }).fill("ck-right");
      await page.keyboard.press("Enter");
      await row(page, "j1").waitFor();
      assert.equal(await dialog.count(), 0);
      assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, Object.values(sessionStorage)]), [0, "", ["ck-right"]]);

      await page.reload();
      await row(page, "j1").waitFor();
      await page.getByRole("button", { name: "Forget key" }).click();
      await dialog.waitFor();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    },
    { expected: /status of 401/ },
  ));

test("a key that is withdrawn is asked for again", kOptions, () =>
  withCentre(
    smallHall,
    async (page, centre) => {
      await live(page);
      centre.key = "ck-new";
      for (const stream of centre.streams) stream.end();
      await page.getByRole("dialog", { name: "This centre asks for a key" }).waitFor();
      await page.getByRole("textbox", { name: "Key" }).fill("ck-new");
      await page.getByRole("button", { name: "Connect" }).click();
      await live(page);
    },
    { expected: /status of 401/ },
  ));

test("text from jobs, logs, services, tenants and models is text, whatever it looks like", kOptions, () => {
  const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"\'><b>';
  return withCentre(
    (centre) => {
      smallHall(centre);
      centre.name = evil;
      centre.policy = evil;
      centre.journal = { ok: false, message: evil, kind: evil };
      centre.nodes.set("n3", { id: "n3", name: evil, state: "up", memory_bytes: 1, since: null, chips: [chip("c9", evil, 0, { holder: { task: evil, job: "j7", service: null, name: evil } })] });
      centre.jobs.set("j7", job("j7", evil, {
        state: "running", tenant: evil, message: evil, command: [evil], workdir: evil, checkpoints: evil, chip_kinds: [evil], attempts: 1, after: [evil],
        placement: [{ node: evil, chip: evil, kind: evil }], progress: progress(1, 2, { checkpoint: evil }),
      }));
      centre.jobs.set("j8", job("j8", evil, { state: "failed", message: evil }));
      centre.logs.set("j7/0/out", `${evil}\n\x1b[31m${evil}\x1b[0m\n`);
      centre.services.set("s9", service("s9", evil, {
        model: evil, tenant: evil, replicas_ready: 1, replicas: [{ ordinal: 0, task: evil, state: evil, ready: false, port: 1, node: evil, message: evil, failures: 2 }],
      }));
      centre.tenants.set("u9", usageLine("u9", evil, { device_s: 1 }));
      centre.answer = [evil];
    },
    async (page, centre) => {
      await row(page, "j7").click();
      await page.locator("#job .log", { hasText: "onerror" }).waitFor();
      assert.equal((await page.locator("#job .log").innerText()).trim(), `${evil}\n${evil}`);
      await page.getByRole("radio", { name: "Holder" }).check();
      await page.locator("#chips .cell").last().hover();
      assert.ok((await page.getByRole("tooltip").innerText()).includes(evil));
      await page.locator("#service-s9").getByRole("button", { name: /Try service/ }).click();
      await page.locator("#service-s9").getByRole("button", { name: "Send" }).click();
      await page.locator("#service-s9 output", { hasText: "onerror" }).waitFor();
      await page.locator("#job").getByRole("button", { name: "Stop job" }).click();
      assert.ok((await page.getByRole("dialog").innerText()).includes(evil));
      centre.refuseStop = evil;
      await page.getByRole("dialog").getByRole("button", { name: "Stop job" }).click();
      await page.getByRole("alert").getByText("onerror").waitFor();
      assert.equal(await page.locator("img, b, body script").count(), 0);
      assert.equal(await page.evaluate(() => window.hacked), undefined);
      assert.ok((await page.locator("#usage tbody").innerText()).includes(evil));
      // And where a hole would be found one day, the browser itself refuses.
      assert.match(await page.evaluate(() => { try { document.body.innerHTML = "<i></i>"; return "written"; } catch (error) { return String(error); } }), /TrustedHTML/);
    },
    { expected: /status of 403|TrustedHTML/ },
  );
});

test("the state filter, the search and “show more” find any of many jobs", kOptions, () =>
  withCentre(
    (centre) => {
      for (let i = 1; i <= 450; i += 1) centre.jobs.set(`j${i}`, job(`j${i}`, `many-${i}`, { state: i === 3 ? "failed" : i === 2 ? "running" : "queued" }));
    },
    async (page, centre) => {
      await live(page);
      // Read apart from the newest page: what runs is never missed.
      await row(page, "j2").waitFor();
      assert.equal(await page.locator("#jobs tbody tr").count(), 100);
      await page.getByRole("radio", { name: /^Failed/ }).check();
      await row(page, "j3").waitFor();
      assert.equal(await page.locator("#jobs tbody tr").count(), 1);
      assert.ok(centre.calls.some((call) => call.startsWith("GET /api/v1/jobs?") && call.includes("state=failed")));
      await page.getByRole("radio", { name: /^Done/ }).check();
      await page.getByText("No job matches").waitFor();

      await page.getByRole("radio", { name: /^Queued/ }).check();
      await eventually(async () => (await page.locator("#jobs tbody tr").count()) === 100, "the queue");
      for (let i = 0; i < 8 && (await page.getByRole("button", { name: "Show more" }).isVisible()); i += 1) {
        const rows = await page.locator("#jobs tbody tr").count();
        await page.getByRole("button", { name: "Show more" }).click();
        await eventually(async () => (await page.locator("#jobs tbody tr").count()) !== rows || !(await page.getByRole("button", { name: "Show more" }).isVisible()), "more rows");
      }
      assert.equal(await page.locator("#jobs tbody tr").count(), 448);
      await page.getByRole("searchbox").fill("MANY-44");
      await eventually(async () => (await page.locator("#jobs tbody tr").count()) === 11, "the search");
    },
  ));

test("a service can be tried: the answer streams, a refusal is told, stop stops", kOptions, () =>
  withCentre(
    (centre) => {
      smallHall(centre);
      centre.services.set("s2", service("s2", "cold"));
    },
    async (page, centre) => {
      await live(page);
      assert.equal(await page.getByRole("button", { name: "Try service cold" }).isDisabled(), true);
      await page.getByRole("button", { name: "Try service chat" }).click();
      assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA");
      const box = page.getByRole("form", { name: "Try service chat" });
      await box.getByLabel("Prompt").fill("What is a gear?");
      await box.getByLabel("Tokens at most").fill("32");
      await page.keyboard.press("Control+Enter");
      await box.getByText("Hello there.").waitFor();
      await box.getByText(/^3 tokens · first after/).waitFor();
      const [question] = centre.questions;
      assert.equal(question.model, "chat");
      assert.equal(question.stream, true);
      assert.equal(question.max_tokens, 32);
      assert.deepEqual(question.messages, [{ role: "user", content: "What is a gear?" }]);

      centre.answer = Array.from({ length: 200 }, (_, i) => `word${i} `);
      centre.pieceDelay_ms = 50;
      await box.getByRole("button", { name: "Send" }).click();
      await box.getByText("word2 ").waitFor();
      await box.getByRole("button", { name: "Stop" }).click();
      await box.getByText("Stopped.").waitFor();
      assert.equal(await box.getByText("word199").count(), 0);

      centre.services.delete("s1"); // untold: the page still believes in it
      await box.getByRole("button", { name: "Send" }).click();
      await box.getByText("No answer: no model 'chat'").waitFor();
    },
    { expected: /status of 404/ },
  ));

for (const width of [320, 390, 768, 1100, 1440]) {
  test(`at ${width} pixels nothing sticks out of the page`, kOptions, async () => {
    const centre = busyHall();
    centre.jobs.set("j900", job("j900", "a-name-without-any-space-that-goes-on-and-on-".repeat(6), { state: "running", attempts: 1, tenant: "t".repeat(80), message: "m".repeat(300), workdir: "/w".repeat(90) }));
    centre.services.set("s9", service("s9", "x".repeat(120), { model: "y".repeat(160), replicas_ready: 1 }));
    centre.tenants.set("u9", usageLine("u9", "z".repeat(90), { device_s: 5 }));
    centre.logs.set("j900/0/out", `${"l".repeat(2000)}\n`);
    await centre.listen();
    try {
      await visit(
        centre,
        async (page) => {
          await live(page);
          await page.locator("#usage .chart").waitFor({ state: "attached" });
          // The page itself, and the panes that scroll in its place on a wide screen.
          const sticksOut = () =>
            page.evaluate(() => Math.max(...[document.documentElement, ...document.querySelectorAll(".column, #job")].map((each) => each.scrollWidth - each.clientWidth)));
          assert.equal(await sticksOut(), 0);
          await page.goto(`${centre.url}/#/jobs/j900`);
          await page.locator("#job .log").waitFor();
          assert.equal(await sticksOut(), 0);
          const box = await page.locator("#job").boundingBox();
          assert.ok(box.x >= 0 && box.x + box.width <= width, `the panel spans ${box.x} to ${box.x + box.width}`);
          const close = await page.locator("#job").getByRole("button", { name: "Close" }).boundingBox();
          assert.ok(close.x + close.width <= width, "the close button is in reach");
        },
        { viewport: { width, height: 800 } },
      );
    } finally {
      await centre.close();
    }
  });
}

test("everything can be reached and done with the keyboard", kOptions, () =>
  withCentre(smallHall, async (page, centre) => {
    await live(page);
    await row(page, "j1").waitFor();
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent ?? "");
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "content");

    const tabTo = async (wanted) => {
      for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press("Tab");
        if (wanted.test(await focused())) return;
      }
      assert.fail(`Tab does not lead to ${wanted}`);
    };
    await tabTo(/^h100 #0/); // one stop in the map
    assert.match(await page.getByRole("tooltip").innerText(), /alpha/);
    await page.keyboard.press("ArrowRight");
    assert.match(await focused(), /^h100 #1/);
    await page.keyboard.press("End");
    assert.match(await focused(), /^cpu #0/);
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter"); // opens the holder
    await page.locator("#job", { hasText: "train" }).waitFor();
    await eventually(async () => (await page.evaluate(() => document.activeElement.id)) === "job-title", "the focus in the panel");
    await page.keyboard.press("Escape");
    await page.locator("#job").waitFor({ state: "hidden" });
    assert.equal(await focused(), "train"); // on the row it belongs to

    await page.locator("#content").focus();
    await tabTo(/^later$/);
    centre.changeJob("j1", { progress: progress(50, 2.5) }); // a redraw must not take the focus away
    await eventually(async () => /50 %/.test(await row(page, "j1").innerText()), "a redraw");
    assert.equal(await focused(), "later");
    await page.keyboard.press("Enter");
    await page.locator("#job", { hasText: "waits for other jobs" }).waitFor();
    await tabTo(/^Stop job$/);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Stop job");
    await page.keyboard.press("Enter");
    await eventually(async () => centre.jobs.get("j2").state === "cancelled", "the job is cancelled");

    await page.locator("#content").focus();
    await page.getByRole("radio", { name: /^All/ }).focus();
    await page.keyboard.press("ArrowRight");
    await eventually(async () => (await page.getByRole("radio", { name: /^Queued/ }).isChecked()), "the filter");
  }));

test("every control has a name, every field a label, every id is unique", kOptions, async () => {
  const centre = await busyHall().listen();
  try {
    await visit(
      centre,
      async (page) => {
        await page.locator("#job .log").waitFor();
        await page.getByRole("button", { name: "Try service train-small" }).click();
        const faults = await page.evaluate(() => {
          const found = [];
          const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
          for (const id of ids.filter((each, i) => ids.indexOf(each) !== i)) found.push(`id ${id} twice`);
          for (const element of document.querySelectorAll("button, a")) {
            if (!(element.getAttribute("aria-label") ?? element.textContent).trim()) found.push(`no name: ${element.outerHTML}`);
          }
          for (const element of document.querySelectorAll("input, select, textarea")) {
            if (!element.labels?.length && !element.getAttribute("aria-label")) found.push(`no label: ${element.outerHTML}`);
          }
          for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
            for (const element of document.querySelectorAll(`[${name}]`)) {
              for (const id of element.getAttribute(name).split(" ")) if (!document.getElementById(id)) found.push(`${name} ${id} leads nowhere`);
            }
          }
          if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("h1").length !== 1) found.push("not one main and one h1");
          return found;
        });
        assert.deepEqual(faults, []);
      },
      { place: "#/jobs/j212" },
    );
  } finally {
    await centre.close();
  }
});

test("a newer centre offers to reload the page", kOptions, () =>
  withCentre(
    smallHall,
    async (page, centre) => {
      await live(page);
      centre.version = "0.2.0";
      for (const stream of centre.streams) stream.end();
      await page.getByRole("alert").getByText("The centre is now version 0.2.0").waitFor();
      await page.getByRole("button", { name: "Reload" }).click();
      await live(page);
      await page.locator(".facts", { hasText: "0.2.0" }).waitFor();
    },
  ));
