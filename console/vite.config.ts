// SPDX-License-Identifier: Apache-2.0
import { defineConfig, type Plugin } from "vite";

// The page may talk to its own centre and to nobody else, and no text may ever become markup. The centre sends the same
// policy as a header; here it also holds where the built page is opened through some other server. Not in `npm run dev`:
// Vite's own client needs inline styles.
export const contentPolicy =
  "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'";

function policyTag(): Plugin {
  return {
    name: "content-policy",
    apply: "build",
    transformIndexHtml: () => [
      { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: contentPolicy }, injectTo: "head-prepend" },
    ],
  };
}

const centre = process.env["CENTRALE_URL"] ?? "http://127.0.0.1:7070";

export default defineConfig({
  plugins: [policyTag()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // a data: address would break the policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": centre, "/v1": centre } },
});
