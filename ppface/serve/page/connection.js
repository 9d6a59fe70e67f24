// Whether the service is there and what the key permits; errors of requests.

import { key, service, ServiceError } from "./api.js";
import * as message from "./message.js";
import { state } from "./state.js";
import { explain, megabytes } from "./words.js";

const at = (id) => document.getElementById(id);
const POLL = 5000; // milliseconds between looks for a service that does not answer
let poll = 0;
let turns = 0;
let changed = async () => {};

// what: called whenever `state.info` has changed.
export const onChange = (what) => (changed = what);

// Asks what the service permits.
export async function connect() {
  const turn = ++turns;
  clearTimeout(poll);
  let info = null;
  let problem = null;
  try {
    info = await service.info();
  } catch (error) {
    problem = error;
  }
  if (turn !== turns) return; // asked again meanwhile, perhaps with another key
  state.info = info;
  if (problem) down(problem);
  else up();
  await changed(problem);
}

function up() {
  at("banner").hidden = true;
  at("banner-title").textContent = "";
  const { detector, embedder, version, limits } = state.info;
  at("service").dataset.state = "ready";
  at("service").textContent = `Ready: ${[detector, embedder].filter(Boolean).join(" + ")}`;
  at("version").textContent = `ppface ${version}.`;
  at("limits").textContent = `JPEG, PNG, WebP or BMP. Photos above ${megabytes(limits.bytes)} are reduced before they are sent.`;
}

function down(error) {
  const locked = error.code === "unauthorized";
  const unknown = { title: "The service does not know this key", text: "Enter another one." };
  const { title, text } = locked && key.get() ? unknown : explain(error);
  at("service").dataset.state = locked ? "locked" : "down";
  at("service").textContent = locked ? "Waiting for a key" : "Not available";
  if (at("banner-title").textContent !== `${title}.`) { // else it would be spoken at each look for the service
    at("banner-title").textContent = `${title}.`;
    at("banner-text").textContent = text;
  }
  at("banner-action").textContent = locked ? "Enter a key" : "Try again";
  at("banner-action").onclick = locked ? openKey : connect;
  at("banner").hidden = false;
  if (!locked) poll = setTimeout(connect, POLL);
}

// Shows an error of a request. What concerns the whole service is shown at the top of the page; `again` is offered for the others.
export function fail(error, again = null) {
  if (!(error instanceof ServiceError)) {
    message.warn("The page failed", error.message);
    throw error;
  }
  if (error.code === "offline" || error.code === "unauthorized") connect();
  else message.problem(error, again);
}

function openKey() {
  at("key-value").value = "";
  at("key-state").textContent = key.get() ? "A key is in use in this tab." : "No key is in use.";
  at("key-forget").hidden = !key.get();
  at("key").showModal();
}

function useKey(value) {
  key.set(value);
  at("key").close();
  message.clear();
  connect();
}

at("key-open").addEventListener("click", openKey);
at("key-cancel").addEventListener("click", () => at("key").close());
at("key-forget").addEventListener("click", () => useKey(""));
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key-value").value.trim());
});
