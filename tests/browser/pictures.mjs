// SPDX-License-Identifier: Apache-2.0
// Pictures of the console, to be looked at:  npm run pictures -- FOLDER [SECONDS [NAME…]]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { busyHall, work } from "./busy_hall.mjs";
import { launch } from "./browser.mjs";
import { FakeCentre } from "./fake_centre.mjs";

const folder = process.argv[2] ?? "pictures";
const seconds = Number(process.argv[3] ?? 14);
mkdirSync(folder, { recursive: true });

const centre = await busyHall().listen();
const nothing = await new FakeCentre().listen();
const beat = work(centre);
const browser = await launch();
const wanted = process.argv.slice(4);
const shots = [
  ["dark", 1440, 900, "dark", "#/jobs/j212"],
  ["light", 1440, 900, "light", "#/jobs/j212"],
  ["plain", 1440, 900, "light", ""],
  ["wide", 2560, 1300, "dark", "#/jobs/j241"],
  ["tablet", 834, 1112, "light", ""],
  ["phone", 390, 844, "light", ""],
  ["phone-job", 390, 844, "dark", "#/jobs/j212"],
].filter(([name]) => wanted.length === 0 || wanted.includes(name));
const pages = [];
for (const [name, width, height, colorScheme, place] of shots) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: name.startsWith("phone") ? 2 : 1, hasTouch: name.startsWith("phone") });
  const page = await context.newPage();
  await page.goto(`${centre.url}/${place}`);
  pages.push([name, page]);
}
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
for (const [name, page] of pages) {
  await page.bringToFront();
  await page.waitForTimeout(400);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  if (name === "phone" || name === "tablet" || name === "plain") await page.screenshot({ path: join(folder, `${name}-full.png`), fullPage: true });
}
const plain = (pages.find(([name]) => name === "plain") ?? pages[0])[1];
await plain.goto(`${centre.url}/#/`);
await plain.bringToFront();
for (const mode of ["Utilisation", "Kind", "Holder"]) {
  await plain.locator("#chips").getByRole("radio", { name: mode }).check();
  await plain.locator("#chips .cell").nth(9).focus();
  await plain.waitForTimeout(200);
  await plain.locator("#chips").screenshot({ path: join(folder, `chips-${mode.toLowerCase()}.png`) });
}
await plain.getByRole("button", { name: "Try service train-small" }).click();
await plain.getByRole("button", { name: "Send" }).click();
await plain.getByText(/first after/).waitFor();
await plain.screenshot({ path: join(folder, "try.png") });
await plain.goto(`${centre.url}/#/jobs/j241`);
await plain.getByRole("button", { name: "Stop job" }).click();
await plain.screenshot({ path: join(folder, "confirm.png") });

for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme });
  const page = await context.newPage();
  await page.goto(nothing.url);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.waitForTimeout(300);
  await page.screenshot({ path: join(folder, `empty-${colorScheme}.png`) });
}
clearInterval(beat);
await browser.close();
await centre.close();
await nothing.close();
