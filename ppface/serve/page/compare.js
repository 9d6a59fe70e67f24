// Compares the chosen face of the photo with the face of another photo.

import { service, ServiceError } from "./api.js";
import { fail } from "./connection.js";
import * as message from "./message.js";
import { cutOut, show, withinLimits } from "./picture.js";
import { state } from "./state.js";
import * as threshold from "./threshold.js";

const at = (id) => document.getElementById(id);

async function fitted(file) {
  const image = new Image();
  try {
    return (await withinLimits(file, image, await show(image, file), state.info.limits)).blob;
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

async function compare(file) {
  const { photo, answer, selected, turn } = state;
  if (selected === null) return message.problem(new ServiceError("several_faces", `This photo has ${answer.faces.length} faces`));
  message.clear();
  try {
    const one = answer.faces.length === 1 ? photo.blob : await cutOut(at("photo"), answer, selected);
    const found = await service.verify(one, await fitted(file), threshold.value());
    if (turn !== state.turn) return; // another photo is shown meanwhile
    const scores = `Score ${found.score.toFixed(3)}, threshold ${found.threshold.toFixed(3)}.`;
    message.tell(found.same ? "Both photos show the same person" : "The photos show different people", scores);
  } catch (error) {
    fail(error, () => compare(file));
  }
}

at("compare-choose").addEventListener("click", () => at("compare-file").click());
at("compare-file").addEventListener("change", () => {
  const [file] = at("compare-file").files;
  at("compare-file").value = ""; // so that the same file can be chosen again
  if (file && state.answer?.faces.length) compare(file);
});
