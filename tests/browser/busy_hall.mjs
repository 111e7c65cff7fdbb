// SPDX-License-Identifier: Apache-2.0
// A busy centre of mixed chips, for looking at the console by eye:  node busy_hall.mjs [port]
import { pathToFileURL } from "node:url";
import { chip, FakeCentre, job, service, usageLine } from "./fake_centre.mjs";

const kKinds = {
  h100: { memory_bytes: 80 * 2 ** 30, power_w: 700, price_per_hour: 2.4 },
  mi300x: { memory_bytes: 192 * 2 ** 30, power_w: 750, price_per_hour: 2.1 },
  "ascend-910b": { memory_bytes: 64 * 2 ** 30, power_w: 400, price_per_hour: 1.1 },
  gaudi2: { memory_bytes: 96 * 2 ** 30, power_w: 600, price_per_hour: 1.3 },
  cpu: { memory_bytes: 32 * 2 ** 30, power_w: 95, price_per_hour: 0.08 },
};

let seed = 7;
const random = () => ((seed = (seed * 48271) % 2147483647) / 2147483647);
const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();

export function busyHall() {
  const centre = new FakeCentre();
  centre.name = "hall-2";
  centre.policy = "priority, gang";
  centre.started = new Date(Date.now() - 11 * 86400_000 - 14_000_000);
  let chips = 0;
  const addNode = (i, name, kinds, state = "up") => {
    const list = kinds.flatMap(([kind, n]) =>
      Array.from({ length: n }, (_, index) => chip(`c${(chips += 1)}`, kind, index, { ...kKinds[kind], utilisation: 0.01, power_now_w: Math.round(kKinds[kind].power_w * 0.14) })),
    );
    centre.nodes.set(`n${i}`, { id: `n${i}`, name, state, memory_bytes: 2 ** 40, since: ago(950_000), chips: list });
  };
  for (let i = 1; i <= 6; i += 1) addNode(i, `h${i}`, [["h100", 8]]);
  for (let i = 7; i <= 8; i += 1) addNode(i, `m${i - 6}`, [["mi300x", 8]], i === 8 ? "drained" : "up");
  for (let i = 9; i <= 10; i += 1) addNode(i, `a${i - 8}`, [["ascend-910b", 8]]);
  addNode(11, "g1", [["gaudi2", 8]]);
  addNode(12, "edge-1", [["cpu", 16]]);

  let tasks = 900;
  const hold = (holder, use, nodes) => {
    const placement = [];
    for (const [node, from, n] of nodes) {
      const of = centre.nodes.get(`n${node}`);
      for (const each of of.chips.slice(from, from + n)) {
        each.holder = { task: `t${tasks}`, job: null, service: null, ...holder };
        each.utilisation = Math.min(1, Math.max(0, use + (random() - 0.5) * 0.12));
        each.power_now_w = Math.round(each.power_w * (0.2 + 0.75 * each.utilisation));
        placement.push({ node: of.id, chip: each.id, kind: each.kind });
      }
    }
    tasks += 1;
    return placement;
  };

  const usageOf = (id, name, device_s, watts, tokens_trained, price) =>
    usageLine(id, name, { device_s, energy_j: device_s * watts, tokens_trained, cost: (device_s / 3600) * price });
  const running = (id, name, tenant, nodes, use, of, more = {}) => {
    const placement = hold({ job: id, name }, use, nodes);
    const n = placement.length;
    const kind = placement[0].kind;
    centre.jobs.set(id, job(id, name, {
      tenant, state: "running", wait: "none", workers: of.workers ?? n, chips: of.workers ? n / of.workers : 1, chip_kinds: [kind], attempts: 1, task: `t${tasks - 1}`,
      placement, submitted: ago(of.ran + 400), started: ago(of.ran), runtime_s: of.ran, command: of.command ?? ["centrale-trainer", "--config", `jobs/${name}.yaml`],
      checkpoints: `/var/lib/centrale/checkpoints/${id}`, workdir: `/var/lib/centrale/work/${id}`,
      progress: { step: of.step, steps: of.steps, loss: of.loss, tokens: of.step * of.batch, tokens_per_s: of.rate, eta_s: of.steps === null ? null : ((of.steps - of.step) * of.batch) / of.rate, checkpoint: of.step > 500 ? `step-${String(of.step - (of.step % 500)).padStart(6, "0")}` : null },
      usage: usageOf(id, name, of.ran * n, 560, of.step * of.batch, kKinds[kind].price_per_hour), ...more,
    }));
  };
  running("j212", "llama-8b-pretrain", "research", [[1, 0, 8], [2, 0, 8], [3, 0, 8], [4, 0, 8]], 0.94, { ran: 268_000, step: 41_250, steps: 120_000, loss: 2.0318, batch: 4_194_304, rate: 401_000, workers: 4 }, { priority: 10, attempts: 2, failures: 1 });
  running("j231", "finetune-manuals", "press-shop", [[5, 0, 4]], 0.88, { ran: 5200, step: 1_310, steps: 2_000, loss: 1.2874, batch: 262_144, rate: 61_400 });
  running("j236", "assembly-vlm-adapter", "press-shop", [[9, 0, 8]], 0.79, { ran: 9100, step: 860, steps: 4_800, loss: 1.9462, batch: 524_288, rate: 48_900 });
  running("j240", "spindle-anomaly", "maintenance", [[12, 0, 4]], 0.71, { ran: 340, step: 188, steps: 400, loss: 0.2213, batch: 4096, rate: 2_260 });
  running("j241", "train-small", "default", [[12, 4, 2]], 0.97, { ran: 31, step: 96, steps: 300, loss: 4.412, batch: 2048, rate: 3_150 });
  running("j238", "night-shift-schedule", "press-shop", [[12, 6, 4]], 0.99, { ran: 812, step: 34, steps: null, loss: null, batch: 0, rate: null, command: ["centrale-schedule", "--plan", "plant 2/night.json", "--limit=20m"] });
  centre.jobs.get("j238").progress = { step: 34, steps: null, loss: null, tokens: null, tokens_per_s: null, eta_s: null, checkpoint: null };
  const add = (id, name, more) => centre.jobs.set(id, job(id, name, more));
  add("j242", "llama-8b-eval", { tenant: "research", wait: "dependency", after: ["j212"], workers: 1, chips: 8, chip_kinds: ["h100"], submitted: ago(260_000) });
  add("j243", "moe-ablation", { tenant: "research", workers: 16, chips: 1, chip_kinds: ["h100", "mi300x"], submitted: ago(4100), priority: 5 });
  for (let i = 0; i < 6; i += 1) add(`j${244 + i}`, "bracket-topology", { tenant: "design", workers: 1, chips: 4, chip_kinds: ["mi300x"], array_index: i, array_size: 6, submitted: ago(1200) });
  add("j239", "tokenise-archive", { tenant: "maintenance", wait: "backoff", attempts: 2, failures: 2, chip_kinds: ["cpu"], message: "exit code 1", submitted: ago(900) });
  const ended = (id, name, tenant, state, ran, more = {}) =>
    add(id, name, { tenant, state, wait: "none", attempts: 1, submitted: ago(ran + 9000), started: ago(ran + 8000), finished: ago(8000), runtime_s: ran, usage: usageOf(id, name, ran * 4, 400, 0, 2), ...more });
  ended("j237", "train-small", "default", "done", 96, { progress: { step: 300, steps: 300, loss: 2.914, tokens: 614_400, tokens_per_s: 6400, eta_s: 0, checkpoint: "step-000300" } });
  ended("j235", "gearbox-rul", "maintenance", "failed", 41, { failures: 4, attempts: 4, message: "exit code 65: sensor file 'line4.parquet' has no column 'rpm'" });
  ended("j234", "finetune-manuals", "press-shop", "cancelled", 1260, { message: "stopped by press-shop" });
  for (let i = 0; i < 9; i += 1) {
    ended(`j${233 - i - (233 - i <= 231 ? 1 : 0)}`, ["gearbox-rul", "train-small", "die-wear-forecast", "bracket-topology"][i % 4], ["maintenance", "default", "press-shop", "design"][i % 4], "done", 300 + 777 * i,
      { progress: { step: 400, steps: 400, loss: 0.31 + i / 9, tokens: 1_638_400, tokens_per_s: 9000, eta_s: 0, checkpoint: "step-000400" } });
  }

  const serve = (id, name, tenant, model, nodes, use, more) => {
    const replicas = nodes.map((each, ordinal) => {
      hold({ service: id, name }, use, [each]);
      return { ordinal, task: `t${tasks - 1}`, state: "running", ready: true, port: 40100 + tasks, node: `n${each[0]}`, message: null, failures: 0 };
    });
    centre.services.set(id, service(id, name, {
      tenant, model, state: "ready", replicas_wanted: replicas.length, replicas_ready: replicas.length, chips: nodes[0][2], replicas, defined: ago(500_000), ...more,
    }));
  };
  serve("s1", "assistant-32b", "press-shop", "qwen2.5-32b-instruct", [[5, 4, 2], [5, 6, 2], [6, 0, 2]], 0.62, { usage: usageLine("s1", "assistant-32b", { device_s: 3.1e6, energy_j: 1.3e9, requests: 184_220, prompt_tokens: 212_400_000, completion_tokens: 48_310_000, cost: 2066.7 }) });
  serve("s2", "manuals-embed", "maintenance", "bge-m3", [[11, 0, 2]], 0.34, { usage: usageLine("s2", "manuals-embed", { device_s: 9e5, energy_j: 2.9e8, requests: 91_034, prompt_tokens: 71_200_000, cost: 325 }) });
  serve("s3", "train-small", "default", "job:train-small", [[12, 10, 1]], 0.05, { usage: usageLine("s3", "train-small", { device_s: 5100, energy_j: 84_000, requests: 212, prompt_tokens: 8_800, completion_tokens: 24_100, cost: 0.113, energy_estimated: true }) });
  const assistant = centre.services.get("s1");
  assistant.state = "degraded";
  assistant.replicas_wanted = 4;
  assistant.replicas.push({ ordinal: 3, task: null, state: null, ready: false, port: null, node: null, message: "waits for 2 h100", failures: 1 });

  const failed = centre.nodes.get("n6").chips[5];
  failed.health = "failed";
  failed.utilisation = null;
  failed.power_now_w = null;

  for (const [id, name, device_s, trained, prompt, completion, price] of [
    ["u2", "research", 2.92e7, 4.11e11, 0, 0, 2.38], ["u3", "press-shop", 5.4e6, 2.9e9, 2.1e8, 4.8e7, 2.2], ["u4", "maintenance", 1.31e6, 4.1e7, 7.1e7, 0, 1.2],
    ["u5", "design", 8.8e5, 0, 0, 0, 2.1], ["u1", "default", 9100, 1.4e6, 8800, 24_100, 0.08],
  ]) {
    centre.tenants.set(id, usageLine(id, name, {
      device_s, energy_j: device_s * (id === "u1" ? 30 : 540), energy_estimated: id === "u1" || id === "u4", tokens_trained: trained, prompt_tokens: prompt, completion_tokens: completion,
      requests: Math.round(completion / 260), cost: ((device_s / 3600) * price).toFixed(4),
    }));
  }

  let log = "rank 0 of 4 on h1: 8 × h100, layout tp=4 pp=1 dp=8, micro-batch 2, recompute off\nresumed from step-020500, data position 85983232000\n";
  for (let step = 20_500; step <= 41_250; step += 50) {
    const loss = 1.86 + 3.1 * (step / 1000) ** -0.78 + (random() - 0.5) * 0.03;
    log += `@centrale {"step":${step},"steps":120000,"loss":${loss.toFixed(4)},"tokens":${step * 4194304},"tokens_per_s":${400_000 + Math.round(random() * 3000)}}\n`;
    if (step % 500 === 0) log += `step ${step}: grad norm ${(0.3 + random() / 10).toFixed(3)}, lr 2.41e-04, mfu 0.438\n@centrale {"checkpoint":"step-0${step}","step":${step}}\n`;
  }
  centre.logs.set("j212/0/out", log);
  centre.logs.set("j241/0/out", "vocabulary 4096, 9.4 M parameters, 2 workers (gloo)\n");
  centre.answer = "A planetary gearbox is a compact gear train in which several planet gears, carried on a common arm, roll between a central sun gear and an outer ring gear, so that the load is shared and a high ratio fits in a small space.".split(/(?= )/);
  return centre;
}

/// Lets the hall work: steps go on, tokens are served, the ledger grows.
export function work(centre, speed = 1) {
  let beat = 0;
  return setInterval(() => {
    beat += 1;
    for (const each of centre.jobs.values()) {
      const at = each.progress;
      if (each.state !== "running" || !at || !at.tokens_per_s || at.step >= at.steps) continue;
      const batch = at.tokens / at.step;
      if (each.id === "j212" && beat % 4 !== 0) continue;
      const ahead = each.id === "j212" ? 50 : Math.max(1, Math.round((at.tokens_per_s / batch) * speed * (0.8 + random() * 0.4)));
      if (each.id !== "j212" && (at.tokens_per_s / batch) * speed < 0.3 && beat % 3 !== 0) continue;
      const step = Math.min(at.steps, at.step + ahead);
      const fall = (at.loss - 0.15) * 0.9 * (ahead / (at.steps * 0.6));
      const loss = Number((at.loss - fall + (random() - 0.5) * at.loss * 0.012).toFixed(4));
      const next = { ...at, step, loss, tokens: step * batch, eta_s: ((at.steps - step) * batch) / at.tokens_per_s };
      centre.changeJob(each.id, { progress: next });
      const log = `${each.id}/0/out`;
      centre.logs.set(log, `${centre.logs.get(log) ?? ""}@centrale ${JSON.stringify({ step, steps: at.steps, loss, tokens: next.tokens })}\n`);
    }
    for (const [id, rate] of [["s1", 640], ["s3", 22]]) {
      const each = centre.services.get(id);
      const tokens = Math.round(rate * 0.5 * (0.7 + random() * 0.6));
      centre.services.set(id, { ...each, usage: { ...each.usage, requests: each.usage.requests + 2, completion_tokens: each.usage.completion_tokens + tokens, prompt_tokens: each.usage.prompt_tokens + 3 * tokens } });
      if (beat % 4 === 0) centre.tell("service", centre.services.get(id));
    }
    if (beat % 2 === 0) {
      for (const [id, chips, price] of [["u2", 32, 2.38], ["u3", 18, 2.2], ["u4", 6, 1.2], ["u5", 0, 2.1], ["u1", 3, 0.08]]) {
        const line = centre.tenants.get(id);
        const device_s = chips * (0.9 + random() * 0.2);
        centre.tenants.set(id, { ...line, device_s: line.device_s + device_s, energy_j: line.energy_j + device_s * 540, cost: (Number(line.cost) + (device_s / 3600) * price).toFixed(4) });
      }
      centre.tell("usage", centre.usage());
    }
  }, 500 / speed);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const centre = await busyHall().listen(Number(process.argv[2] ?? 7071));
  work(centre);
  console.log(centre.url);
}
