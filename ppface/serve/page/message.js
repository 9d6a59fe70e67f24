// The one message at the foot of the window: a problem (role=alert) or what was done (role=status).

import { AGAIN, explain } from "./words.js";

const at = (id) => document.getElementById(id);
let action = null;
let before = null; // what had the focus when the message came

export function clear() {
  const box = at("message");
  if (box.contains(document.activeElement)) (before?.checkVisibility?.() ? before : at("photo-heading")).focus({ preventScroll: true });
  delete box.dataset.kind;
  at("message-alert").replaceChildren();
  at("message-status").replaceChildren();
  at("message-buttons").hidden = true;
  if (at("message-link").href) URL.revokeObjectURL(at("message-link").href);
}

function show(kind, title, text) {
  clear();
  before = document.activeElement;
  at("message").dataset.kind = kind;
  const strong = document.createElement("strong");
  strong.textContent = text ? `${title}.` : title;
  at(kind === "problem" ? "message-alert" : "message-status").append(strong, text ? ` ${text}` : "");
  at("message-buttons").hidden = false;
  at("message-action").hidden = true;
  at("message-link").hidden = true;
}

// An error of the service; `again` is offered where another try may succeed.
export function problem(error, again) {
  const { title, text } = explain(error);
  show("problem", title, text);
  if (again && AGAIN.has(error.code)) {
    action = again;
    at("message-action").textContent = "Try again";
    at("message-action").hidden = false;
  }
}

export const warn = (title, text = "") => show("problem", title, text);

// What was done; file: {name, label, content} to be saved by the reader; offer: {label, run} of a button.
export function tell(title, text = "", file = null, offer = null) {
  show("done", title, text);
  if (offer) {
    action = offer.run;
    at("message-action").textContent = offer.label;
    at("message-action").hidden = false;
  }
  if (!file) return;
  const link = at("message-link");
  link.href = URL.createObjectURL(new Blob([file.content], { type: "application/json" }));
  link.download = file.name;
  link.textContent = file.label;
  link.hidden = false;
}

at("message-close").addEventListener("click", clear);
at("message-action").addEventListener("click", () => {
  clear();
  action?.();
});
