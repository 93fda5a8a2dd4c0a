// The questions to the reader, after which the session is opened.

import { $ } from "./dom.js";
import { pages } from "./pages.js";
import { begin, reserve } from "./session.js";
import { save, state, study } from "./state.js";

pages.questionnaire = () => {
  askRadiologists();
  reserve();
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

$("about").addEventListener("change", askRadiologists);
$("about").addEventListener("submit", (event) => {
  event.preventDefault();
  state.questionnaire = readQuestionnaire();
  state.reader = $("reader").value.trim().toUpperCase();
  save();
  begin();
});
if (study.mode !== "server") $("reader").closest("p").hidden = true; // the browser remembers it
