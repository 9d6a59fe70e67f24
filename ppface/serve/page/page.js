// The page: puts its parts together.

import "./compare.js";
import { connect, onChange } from "./connection.js";
import { loadPeople } from "./enrolment.js";
import * as live from "./live.js";
import * as message from "./message.js";
import * as photo from "./photo.js";
import { searches, state } from "./state.js";
import * as threshold from "./threshold.js";
import { fit, offerEnrolment } from "./view.js";

const at = (id) => document.getElementById(id);

onChange(async (problem) => {
  at("threshold-section").hidden = !searches();
  if (state.info) threshold.setup(state.info, photo.lookAgain);
  offerEnrolment();
  if (state.info) photo.lookAgain();
  await loadPeople(problem);
});

function open(file) {
  live.stop();
  photo.open(file);
}

// Opens the first file of a choice, paste or drop; false without one.
function take(files) {
  if (!files?.length) return false;
  open(files[0]);
  return true;
}

at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => {
  take(at("file").files);
  at("file").value = ""; // so that the same file can be chosen again
});
at("camera-take").addEventListener("click", async () => open(await live.photo()));
document.addEventListener("paste", (event) => take(event.clipboardData?.files) && event.preventDefault());
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
  if (!take(event.dataTransfer?.files)) message.warn("No file was dropped", "Drop a photo from a folder, or save it first.");
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);

connect();
