// The list of a photo's faces. Names are other people's text: they enter the page by textContent alone.

import { thumbnail } from "./picture.js";
import { kind, UNKNOWN } from "./words.js";

const at = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const score = (value) => value.toFixed(3);

// Lines under a face's name: [mark, words].
function lines(face, threshold) {
  const found = `detection score ${face.score.toFixed(2)}`;
  const refused = (face.refusals ?? []).map((reason) => ["Not usable:", reason]);
  const against = `threshold ${score(threshold)}`;
  const words = {
    named: () => [["Match:", `score ${score(face.best)}, ${against}`]],
    unknown: () => [[`${UNKNOWN}:`, face.best === null ? "nobody is enrolled" : `best score ${score(face.best)}, ${against}`]],
    refused: () => [],
    plain: () => [],
  }[kind(face)]();
  return [...words, ...refused, ["", found]];
}

// The score as a length, with a tick at the threshold; the words beside it say the same.
function bar(value, threshold) {
  const whole = element("span", "bar-score");
  whole.setAttribute("aria-hidden", "true");
  const [part, tick] = [element("span", "part"), element("span", "tick")];
  const share = (number) => `${100 * Math.min(1, Math.max(0, number))}%`;
  part.style.width = share(value);
  tick.style.left = share(threshold);
  whole.append(part, tick);
  return whole;
}

function item(face, i, { answer, source, selected, onSelect, threshold }) {
  const li = element("li");
  const row = element(onSelect ? "button" : "div", `face ${kind(face)}`);
  if (onSelect) {
    row.type = "button";
    row.setAttribute("aria-pressed", i === selected);
    row.addEventListener("click", () => onSelect(i));
  }
  const canvas = element("canvas");
  canvas.setAttribute("aria-hidden", "true");
  if (source) thumbnail(canvas, source, answer, face);
  const title = element("span");
  const name = kind(face) === "plain" ? "Face" : kind(face) === "refused" ? "Not usable" : face.name;
  title.append(element("span", "number", `${i + 1}`), element("strong", "", name));
  const about = element("span", "about");
  for (const [mark, words] of lines(face, threshold)) {
    const line = element("span");
    if (mark) line.append(element("span", "mark", mark), " ");
    line.append(words);
    about.append(line);
  }
  for (const match of (face.matches ?? []).slice(1)) about.append(element("span", "", `or ${match.name}: score ${score(match.score)}`));
  row.append(canvas, title, about);
  if (face.best != null) row.append(bar(face.best, threshold)); // null: nobody is enrolled; undefined: no search
  li.append(row);
  return li;
}

// options: {answer, source (null: no thumbnails), selected, onSelect (null: the list only shows), threshold}
export function list(options) {
  const ol = at("faces");
  const focused = [...ol.querySelectorAll("button")].indexOf(document.activeElement);
  const faces = options?.answer?.faces ?? [];
  ol.replaceChildren(...faces.map((face, i) => item(face, i, options)));
  at("faces-empty").hidden = faces.length > 0;
  at("faces-empty").textContent = options?.answer ? "No face was found." : "The faces of your photo are listed here.";
  ol.querySelectorAll("button")[focused]?.focus();
}
