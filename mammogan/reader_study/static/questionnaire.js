// The questions to the reader, after which the session is opened.

import { $ } from "./dom.js";
import { pages } from "./pages.js";
import { begin, reserve } from "./session.js";
import { save, state, study } from "./state.js";

const fields = new Map(); // by item, the element that shows it

pages.questionnaire = () => {
  if (!fields.size) $("items").append(...study.questionnaire.map(fieldOf));
  showAsked();
  reserve();
  if (state.questionnaire) begin(); // a reload while the session was being opened
};

/** Return the element that asks an item. */
function fieldOf(item) {
  const field = document.createElement(item.choices ? "fieldset" : "p");
  if (item.choices) {
    const legend = document.createElement("legend");
    legend.textContent = item.text;
    field.append(legend, ...Object.entries(item.choices).map(([value, text]) => choiceOf(item.name, value, text)));
  } else {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.id = label.htmlFor = `about-${item.name}`; // other ids of the page are words, too
    label.textContent = item.text;
    Object.assign(input, { name: item.name, autocomplete: "off" });
    if (item.number) {
      const [min, max] = item.number;
      Object.assign(input, { type: "number", inputMode: "numeric", min, max, step: 1, required: true });
    } else Object.assign(input, { type: "text", maxLength: item.length });
    field.append(label, input);
  }
  fields.set(item, field);
  return field;
}

function choiceOf(name, value, text) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name, value, required: true });
  label.append(input, ` ${text}`);
  return label;
}

/** Return the answer to an item so far. (`elements` of a form has names of its own, such as length and start.) */
function given(item) {
  return new FormData($("about")).get(item.name) || "";
}

/** Return whether an item is asked after the answers so far. */
function asked(item) {
  return Object.entries(item.when || {}).every(([name, value]) => {
    const before = study.questionnaire.find((each) => each.name === name);
    return asked(before) && given(before) === value;
  });
}

/** Show the questions that are asked, and no others. */
function showAsked() {
  for (const [item, field] of fields) {
    field.hidden = !asked(item);
    for (const input of field.querySelectorAll("input")) input.disabled = field.hidden;
  }
}

/** Return the answers of the questionnaire by column, as the server expects them. */
function readQuestionnaire() {
  const about = {};
  for (const item of study.questionnaire.filter(asked)) {
    const value = given(item);
    if (item.columns) for (const column of item.columns) about[column] = column === value ? "yes" : "no";
    else about[item.name] = item.number ? Number(value) : value.trim();
  }
  return about;
}

$("about").addEventListener("change", showAsked);
$("about").addEventListener("submit", (event) => {
  event.preventDefault();
  state.questionnaire = readQuestionnaire();
  state.reader = $("reader").value.trim().toUpperCase();
  state.began = Date.now();
  save();
  begin();
});
if (study.mode !== "server") $("reader").closest("p").hidden = true; // the browser remembers it
