// The pairs of images: look, choose, confirm, next.

import { runClock } from "./clock.js";
import { covered } from "./cover.js";
import { $, randomHex } from "./dom.js";
import { mine } from "./only_window.js";
import { pages, show } from "./pages.js";
import { onProgress, preload, progressOf, sourceOf } from "./pictures.js";
import { send } from "./sending.js";
import { current, save, state, study } from "./state.js";
import { link, Viewer, viewers } from "./viewer.js";

/** Return whether the reader sees an open pair. */
export function inSight() {
  const opened = state.page === "pairs" && mine && !covered && !state.locked;
  return Boolean(opened && viewers.left && viewers.left.ready && viewers.right.ready);
}

pages.pairs = () => {
  if (!viewers.left) {
    viewers.left = new Viewer($("left"), "left image");
    viewers.right = new Viewer($("right"), "right image");
    link([viewers.left, viewers.right], () => $("linked").checked);
    onProgress(sayProgress);
    preload(state.pairs.slice(current()).flat());
  }
  $("progress").max = study.pairs;
  openPair();
};

function openPair() {
  const position = current();
  $("pairs-title").textContent = `Pair ${position + 1} of ${study.pairs}`;
  const opened = ["left", "right"].map((side, i) => viewers[side].open(sourceOf(state.pairs[position][i])));
  sayProgress();
  Promise.all(opened).then(() => {
    if (position !== current()) return;
    runClock(inSight());
    refresh();
  });
  refresh();
}

function refresh() {
  const chosen = state.locked ? state.answers.at(-1).chosen : state.chosen;
  for (const input of $("choice").elements.side) {
    input.checked = input.value === chosen;
    input.disabled = state.locked;
  }
  $("progress").value = state.answers.length;
  $("confirm").hidden = state.locked;
  $("confirm").disabled = !chosen || !viewers.left.ready || !viewers.right.ready;
  $("next").hidden = !state.locked;
  $("next").textContent = state.answers.length < study.pairs ? "Next pair" : "See the result";
}

/** Say how much of the open pair is here. */
function sayProgress() {
  ["left", "right"].forEach((side, i) => viewers[side].progress(progressOf(state.pairs[current()][i])));
}

$("choice").addEventListener("change", (event) => {
  if (event.target.name !== "side" || state.locked) return;
  state.chosen = event.target.value;
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
  state.answers.push(answer);
  Object.assign(state, { locked: true, chosen: "", seconds: 0 });
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
  openPair();
  $("pairs-title").focus();
});
