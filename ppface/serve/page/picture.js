// Photos in the browser: opened upright, reduced to the service's limits, one face cut out.

export const ACCEPTED = new Set(["image/jpeg", "image/png", "image/webp", "image/bmp"]);
const MARGIN = 0.6; // of a face's box on each side, in what is cut out
const LARGEST = 1280; // pixels of the longer side of what is cut out
const GREY = "rgb(127 127 127)";

// An <img> filled with the file, turned upright by its EXIF orientation as all browsers do; null if the browser cannot show it.
export async function show(image, file) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return { width: image.naturalWidth, height: image.naturalHeight };
  } catch {
    return null;
  }
}

const blobOf = (canvas, type, quality) =>
  new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser could not write the picture"))), type, quality);
  });

// part: [x, y, width, height] of the source; else all of it.
export function canvasOf(source, width, height, part = [0, 0, source.naturalWidth ?? source.width, source.naturalHeight ?? source.height]) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, ...part, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The file itself if it is of an accepted type and within {bytes, pixels}, or cannot be shown (size: null); else a JPEG of it that is.
export async function withinLimits(file, image, size, limits) {
  const bytes = limits?.bytes ?? Infinity;
  const pixels = limits?.pixels ?? Infinity;
  if (!size || (ACCEPTED.has(file.type) && file.size <= bytes && size.width * size.height <= pixels)) return { blob: file, reduced: null };
  let scale = Math.min(1, Math.sqrt(pixels / (size.width * size.height)) * 0.999);
  for (;;) {
    const canvas = canvasOf(image, size.width * scale, size.height * scale);
    const blob = await blobOf(canvas, "image/jpeg", 0.92);
    if (blob.size <= bytes || canvas.width < 64) return { blob, reduced: { width: canvas.width, height: canvas.height } };
    scale *= Math.min(0.9, Math.sqrt(bytes / blob.size) * 0.95);
  }
}

export const jpegOf = (canvas) => blobOf(canvas, "image/jpeg", 0.92);

// One face of a photo with its surroundings, other faces painted over, so that the service finds one alone.
export function cutOut(image, answer, index) {
  const scale = { x: image.naturalWidth / answer.width, y: image.naturalHeight / answer.height };
  const box = (face) => [face.box[0] * scale.x, face.box[1] * scale.y, face.box[2] * scale.x, face.box[3] * scale.y];
  const [x1, y1, x2, y2] = box(answer.faces[index]);
  const [w, h] = [x2 - x1, y2 - y1];
  const left = Math.max(0, Math.floor(x1 - MARGIN * w));
  const top = Math.max(0, Math.floor(y1 - MARGIN * h));
  const width = Math.min(image.naturalWidth, Math.ceil(x2 + MARGIN * w)) - left;
  const height = Math.min(image.naturalHeight, Math.ceil(y2 + MARGIN * h)) - top;
  const zoom = LARGEST / Math.max(width, height);
  const canvas = canvasOf(image, width, height, [left, top, width, height]);
  const context = canvas.getContext("2d");
  const outside = new Path2D();
  outside.rect(0, 0, width, height);
  outside.rect(x1 - left, y1 - top, w, h);
  context.clip(outside, "evenodd"); // the chosen face is never painted over
  context.fillStyle = GREY;
  answer.faces.forEach((face, i) => {
    const [a, b, c, d] = box(face);
    const [marginX, marginY] = [0.1 * (c - a), 0.1 * (d - b)];
    if (i !== index) context.fillRect(a - marginX - left, b - marginY - top, c - a + 2 * marginX, d - b + 2 * marginY);
  });
  return blobOf(zoom < 1 ? canvasOf(canvas, width * zoom, height * zoom) : canvas, "image/jpeg", 0.95);
}

// A small square picture of a face.
export function thumbnail(canvas, source, answer, face) {
  const scale = (source.naturalWidth ?? source.width) / answer.width;
  const [x1, y1, x2, y2] = face.box.map((value) => value * scale);
  const side = Math.max(x2 - x1, y2 - y1) * 1.25;
  const size = Math.round(56 * (window.devicePixelRatio || 1));
  canvas.width = size;
  canvas.height = size;
  canvas.getContext("2d").drawImage(source, (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side, side, 0, 0, size, size);
}
