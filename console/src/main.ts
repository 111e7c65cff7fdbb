// SPDX-License-Identifier: Apache-2.0
// Starts the console: the header, the page, and the connection that feeds both.
import { storeKey, storedKey } from "./api/client";
import { Live, type Connection } from "./api/live";
import type { Change } from "./api/store";
import { h, schedule } from "./base/dom";
import { centrePage } from "./pages/centre/page";
import { mountAnnouncer, notify, say } from "./shell/announce";
import { askForKey, closeKeyDialog } from "./shell/dialogs";
import { header } from "./shell/header";
import { onPlace } from "./shell/route";
import { strings } from "./strings";
import "./style/tokens.css";
import "./style/shell.css";
import "./style/centre.css";

const kTickMs = 1000;

let firstVersion: string | null = null;
let saidConnection: Connection = "connecting";

const live = new Live({
  changed(topics) {
    page.draw(topics);
    if (topics.has("centre") || topics.has("nodes")) schedule(() => head.draw(live.state));
    const version = live.state.centre?.version ?? null;
    if (version !== null && firstVersion !== null && version !== firstVersion) {
      notify(strings.connection.newVersion(version), "", h("button", { type: "button", on: { click: () => location.reload() } }, strings.connection.reload));
    }
    firstVersion = version ?? firstVersion;
  },
  told(changes) {
    for (const change of changes) say(words(change));
  },
  connection(now, retry_at_ms) {
    if (now === "needs_key") {
      const refused = storedKey() !== null;
      storeKey(null);
      askForKey(refused, (key) => {
        storeKey(key);
        live.restart();
      });
    }
    if (now === "live") {
      closeKeyDialog();
      schedule(redrawAll);
    }
    head.connection(now, retry_at_ms, live.reason);
    if (now !== saidConnection && now !== "connecting") say(strings.connection.said[now]);
    saidConnection = now;
  },
});

function words(change: Change): string {
  switch (change.what) {
    case "job":
      return strings.said.job(change.name, change.to);
    case "service":
      return strings.said.service(change.name, change.to);
    case "node":
      return strings.said.node(change.name, change.to);
  }
}

function redrawAll(): void {
  page.draw(new Set(["centre", "nodes", "jobs", "services", "usage"] as const));
}

const page = centrePage(live);
const head = header(page.sections, () => live.retryNow(), () => {
  storeKey(null);
  location.reload();
});

const skip = h("a", { class: "skip", href: "#content", on: { click: (event) => { event.preventDefault(); page.root.focus(); } } }, strings.skip);
document.body.append(skip, head.root, head.banner, page.root);
mountAnnouncer();
onPlace((place) => page.arrive(place));
setInterval(() => {
  head.tick(live.state);
  page.tick();
}, kTickMs);
live.start();
