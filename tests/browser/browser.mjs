// SPDX-License-Identifier: Apache-2.0
// The browser of the machine (Debian's chromium), never a downloaded one.
import { chromium } from "playwright-core";

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // A container's root cannot make the sandbox's name spaces; what is opened here are our own pages.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"],
  });
}
