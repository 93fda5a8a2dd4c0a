// The questions: look at two images or at one, choose, confirm, next.

import { runClock } from "./clock.js";
import { covered } from "./cover.js";
import { $, randomHex } from "./dom.js";
import { count, watch } from "./looked.js";
import { mine } from "./only_window.js";
import { pages, show } from "./pages.js";
import { onProgress, preload, progressOf, sourceOf } from "./pictures.js";
import { send } from "./sending.js";
import { current, save, sides, state, study, unanswered } from "./state.js";
import { words } from "./text.js";
import { link, Viewer, viewers } from "./viewer.js";

/** Return whether all pictures of the open question are visible. */
function ready() {
  return sides.every((side) => viewers[side] && viewers[side].ready);
}

/** Return whether the reader sees an open question. */
export function inSight() {
  return state.page === "pairs" && mine && !covered && !state.locked && ready();
}

pages.pairs = () => {
  if (!viewers.left) {
    for (const side of sides) viewers[side] = new Viewer($(side), words(sides.length > 1 ? `image_${side}` : "image_single"));
    if (viewers.right) link([viewers.left, viewers.right], () => $("linked").checked);
    for (const side of sides) watch(viewers[side]);
    onProgress(sayProgress);
    preload(state.pairs.slice(current()).flat());
  }
  $("progress").max = study.pairs;
  $("certain").hidden = !study.confidence;
  $("comment").hidden = !study.comments;
  openQuestion();
};

/** Return the title of a question: practice is counted on its own. */
function titleOf(position) {
  const practice = position < study.practice;
  const n = position + 1 - (practice ? 0 : study.practice);
  return words(practice ? "question_practice" : "question", { n, count: practice ? study.practice : study.pairs - study.practice });
}

function openQuestion() {
  const position = current();
  $("pairs-title").textContent = titleOf(position);
  const opened = sides.map((side, i) => viewers[side].open(sourceOf(state.pairs[position][i])));
  sayProgress();
  Promise.all(opened).then(() => {
    if (position !== current()) return;
    runClock(inSight());
    refresh();
  });
  refresh();
}

function refresh() {
  const { chosen, confidence, comment } = state.locked ? state.answers.at(-1) : state;
  const { side, confidence: levels } = $("choice").elements;
  for (const input of side) input.checked = input.value === chosen;
  for (const input of levels) input.checked = Number(input.value) === confidence;
  for (const input of [...side, ...levels, $("comment")]) input.disabled = state.locked;
  if ($("comment").value !== (comment || "")) $("comment").value = comment || "";
  $("progress").value = state.answers.length;
  $("confirm").hidden = state.locked;
  $("confirm").disabled = !chosen || (study.confidence && !confidence) || !ready();
  $("next").hidden = !state.locked;
  $("next").textContent = words(state.answers.length < study.pairs ? "next" : "see_result");
}

/** Say how much of the open question is here. */
function sayProgress() {
  sides.forEach((side, i) => viewers[side].progress(progressOf(state.pairs[current()][i])));
}

$("choice").addEventListener("input", (event) => {
  if (state.locked) return;
  if (event.target.name === "side") {
    if (state.chosen && state.chosen !== event.target.value) count("changes");
    state.chosen = event.target.value;
  } else if (event.target.name === "confidence") state.confidence = Number(event.target.value);
  else if (event.target.id === "comment") state.comment = event.target.value;
  save();
  refresh();
});

$("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.locked || $("confirm").disabled) return;
  runClock(false);
  const answer = { question: state.answers.length + 1, chosen: state.chosen, key: randomHex(16), sent: false };
  answer.seconds = Math.round(state.seconds * 1000) / 1000;
  answer.at = Date.now();
  Object.assign(answer, { confidence: state.confidence, comment: state.comment.trim(), looked: state.looked });
  state.answers.push(answer);
  Object.assign(state, { locked: true, ...unanswered() });
  save();
  refresh();
  $("next").setAttribute("aria-disabled", "true"); // for the second tap of a double tap on Confirm
  setTimeout(() => $("next").removeAttribute("aria-disabled"), 600);
  $("next").focus();
  send();
});

$("choice").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.repeat) event.preventDefault(); // a key that is held is one answer
});

$("next").addEventListener("click", (event) => {
  if (event.detail && $("next").hasAttribute("aria-disabled")) return; // detail: fingers and mice, not keys
  state.locked = false;
  save();
  if (state.answers.length >= study.pairs) {
    show("result");
    return;
  }
  openQuestion();
  $("pairs-title").focus();
});
