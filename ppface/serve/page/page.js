// The page: what the service permits, the photo and its faces, and what is done with them.

import { key, service, ServiceError } from "./api.js";
import * as camera from "./camera.js";
import * as faces from "./faces.js";
import * as message from "./message.js";
import { draw, faceAt } from "./overlay.js";
import * as people from "./people.js";
import * as pictures from "./picture.js";
import * as threshold from "./threshold.js";
import { AGAIN, count, explain, megabytes, summary } from "./words.js";

const at = (id) => document.getElementById(id);
const POLL = 5000; // milliseconds between looks for a service that does not answer
const state = {
  info: null, // of /v1/info; null while the service does not answer or wants a key
  photo: null, // {blob, image: whether the browser shows it, width, height} that was sent
  answer: null, // of the service, for the photo or the last frame
  selected: null, // index of the chosen face
  turn: 0, // counts photos and starts of the camera, so that late answers are dropped
  poll: 0,
};
const can = (scope) => state.info?.scopes.includes(scope) ?? false;
const searches = () => Boolean(state.info?.gallery) && can("search");

// ---- the service

async function connect(again = null) {
  clearTimeout(state.poll);
  try {
    state.info = await service.info();
  } catch (error) {
    state.info = null;
    down(error, again);
    return;
  }
  at("banner").hidden = true;
  const { detector, embedder, version, limits } = state.info;
  at("service").dataset.state = "ready";
  at("service").textContent = `Ready: ${[detector, embedder].filter(Boolean).join(" + ")}`;
  at("version").textContent = `ppface ${version}.`;
  at("limits").textContent = `JPEG, PNG, WebP or BMP${limits?.bytes ? `, up to ${megabytes(limits.bytes)} (larger ones are reduced)` : ""}`;
  at("threshold-section").hidden = !searches();
  threshold.setup(state.info, lookAgain);
  offerEnrolment();
  await loadPeople();
  again?.();
}

function down(error, again) {
  const { title, text } = explain(error);
  const locked = error.code === "unauthorized";
  at("service").dataset.state = locked ? "locked" : "down";
  at("service").textContent = locked ? "Waiting for a key" : "Not available";
  at("banner-title").textContent = `${title}.`;
  at("banner-text").textContent = text;
  at("banner-action").textContent = locked ? "Enter a key" : "Try again";
  at("banner-action").onclick = locked ? openKey : () => connect(again);
  at("banner").hidden = false;
  if (locked) people.show(null, "An API key is needed to see them.", null);
  else state.poll = setTimeout(connect, POLL, again);
  offerEnrolment();
}

// Shows an error; what is the whole service's goes to the top of the page, and `again` is done when it is back.
function fail(error, again) {
  if (!(error instanceof ServiceError)) {
    message.warn("The page failed", error.message);
    throw error;
  }
  if (error.code === "offline" || error.code === "unauthorized") return connect(again);
  message.problem(error, again);
}

async function loadPeople() {
  if (!state.info.gallery) return people.show(null, "This service has no gallery: faces are found, but not named.", null);
  if (!can("read")) return people.show(null, "This API key does not permit to list people.", null);
  try {
    people.show((await service.people()).people, undefined, can("delete") ? remove : null);
  } catch (error) {
    fail(error, loadPeople);
  }
}

// ---- the photo

const ask = (picture) => (searches() ? service.search(picture, threshold.value()) : service.detect(picture));

async function openPhoto(file) {
  const turn = ++state.turn;
  stopCamera();
  message.clear();
  Object.assign(state, { photo: null, answer: null, selected: null });
  const size = await pictures.show(at("photo"), file);
  if (turn !== state.turn) return;
  state.photo = { blob: file, file, image: size !== null, ...(size ?? { width: 0, height: 0 }) };
  at("photo").hidden = !size;
  render();
  const fitted = await pictures.withinLimits(file, at("photo"), size, state.info?.limits);
  if (turn !== state.turn) return;
  state.photo.blob = fitted.blob;
  const { reduced } = fitted;
  if (reduced && reduced.width < size.width) {
    message.tell("The photo was reduced", `to ${reduced.width}x${reduced.height} pixels, which the service accepts.`);
  }
  await look();
}

async function look() {
  const { turn, photo } = state;
  if (!can("read") && !can("search") && state.info) return message.warn("This API key does not permit to find faces", "");
  at("busy").hidden = false;
  at("stage").setAttribute("aria-busy", "true");
  try {
    const answer = await ask(photo.blob);
    if (turn !== state.turn) return;
    const same = state.answer?.faces.length === answer.faces.length;
    state.selected = answer.faces.length === 1 ? 0 : same ? state.selected : null;
    state.answer = answer;
  } catch (error) {
    if (turn !== state.turn) return;
    state.answer = null;
    fail(error, look);
  } finally {
    if (turn === state.turn) {
      at("busy").hidden = true;
      at("stage").removeAttribute("aria-busy");
      render();
    }
  }
}

const lookAgain = () => state.photo && !camera.on() && look();

// ---- the live view: the next frame is sent when the last answer has come

async function startCamera(device) {
  const turn = ++state.turn;
  message.clear();
  try {
    await camera.open(at("video"), device);
  } catch (error) {
    const { title, text } = camera.explain(error);
    stopCamera();
    return message.warn(title, text);
  }
  if (turn !== state.turn) return;
  Object.assign(state, { photo: null, answer: null, selected: null });
  cameraButtons(true);
  at("camera-take").focus();
  render();
  while (turn === state.turn && camera.on()) await liveFrame(turn);
}

async function liveFrame(turn) {
  const frame = camera.frame(at("video"));
  try {
    const answer = await ask(await pictures.jpegOf(frame));
    if (turn !== state.turn) return;
    state.answer = answer;
    render(frame);
  } catch (error) {
    if (turn !== state.turn) return;
    if (!AGAIN.has(error.code) || error.code === "offline") {
      stopCamera();
      return fail(error);
    }
    at("result").textContent = `${explain(error).title}: waiting.`;
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(1, error.wait)));
  }
  await new Promise((resolve) => requestAnimationFrame(resolve)); // and not at all while the tab is hidden
}

function stopCamera() {
  if (!camera.on()) return;
  const focused = [at("camera-take"), at("camera-close")].includes(document.activeElement);
  camera.close(at("video"));
  cameraButtons(false);
  if (focused) at("camera-open").focus();
  Object.assign(state, { answer: null, turn: state.turn + 1 });
  render();
}

function cameraButtons(live) {
  at("video").hidden = !live;
  if (live) at("photo").hidden = true;
  for (const [id, shown] of [["camera-take", live], ["camera-close", live], ["camera-open", !live]]) at(id).hidden = !shown;
}

async function take() {
  const photo = await pictures.jpegOf(camera.frame(at("video"), true));
  stopCamera();
  openPhoto(photo);
}

// ---- what is shown

function render(frame = null) {
  const { answer, photo, selected } = state;
  const filled = camera.on() || Boolean(photo?.image);
  at("frame").hidden = !filled;
  at("empty").hidden = filled;
  at("stage").toggleAttribute("data-filled", filled);
  fit();
  const said = answer ? summary(answer.faces) : "";
  if (at("result").textContent !== said) at("result").textContent = said; // a screen reader hears changes alone
  at("photo").alt = answer ? `Your photo. ${said}` : "Your photo";
  at("legend").hidden = !answer?.faces.some((face) => face.name);
  const source = frame ?? at("photo");
  const shown = answer && (frame || photo?.image);
  const sourceWidth = frame ? frame.width : at("photo").naturalWidth;
  faces.list(shown ? { answer, source, sourceWidth, selected, threshold: answer.threshold ?? threshold.value(), onSelect: frame ? null : select } : null);
  offerEnrolment();
}

// The photo fills the stage, but not more than two thirds of the window's height; small ones are enlarged up to four times.
function fit() {
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
}

// ---- enrolment and deletion

function offerEnrolment() {
  const found = state.answer?.faces.length ?? 0;
  const may = Boolean(state.info?.gallery) && can("enrol");
  at("enrol").hidden = !may || !found || camera.on();
  at("enrol-off").hidden = may || !found || !state.info?.gallery;
  at("enrol-off").textContent = "This API key does not permit to enrol people.";
  const name = at("enrol-name").value.trim();
  const person = people.known(name);
  const which = state.selected === null ? "Choose the face in the list above, then enter a name." : `Face ${state.selected + 1} is chosen.`;
  at("enrol-which").textContent = person ? `${which} ${name} is known by ${count(person.images, "image")}; this one is added.` : which;
}

async function enrol() {
  const name = at("enrol-name").value.trim();
  const { photo, answer, selected, turn } = state;
  if (!name) return message.warn("A name is missing", "Enter the name of the person.");
  if (selected === null) return message.problem(new ServiceError("several_faces", `This photo has ${answer.faces.length} faces`));
  message.clear();
  at("enrol-submit").setAttribute("aria-disabled", "true");
  try {
    const one = answer.faces.length === 1;
    const done = await service.enrol(name, one ? photo.blob : await pictures.cutOut(at("photo"), answer, selected));
    message.tell(`${done.name} is enrolled`, `with ${count(done.images, "image")}.`);
    at("enrol-name").value = "";
    await loadPeople();
    if (turn === state.turn) await look();
  } catch (error) {
    fail(error, enrol);
  } finally {
    at("enrol-submit").removeAttribute("aria-disabled");
  }
}

async function remove(name) {
  try {
    const receipt = await service.forget(name);
    const file = { name: "receipt.json", label: "Save the receipt", content: JSON.stringify(receipt, null, 2) };
    message.tell(`${name} is deleted`, "Embeddings and stored pictures of this person are removed from the gallery.", file);
  } catch (error) {
    fail(error, error.code === "offline" ? null : () => remove(name));
  }
  if (state.info) await loadPeople();
  lookAgain();
}

// ---- the key

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
  connect(state.photo ? lookAgain : null);
}

// ---- wiring

function dropped(transfer) {
  const file = [...(transfer?.files ?? [])][0];
  if (file) openPhoto(file);
  return Boolean(file);
}

at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => {
  dropped(at("file"));
  at("file").value = ""; // so that the same file can be chosen again
});
at("camera-open").addEventListener("click", () => startCamera());
at("camera-select").addEventListener("change", () => startCamera(at("camera-select").value));
at("camera-take").addEventListener("click", take);
at("camera-close").addEventListener("click", stopCamera);
at("video").addEventListener("unplugged", stopCamera);
at("enrol").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("enrol-submit").getAttribute("aria-disabled") !== "true") enrol();
});
at("enrol-name").addEventListener("input", offerEnrolment);
at("overlay").addEventListener("click", (event) => {
  if (!state.answer || camera.on()) return;
  const { width, height } = at("overlay").getBoundingClientRect();
  const i = faceAt(state.answer, (event.offsetX / width) * state.answer.width, (event.offsetY / height) * state.answer.height);
  if (i !== null) select(i);
});
at("key-open").addEventListener("click", openKey);
at("key-cancel").addEventListener("click", () => at("key").close());
at("key-forget").addEventListener("click", () => useKey(""));
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key-value").value.trim());
});
document.addEventListener("paste", (event) => dropped(event.clipboardData) && event.preventDefault());
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("stage").toggleAttribute("data-drop", true);
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || at("stage").removeAttribute("data-drop"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").removeAttribute("data-drop");
  if (!dropped(event.dataTransfer)) message.warn("No file was dropped", "Drop a photo from a folder, or save it first.");
});
new ResizeObserver(fit).observe(at("stage"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);

connect();
