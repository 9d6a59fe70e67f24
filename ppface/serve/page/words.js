// What the page says: errors, rates and counts, in plain words.

const ERRORS = {
  bad_image: ["This file is not a photo that the service can read", ""],
  no_face: ["No face found", "Take a photo in which the face is larger, sharper or better lit."],
  several_faces: ["More than one face", "A photo to enrol shows one person: choose one face in the list, or another photo."],
  too_large: ["The photo is too large", "Take a smaller one."],
  unauthorized: ["An API key is needed", "Enter the key that you were given."],
  forbidden: ["This API key does not permit that", "Ask for a key with that permission."],
  not_found: ["This is not there any more", "Somebody else may have deleted it."],
  busy: ["The service is busy", "Try again in a moment."],
  rate_limited: ["Too many requests with this key", "Try again in a moment."],
  invalid: ["The service did not accept this", ""],
  unavailable: ["The service is not ready", "It may be starting; try again in a moment."],
  internal: ["The service failed", "Its log has the reason."],
  offline: ["The service does not answer", "It may have been stopped, or the network is down."],
};
export const AGAIN = new Set(["busy", "rate_limited", "unavailable", "internal", "offline"]); // another try may succeed

// {title, text} of an error of the service.
export function explain(error) {
  const [title, hint] = ERRORS[error.code] ?? ERRORS.internal;
  const wait = error.wait ? `Try again in ${count(Math.ceil(error.wait), "second")}.` : hint;
  const said = error.code === "unauthorized" ? "" : sentence(error.message); // that is about headers
  return { title, text: [said, wait].filter(Boolean).join(" ") };
}

function sentence(text) {
  const trimmed = (text ?? "").trim();
  return trimmed && trimmed[0].toLocaleUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

export const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// 0.001 -> "0.1 %", 0.00001 -> "0.001 %"
export const percent = (rate) => `${Number((100 * rate).toPrecision(2))} %`;

export const megabytes = (bytes) => `${Number((bytes / 1e6).toPrecision(2))} MB`;

// What is known of the false match rate at a threshold: it falls as the threshold rises.
export function falseMatches(threshold, calibration) {
  if (!calibration.length) return "False match rate: not known, as the gallery is not calibrated (ppface gallery calibrate).";
  const points = [...calibration].sort((a, b) => a.threshold - b.threshold);
  const exact = points.find((point) => Math.abs(point.threshold - threshold) < 1e-6);
  if (exact) {
    const interval = exact.low == null ? "" : ` (95 % interval ${percent(exact.low)} to ${percent(exact.high)})`;
    return `False match rate: ${percent(exact.false_match_rate)}${interval}.`;
  }
  const below = points.filter((point) => point.threshold < threshold).at(-1);
  const above = points.find((point) => point.threshold > threshold);
  if (!below) return `False match rate: more than ${percent(above.false_match_rate)}.`;
  if (!above) return `False match rate: less than ${percent(below.false_match_rate)}.`;
  return `False match rate: between ${percent(above.false_match_rate)} and ${percent(below.false_match_rate)}.`;
}

// A name within a sentence: one that is written from right to left leaves the order of the others.
export const isolated = (name) => `\u2068${name}\u2069`;

export const UNKNOWN = "Unknown";

// "named", "unknown", "refused" or "plain" (no search): how a face is drawn and described.
export function kind(face) {
  if (face.name && face.name !== UNKNOWN) return "named";
  if (face.refusals?.length) return "refused";
  return face.name ? "unknown" : "plain";
}

// One sentence for the result of a photo.
export function summary(faces) {
  if (!faces.length) return "No face found.";
  const found = `${count(faces.length, "face")} found`;
  if (!faces.some((face) => face.name)) return `${found}.`;
  const unnamed = { refused: "not usable", unknown: UNKNOWN, plain: UNKNOWN };
  return `${found}: ${faces.map((face) => unnamed[kind(face)] ?? isolated(face.name)).join(", ")}.`;
}
