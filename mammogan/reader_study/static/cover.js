// Questions that cover the page: a new reader, a reader who left, a second window.

import { runClock } from "./clock.js";
import { $ } from "./dom.js";

const QUESTIONS = {
  leave: ["New reader?", "This test ends here and cannot be continued. Its confirmed answers are kept.",
    "Back to the test", "Start anew"],
  idle: ["Are you still there?", "Continue the test only if it is yours.", "Continue", "New reader"],
  elsewhere: ["The test is open in another window", "Continue it there, or use this window instead.",
    "Use this window", ""],
};

export let covered = ""; // the question

/** Cover the page with a question. */
export function cover(question) {
  covered = question;
  runClock(false);
  const [title, text, go, anew] = QUESTIONS[question];
  $("cover-title").textContent = title;
  $("cover-text").textContent = text;
  $("cover-go").textContent = go;
  $("cover-new").textContent = anew;
  $("cover-new").hidden = !anew;
  $("cover").hidden = false;
  document.querySelector("main").inert = true;
  $("cover-title").focus();
}

export function uncover() {
  covered = "";
  $("cover").hidden = true;
  document.querySelector("main").inert = false;
}
