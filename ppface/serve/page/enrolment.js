// Enrols the chosen face, lists people and deletes them.

import { service, ServiceError } from "./api.js";
import { fail } from "./connection.js";
import * as message from "./message.js";
import * as people from "./people.js";
import { lookAgain } from "./photo.js";
import { cutOut } from "./picture.js";
import { can, state } from "./state.js";
import { offerEnrolment } from "./view.js";
import { count, isolated } from "./words.js";

const at = (id) => document.getElementById(id);

// Fills the list of people; problem: why the service says nothing, or null.
export async function loadPeople(problem = null) {
  if (problem?.code === "unauthorized") return people.show(null, "An API key is needed to see them.", null);
  if (problem) return people.show(null, "The service does not answer.", null);
  if (!state.info.gallery) return people.show(null, "This service has no gallery: faces are found, but not named.", null);
  if (!can("read")) return people.show(null, "This API key does not permit to list people.", null);
  try {
    people.show((await service.people()).people, undefined, can("delete") ? remove : null);
    offerEnrolment(); // for a name that was typed before
  } catch (error) {
    fail(error, () => loadPeople());
  }
}

async function enrol() {
  const name = at("enrol-name").value.trim();
  const { photo, answer, selected } = state;
  if (!name) return message.warn("A name is missing", "Enter the name of the person.");
  if (selected === null) return message.problem(new ServiceError("several_faces", `This photo has ${answer.faces.length} faces`));
  const one = answer.faces.length === 1;
  if (!one && !photo.image) return message.warn("This browser cannot show the photo", "Enrol from a photo with one face.");
  message.clear();
  at("enrol-submit").setAttribute("aria-disabled", "true");
  try {
    const done = await service.enrol(name, one ? photo.blob : await cutOut(at("photo"), answer, selected));
    message.tell(`${isolated(done.name)} is enrolled`, `The gallery has ${count(done.images, "image")} of this person.`, null, undo(done));
    at("enrol-name").value = "";
    loadPeople();
    if (photo === state.photo) lookAgain();
  } catch (error) {
    fail(error, enrol);
  } finally {
    at("enrol-submit").removeAttribute("aria-disabled");
  }
}

// The button that removes an image that was just enrolled; a person of this image alone goes with it.
function undo({ name, image, images }) {
  if (!can("delete")) return null;
  const run = async () => {
    if (images === 1) return remove(name);
    try {
      const left = (await service.removeImage(name, image)).images;
      message.tell("The image is deleted", `The gallery has ${count(left, "image")} of ${isolated(name)}.`);
    } catch (error) {
      fail(error, run);
    }
    if (state.info) await loadPeople();
    lookAgain();
  };
  return { label: "Delete this image again", run };
}

async function remove(name) {
  try {
    const receipt = await service.forget(name);
    const file = { name: "receipt.json", label: "Save the receipt", content: JSON.stringify(receipt, null, 2) };
    message.tell(`${isolated(name)} is deleted`, "Embeddings and stored pictures of this person are removed from the gallery.", file);
  } catch (error) {
    fail(error, () => remove(name));
  }
  if (state.info) await loadPeople();
  lookAgain();
}

at("enrol").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("enrol-submit").getAttribute("aria-disabled") !== "true") enrol();
});
