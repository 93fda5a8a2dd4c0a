// The questions to the reader, after which the session is opened.

import { backend, Failed, LONGEST } from "./backend.js";
import { $, say, sleep } from "./dom.js";
import { mine } from "./only_window.js";
import { pages, show } from "./pages.js";
import { save, state, study } from "./state.js";

pages.questionnaire = () => {
  askRadiologists();
  if (state.questionnaire) begin(); // a reload while the session was being opened
};

/** Show the questions for radiologists to radiologists only. */
function askRadiologists() {
  const radiologist = $("about").elements.radiologist.value === "yes";
  $("radiologists").hidden = !radiologist;
  for (const input of $("radiologists").querySelectorAll("input")) input.disabled = !radiologist;
}

/** Return the answers of the questionnaire as the server expects them. */
function readQuestionnaire() {
  const form = new FormData($("about"));
  const about = { radiologist: form.get("radiologist"), years: Number(form.get("years")) };
  if (about.radiologist === "yes") {
    const training = form.get("training");
    about.board_certified = training === "board_certified" ? "yes" : "no";
    about.trainee = training === "trainee" ? "yes" : "no";
    about.breast_specialist = form.get("breast_specialist");
    about.screening = form.get("screening");
  }
  return about;
}

/** Open the session. The key makes a repeated request harmless. */
async function begin() {
  $("start").disabled = true;
  for (let pause = 1000; ; pause = Math.min(2 * pause, LONGEST)) {
    try {
      const { token, session, reader, pairs } = await backend.start(state.key, state.questionnaire, state.reader || "");
      if (!mine) return;
      say("");
      Object.assign(state, { token, session, reader, pairs });
      show("pairs");
      return;
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      if (!error.retry) {
        delete state.questionnaire;
        save();
        $("start").disabled = false;
        say(error.message);
        return;
      }
      say("No connection yet; the test starts when there is one.");
      await sleep(pause);
    }
  }
}

$("about").addEventListener("change", askRadiologists);
$("about").addEventListener("submit", (event) => {
  event.preventDefault();
  state.questionnaire = readQuestionnaire();
  state.reader = $("reader").value.trim().toUpperCase();
  save();
  begin();
});
if (study.mode !== "server") $("reader").closest("p").hidden = true; // the browser remembers it
