// The camera: frames for the live view, one at a time, and its choice where there are several.

import { canvasOf } from "./picture.js";

const at = (id) => document.getElementById(id);
const LIVE_WIDTH = 640; // of the frames that are sent; a photo taken has the camera's full size
let stream = null;

export const on = () => stream !== null;

const WHY = {
  NotAllowedError: ["The camera is not permitted", "Permit it for this page in the browser's settings, then try again."],
  NotFoundError: ["No camera found", "Connect one, or choose a photo."],
  NotReadableError: ["The camera cannot be read", "Another program may be using it."],
};

// {title, text} of why there is no live view.
export function explain(error) {
  if (!navigator.mediaDevices) return { title: "No camera here", text: "Browsers give it to pages on https:// or localhost alone." };
  const [title, text] = WHY[error.name] ?? ["The camera does not start", error.message];
  return { title, text };
}

// False if it is not `wanted()` any more when the camera has come.
export async function open(video, device, wanted) {
  close(video);
  const wished = { width: { ideal: 1280 }, height: { ideal: 720 }, ...(device && { deviceId: { exact: device } }) };
  const opened = await navigator.mediaDevices.getUserMedia({ audio: false, video: wished });
  if (!wanted()) {
    opened.getTracks().forEach((track) => track.stop());
    return false;
  }
  stream = opened;
  opened.getVideoTracks()[0].addEventListener("ended", () => stream === opened && video.dispatchEvent(new Event("unplugged")));
  video.srcObject = opened;
  await video.play();
  await offer(opened);
  return wanted();
}

// The list of cameras, shown where there is a choice.
async function offer(opened) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  const current = opened.getVideoTracks()[0].getSettings().deviceId;
  const option = ({ label, deviceId }, i) => new Option(label || `Camera ${i + 1}`, deviceId, false, deviceId === current);
  at("camera-select").replaceChildren(...cameras.map(option));
  at("camera-choice").hidden = cameras.length < 2;
}

export function close(video) {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  at("camera-choice").hidden = true;
}

// A canvas with the video's present frame, for the live view or, `full`, for a photo.
export function frame(video, full = false) {
  const { videoWidth: width, videoHeight: height } = video;
  const scale = full ? 1 : Math.min(1, LIVE_WIDTH / width);
  return canvasOf(video, width * scale, height * scale, [0, 0, width, height]);
}
