// A photo: opened, sent, its faces shown.

import { connect, fail } from "./connection.js";
import * as message from "./message.js";
import * as pictures from "./picture.js";
import { ask, can, state } from "./state.js";
import { busy, render } from "./view.js";

const at = (id) => document.getElementById(id);

export async function open(file) {
  const turn = ++state.turn;
  message.clear();
  Object.assign(state, { photo: null, answer: null, selected: null });
  busy(true);
  const size = await pictures.show(at("photo"), file);
  if (turn !== state.turn) return;
  at("photo").hidden = !size;
  state.photo = { file, blob: null, image: size !== null, ...(size ?? { width: 0, height: 0 }) };
  render();
  await look();
}

// What is sent of a photo: within the limits of the service.
async function fitted({ file, image, width, height }) {
  const size = image ? { width, height } : null;
  const { blob, reduced } = await pictures.withinLimits(file, at("photo"), size, state.info.limits);
  if (reduced && reduced.width < width) {
    message.tell("The photo was reduced", `to ${reduced.width}x${reduced.height} pixels, which the service accepts.`);
  }
  return blob;
}

// Sends the photo and shows the answer; of several that are under way the last one counts.
async function look() {
  const turn = ++state.turn;
  const { photo } = state;
  busy(true);
  try {
    if (!state.info) return connect(); // which looks again
    if (!can("read") && !can("search")) return message.warn("This API key does not permit to find faces");
    photo.blob ??= await fitted(photo);
    if (turn !== state.turn) return;
    const answer = await ask(photo.blob);
    if (turn !== state.turn) return;
    const same = state.answer?.faces.length === answer.faces.length;
    state.selected = answer.faces.length === 1 ? 0 : same ? state.selected : null;
    state.answer = answer;
  } catch (error) {
    if (turn !== state.turn) return;
    state.answer = null;
    fail(error, lookAgain);
  } finally {
    if (turn === state.turn) {
      busy(false);
      render();
    }
  }
}

// After a change of the threshold, the people or the key.
export const lookAgain = () => (state.photo ? look() : null);
