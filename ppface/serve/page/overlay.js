// Draws boxes, names and landmarks on the canvas that lies over a photo or a video.

import { kind } from "./words.js";

const STYLES = {
  named: { colour: "#34d399", dash: [] },
  unknown: { colour: "#fbbf24", dash: [9, 6] },
  refused: { colour: "#fb7185", dash: [2, 5] },
  plain: { colour: "#60a5fa", dash: [] },
};
const DARK = "rgb(8 10 18 / 85%)"; // under every line, so that it shows on pictures of any colour
const FONT = '600 14px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

const labelOf = (face, i) => `${i + 1} ${{ named: face.name, unknown: "?", refused: "!", plain: "" }[kind(face)]}`.trim();

// answer: {width, height, faces} in pixels of the upright picture, or null to clear; selected: index of a face or null.
export function draw(canvas, answer, selected) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const density = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  if (!answer || !width) return;
  const context = canvas.getContext("2d");
  context.scale(density, density);
  const scale = { x: width / answer.width, y: height / answer.height };
  const order = answer.faces.map((_, i) => i).sort((a, b) => (a === selected) - (b === selected)); // the chosen one on top
  for (const i of order) drawFace(context, answer.faces[i], i, scale, i === selected, { width, height });
}

function drawFace(context, face, i, scale, chosen, limit) {
  const { colour, dash } = STYLES[kind(face)];
  const [x1, y1, x2, y2] = face.box;
  const [x, y, w, h] = [x1 * scale.x, y1 * scale.y, (x2 - x1) * scale.x, (y2 - y1) * scale.y];
  for (const [stroke, line, pattern] of [[DARK, chosen ? 7 : 5, []], [colour, chosen ? 4 : 2.5, dash]]) {
    context.strokeStyle = stroke;
    context.lineWidth = line;
    context.setLineDash(pattern);
    context.beginPath();
    context.roundRect(x, y, w, h, Math.min(8, w / 6));
    context.stroke();
  }
  context.setLineDash([]);
  drawPoints(context, face.landmarks ?? [], scale, w, colour);
  drawLabel(context, labelOf(face, i), { x, y, bottom: y + h }, limit, colour);
}

function drawPoints(context, points, scale, width, colour) {
  const radius = Math.max(1, Math.min(3.2, width / (points.length > 20 ? 90 : 35)));
  for (const [px, py] of points) {
    for (const [fill, size] of [[DARK, radius + Math.min(1.2, width / 40)], [colour, radius]]) {
      context.fillStyle = fill;
      context.beginPath();
      context.arc(px * scale.x, py * scale.y, size, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

// Above the box, below it where there is no room, else inside; cut to the width of the picture.
function drawLabel(context, text, { x, y, bottom }, limit, colour) {
  context.font = FONT;
  context.textBaseline = "middle";
  let shown = [...text].slice(0, 60);
  while (shown.length > 4 && context.measureText(`${shown.join("")}…`).width > Math.min(limit.width - 12, 260)) shown.pop();
  const label = shown.length < [...text].length ? `${shown.join("")}…` : text;
  const width = context.measureText(label).width + 12;
  const left = Math.max(0, Math.min(x - 1.5, limit.width - width));
  const top = y >= 27 ? y - 26 : bottom + 27 <= limit.height ? bottom + 4 : Math.max(0, y) + 3;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, width, 22, 5);
  context.fill();
  context.fillStyle = "#0b0d16";
  context.fillText(label, left + 6, top + 11.5);
}

// The smallest face whose box has this point of the picture, or null.
export function faceAt(answer, x, y) {
  const hits = answer.faces
    .map(({ box: [x1, y1, x2, y2] }, i) => ({ i, inside: x >= x1 && x <= x2 && y >= y1 && y <= y2, area: (x2 - x1) * (y2 - y1) }))
    .filter((hit) => hit.inside);
  return hits.length ? hits.sort((a, b) => a.area - b.area)[0].i : null;
}
