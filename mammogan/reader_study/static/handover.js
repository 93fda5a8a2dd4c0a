// A tablet changes hands: a new reader, and a reader who left.

import { backend } from "./backend.js";
import { runClock } from "./clock.js";
import { cover, covered, uncover } from "./cover.js";
import { $ } from "./dom.js";
import { claim, leave, mine, owns, resign, whenLost } from "./only_window.js";
import { show } from "./pages.js";
import { inSight } from "./pairs.js";
import { send } from "./sending.js";
import { become, fresh, freshWith, save, state, stored, study } from "./state.js";

/** Show the test in this window. */
export function run() {
  claim();
  become(stored());
  if (state.page === "tutorial") state.active = Date.now();
  show(state.page);
  askIfIdle();
  send();
}

function goOn() {
  uncover();
  state.active = Date.now();
  if (mine) {
    runClock(inSight());
    $(`${state.page}-title`).focus();
  } else run();
}

/** Begin anew. Nothing of the last reader stays but the answers that are not sent yet. */
function newReader(same = false) {
  if (state.questionnaire) {
    const opening = state.opening ? [{ opening: state.opening }] : [];
    const unsent = state.answers.filter((answer) => !answer.sent).map((answer) => ({ ...answer, token: state.token }));
    become(fresh([...state.outbox, ...opening, ...unsent]));
    if (window.caches) caches.delete(`pictures-${study.id}`); // see offline.js
  } else become(freshWith(state));
  if (!same) backend.forget();
  save();
  for (const form of document.forms) form.reset();
  $("linked").checked = false;
  location.reload();
  resign(); // what is under way changes nothing any more
}

/** Lock the page if nobody has touched it for a while. */
function askIfIdle() {
  const away = Date.now() - (state.active || 0);
  if (study.idle && state.page !== "tutorial" && !covered && away > 1000 * study.idle) cover("idle");
}

$("cover-go").addEventListener("click", goOn);
$("cover-new").addEventListener("click", () => newReader());
$("again").addEventListener("click", () => newReader(study.mode !== "server"));
for (const button of document.querySelectorAll(".new-reader")) button.addEventListener("click", () => cover("leave"));

for (const touch of ["pointerdown", "pointermove", "keydown", "wheel"]) {
  addEventListener(touch, () => { if (!covered) state.active = Date.now(); }, { capture: true, passive: true });
}

whenLost(() => cover("elsewhere"));
addEventListener("pagehide", () => leave(save));
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
document.addEventListener("visibilitychange", () => {
  askIfIdle();
  runClock(inSight());
  save();
});

setInterval(() => {
  if (!owns()) return;
  claim();
  askIfIdle();
  runClock(inSight());
  save();
}, 1000);
