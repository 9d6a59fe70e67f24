// Shows the state: the photo or the camera with its faces, their list, and the form to enrol one.

import * as camera from "./camera.js";
import * as faces from "./faces.js";
import { draw, faceAt } from "./overlay.js";
import * as people from "./people.js";
import { can, state } from "./state.js";
import * as threshold from "./threshold.js";
import { count, isolated, summary } from "./words.js";

const at = (id) => document.getElementById(id);
const QUIET = 1000; // milliseconds at least between two sentences of the live view, which a screen reader speaks
let spoken = 0;

// frame: the canvas that was sent, in the live view; null for the photo.
export function render(frame = null) {
  const { answer, photo, selected } = state;
  const filled = camera.on() || Boolean(photo?.image);
  at("frame").hidden = !filled;
  at("empty").hidden = filled;
  at("stage").toggleAttribute("data-filled", filled);
  fit();
  say(answer ? summary(answer.faces) : "", Boolean(frame));
  at("photo").alt = answer ? `Your photo. ${summary(answer.faces)}` : "Your photo";
  at("legend").hidden = !answer?.faces.some((face) => face.name);
  const source = frame ?? (photo?.image ? at("photo") : null);
  const onSelect = frame ? null : select;
  faces.list(answer && { answer, source, selected, onSelect, threshold: answer.threshold ?? threshold.value() });
  offerEnrolment();
}

export function busy(on) {
  at("busy").hidden = !on;
  at("stage").setAttribute("aria-busy", on);
}

function say(text, live) {
  if (at("result").textContent === text || (live && text && Date.now() - spoken < QUIET)) return;
  at("result").textContent = text;
  spoken = Date.now();
}

// The photo fills the stage, but not more than two thirds of the window's height; small ones are enlarged up to four times.
export function fit() {
  const video = camera.on() ? { width: at("video").videoWidth, height: at("video").videoHeight } : null;
  const { width, height } = video ?? state.photo ?? { width: 0, height: 0 };
  if (!width || !height) return;
  const scale = Math.min(at("stage").clientWidth / width, Math.max(240, 0.68 * window.innerHeight) / height, 4);
  at("frame").style.width = `${Math.floor(width * scale)}px`;
  at("frame").style.height = `${Math.floor(height * scale)}px`;
  draw(at("overlay"), state.answer, state.selected);
}

function select(i) {
  state.selected = i;
  render();
  at("faces").children[i].scrollIntoView({ block: "nearest" });
}

export function offerEnrolment() {
  const found = state.answer?.faces.length ?? 0;
  const may = Boolean(state.info?.gallery) && can("enrol");
  at("enrol").hidden = !may || !found || camera.on();
  at("compare").hidden = !found || camera.on() || !can("read");
  at("enrol-off").hidden = may || !found || !state.info?.gallery;
  at("enrol-off").textContent = "This API key does not permit to enrol people.";
  const name = at("enrol-name").value.trim();
  const person = people.known(name);
  const which = state.selected === null ? "Choose the face in the list above, then enter a name." : `Face ${state.selected + 1} is chosen.`;
  const added = person ? ` ${isolated(name)} is known by ${count(person.images, "image")}; this one is added.` : "";
  at("enrol-which").textContent = which + added;
}

at("overlay").addEventListener("click", (event) => {
  if (!state.answer || camera.on()) return;
  const { width, height } = at("overlay").getBoundingClientRect();
  const i = faceAt(state.answer, (event.offsetX / width) * state.answer.width, (event.offsetY / height) * state.answer.height);
  if (i !== null) select(i);
});
at("enrol-name").addEventListener("input", offerEnrolment);
new ResizeObserver(fit).observe(at("stage"));
