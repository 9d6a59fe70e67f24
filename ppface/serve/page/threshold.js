// The threshold: a slider, what is known of its false match rate, and a button for each calibrated rate.

import { falseMatches, percent } from "./words.js";

const at = (id) => document.getElementById(id);
const WITHOUT_CALIBRATION = 0.5;
let current = null; // the exact value: the slider rounds to its steps
let calibration = [];

export const value = () => current;

// Shows what /v1/info says; a value chosen before stays. onChange: called when another value was chosen.
export function setup(info, onChange) {
  calibration = info.calibration ?? [];
  current ??= info.threshold ?? WITHOUT_CALIBRATION;
  const slider = at("threshold");
  slider.min = Math.min(0, ...calibration.map((point) => Math.floor(10 * point.threshold) / 10));
  slider.oninput = () => set(Number(slider.value));
  slider.onchange = onChange;
  const picks = [...calibration].sort((a, b) => b.false_match_rate - a.false_match_rate).map((point) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.threshold = point.threshold;
    button.textContent = percent(point.false_match_rate);
    button.setAttribute("aria-label", `False match rate ${percent(point.false_match_rate)}`);
    button.addEventListener("click", () => {
      set(point.threshold);
      onChange();
    });
    return button;
  });
  at("threshold-picks").replaceChildren(...picks);
  at("threshold-picks").hidden = !picks.length;
  set(current);
}

function set(threshold) {
  current = threshold;
  const rate = falseMatches(threshold, calibration);
  at("threshold").value = threshold;
  at("threshold").setAttribute("aria-valuetext", threshold.toFixed(3));
  at("threshold-value").textContent = threshold.toFixed(3);
  at("threshold-rate").textContent = rate;
  for (const button of at("threshold-picks").children) {
    button.setAttribute("aria-pressed", Math.abs(button.dataset.threshold - threshold) < 1e-6);
  }
}
