// SPDX-License-Identifier: Apache-2.0
// A box that asks a service one question, through the same door that applications use.
import { h, show, text } from "../../base/dom";
import * as format from "../../base/format";
import { strings } from "../../strings";
import { ask } from "./completion";

const say = strings.tryIt;

export interface TryIt {
  root: HTMLElement;
  stop(): void;
}

export function tryIt(service: string, id: string): TryIt {
  let asking: AbortController | null = null;
  const field = (name: string): string => `try-${id}-${name}`;
  const prompt = h("textarea", { id: field("prompt"), rows: 3, maxlength: 16384, required: true }, say.promptExample);
  const tokens = h("input", { id: field("tokens"), type: "number", min: 1, max: 4096, step: 1, value: 128, required: true });
  const temperature = h("input", { id: field("temperature"), type: "number", min: 0, max: 2, step: 0.1, value: 0.7, required: true });
  const send = h("button", { type: "submit", class: "primary" }, say.send);
  const stop = h("button", { type: "button", hidden: true, on: { click: () => asking?.abort() } }, say.stop);
  const answer = h("output", { class: "answer", for: field("prompt"), "aria-label": say.answer, hidden: true });
  const note = h("p", { class: "muted note", role: "status" });

  async function submit(): Promise<void> {
    if (asking) return;
    const mine = new AbortController();
    asking = mine;
    show(send, false);
    show(stop, true);
    text(answer, "");
    show(answer, true);
    answer.classList.add("writing");
    answer.setAttribute("aria-busy", "true"); // read aloud once it is whole
    text(note, say.waiting);
    let wrote = false;
    try {
      const done = await ask(
        { model: service, prompt: prompt.value, max_tokens: tokens.valueAsNumber, temperature: temperature.valueAsNumber },
        mine.signal,
        (piece) => {
          if (!wrote) text(note, "");
          wrote = true;
          answer.append(piece);
        },
      );
      text(note, wrote ? say.figures(format.count(done.tokens), format.span(done.first_s), format.digits(done.tokens_per_s, 3)) : say.empty);
    } catch (error) {
      const why = error instanceof Error ? error.message : "";
      text(note, mine.signal.aborted ? say.stopped : wrote ? say.brokenOff(why) : say.failed(why));
    } finally {
      asking = null;
      answer.classList.remove("writing");
      answer.removeAttribute("aria-busy");
      show(answer, wrote);
      const stopFocused = document.activeElement === stop;
      show(stop, false);
      show(send, true);
      if (stopFocused) send.focus();
    }
  }

  const root = h(
    "form",
    {
      class: "try-it",
      "aria-label": strings.services.tryItOf(service),
      on: {
        submit: (event) => {
          event.preventDefault();
          void submit();
        },
        keydown: (event) => {
          if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
          event.preventDefault();
          root.requestSubmit();
        },
      },
    },
    h("label", { for: field("prompt") }, say.prompt),
    prompt,
    h(
      "div",
      { class: "try-row" },
      h("label", { for: field("tokens") }, say.tokensMax),
      tokens,
      h("label", { for: field("temperature") }, say.temperature),
      temperature,
      h("span", { class: "spring" }),
      send,
      stop,
    ),
    answer,
    note,
  );
  return { root, stop: () => asking?.abort() };
}
