// Questions that cover the page: a new reader, a reader who left, a second window.

import { runClock } from "./clock.js";
import { $ } from "./dom.js";
import { words } from "./text.js";

const BUTTONS = {
  leave: ["leave_go", "leave_new"],
  idle: ["continue", "idle_new"],
  elsewhere: ["elsewhere_go", ""],
};

export let covered = ""; // the question

/** Cover the page with a question. */
export function cover(question) {
  covered = question;
  runClock(false);
  const [go, anew] = BUTTONS[question];
  $("cover-title").textContent = words(`${question}_title`);
  $("cover-text").textContent = words(`${question}_text`);
  $("cover-go").textContent = words(go);
  $("cover-new").textContent = anew && words(anew);
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
