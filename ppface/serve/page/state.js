// What the parts of the page share: what the service permits, the photo and its faces.

import { service } from "./api.js";
import * as threshold from "./threshold.js";

export const state = {
  info: null, // of /v1/info; null while the service does not answer or wants a key
  photo: null, // {file, blob: what is sent of it, image: whether the browser shows it, width, height}
  answer: null, // of the service, for the photo or the last frame of the camera
  selected: null, // index of the chosen face
  turn: 0, // counts photos and starts of the camera, so that late answers are dropped
};

export const can = (scope) => state.info?.scopes.includes(scope) ?? false;
export const searches = () => Boolean(state.info?.gallery) && can("search");

// The faces of a picture from left to right, named if the key permits it.
export async function ask(picture) {
  const answer = await (searches() ? service.search(picture, threshold.value()) : service.detect(picture));
  const middle = (face) => face.box[0] + face.box[2];
  answer.faces.sort((a, b) => middle(a) - middle(b));
  return answer;
}
