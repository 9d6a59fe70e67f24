// The live view of the camera: the next frame is sent when the last answer has come.

import * as camera from "./camera.js";
import { fail } from "./connection.js";
import * as message from "./message.js";
import { jpegOf } from "./picture.js";
import { ask, state } from "./state.js";
import { busy, render } from "./view.js";
import { AGAIN, explain } from "./words.js";

const at = (id) => document.getElementById(id);
let starts = 0; // a start that was overtaken by another, or by a photo, gives its camera back

async function start(device) {
  const mine = ++starts;
  message.clear();
  try {
    if (!(await camera.open(at("video"), device, () => mine === starts))) return;
  } catch (error) {
    if (mine !== starts) return;
    const { title, text } = camera.explain(error);
    stop();
    return message.warn(title, text);
  }
  Object.assign(state, { photo: null, answer: null, selected: null, turn: state.turn + 1 });
  busy(false);
  buttons(true);
  at("camera-take").focus();
  render();
  while (mine === starts) await frame(() => mine === starts);
}

async function frame(wanted) {
  const canvas = camera.frame(at("video"));
  try {
    const answer = await ask(await jpegOf(canvas));
    if (!wanted()) return;
    state.answer = answer;
    render(canvas);
  } catch (error) {
    if (!wanted()) return;
    if (!AGAIN.has(error.code) || error.code === "offline") {
      stop();
      return fail(error);
    }
    at("result").textContent = `${explain(error).title}: waiting.`;
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(1, error.wait)));
  }
  await new Promise((resolve) => requestAnimationFrame(resolve)); // and not at all while the tab is hidden
}

export function stop() {
  starts++;
  if (at("video").hidden) return;
  const focused = [at("camera-take"), at("camera-close")].includes(document.activeElement);
  camera.close(at("video"));
  buttons(false);
  if (focused) at("camera-open").focus();
  state.answer = null;
  render();
}

function buttons(live) {
  at("video").hidden = !live;
  if (live) at("photo").hidden = true;
  for (const [id, shown] of [["camera-take", live], ["camera-close", live], ["camera-open", !live]]) at(id).hidden = !shown;
  at("choose").classList.toggle("primary", !live);
}

// The present frame in the camera's full size, as a file.
export const photo = () => jpegOf(camera.frame(at("video"), true));

at("camera-open").addEventListener("click", () => start());
at("camera-select").addEventListener("change", () => start(at("camera-select").value));
at("camera-close").addEventListener("click", stop);
at("video").addEventListener("unplugged", stop);
