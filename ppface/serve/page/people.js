// The people of the gallery, and their deletion after a confirmation.

import { count, isolated } from "./words.js";

const at = (id) => document.getElementById(id);
const SHOWN = 200; // more rows than this are found by the filter
const OFFERED = 1000; // names while one is typed
const FILTER_FROM = 8;
let people = [];
let deletable = null;

export const known = (name) => people.find((person) => person.name === name);

// found: [{name, images}], or null with `why`; onDelete(name): null if the key does not permit it.
export function show(found, why, onDelete) {
  people = [...(found ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  deletable = onDelete;
  at("people-count").textContent = found ? `(${people.length.toLocaleString("en")})` : "";
  at("people-empty").textContent = why ?? (people.length ? "" : "Nobody is enrolled yet: open a photo, choose a face and enter a name.");
  at("people-empty").hidden = !at("people-empty").textContent;
  at("people-filter-label").hidden = people.length < FILTER_FROM;
  if (people.length < FILTER_FROM) at("people-filter").value = "";
  at("names").replaceChildren(...people.slice(0, OFFERED).map((person) => new Option(person.name, person.name)));
  rows();
}

function rows() {
  const part = at("people-filter").value.trim().toLocaleLowerCase();
  const chosen = people.filter((person) => person.name.toLocaleLowerCase().includes(part));
  at("people").replaceChildren(...chosen.slice(0, SHOWN).map(row));
  at("people-more").hidden = chosen.length > 0 && chosen.length <= SHOWN || !people.length;
  const more = `${count(chosen.length - SHOWN, "more name")}: use the filter.`;
  at("people-more").textContent = chosen.length ? more : "No name has this in it.";
}

function row(person) {
  const li = document.createElement("li");
  const name = document.createElement("span");
  name.className = "people-name";
  name.textContent = person.name;
  const images = document.createElement("span");
  images.className = "count";
  images.textContent = count(person.images, "image");
  li.append(name, images);
  if (deletable) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Delete";
    button.setAttribute("aria-label", `Delete ${person.name}`);
    button.addEventListener("click", () => confirm(person));
    li.append(button);
  }
  return li;
}

function confirm(person) {
  const dialog = at("delete");
  at("delete-title").textContent = `Delete ${isolated(person.name)}?`;
  at("delete-text").textContent =
    `${count(person.images, "image")} of this person will be removed from the gallery. ` +
    "This cannot be undone, and the person will be Unknown from then on.";
  dialog.returnValue = "cancel";
  const remove = deletable;
  dialog.onclose = () => {
    if (dialog.returnValue !== "delete") return;
    at("people-heading").focus(); // the button that had the focus will be gone
    remove(person.name);
  };
  dialog.showModal();
}

at("people-filter").addEventListener("input", rows);
