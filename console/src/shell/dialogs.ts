// SPDX-License-Identifier: Apache-2.0
// The two questions that the page may ask: are you sure, and who are you.
import { h, text } from "../base/dom";
import { strings } from "../strings";

/// Resolves to true only when the confirming button was used. The safe answer has the focus.
export function confirmed(title: string, why: string, yes: string, no: string): Promise<boolean> {
  return new Promise((resolve) => {
    const back = document.activeElement;
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "confirm-title", "aria-describedby": "confirm-why" });
    const answer = (value: boolean): void => {
      resolve(value);
      dialog.close();
    };
    const keep = h("button", { type: "button", on: { click: () => answer(false) } }, no);
    dialog.append(
      h("h2", { id: "confirm-title" }, title),
      h("p", { id: "confirm-why" }, why),
      h("div", { class: "actions" }, keep, h("button", { type: "button", class: "danger", on: { click: () => answer(true) } }, yes)),
    );
    dialog.addEventListener("close", () => {
      resolve(false);
      dialog.remove();
      if (back instanceof HTMLElement) back.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
    keep.focus();
  });
}

let keyDialog: HTMLDialogElement | null = null;

/// Asks for the key until one is entered; `refused` says that the last one was not accepted.
export function askForKey(refused: boolean, entered: (key: string) => void): void {
  closeKeyDialog();
  const field = h("input", {
    type: "password", id: "key", name: "key", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "key-why key-error",
  });
  const error = h("p", { id: "key-error", class: "error", role: "alert" }, refused && strings.key.refused);
  const form = h(
    "form",
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          const key = field.value.trim();
          if (!/^[\x21-\x7e]+$/.test(key)) {
            text(error, strings.key.malformed);
            return field.focus();
          }
          closeKeyDialog();
          entered(key);
        },
      },
    },
    h("label", { for: "key" }, strings.key.field),
    field,
    error,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, strings.key.enter)),
  );
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title", on: { cancel: (event) => event.preventDefault() } },
    h("h2", { id: "key-title" }, strings.key.title),
    h("p", { id: "key-why" }, strings.key.why),
    form,
  );
  keyDialog = dialog;
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
}

export function closeKeyDialog(): void {
  keyDialog?.close();
  keyDialog?.remove();
  keyDialog = null;
}
