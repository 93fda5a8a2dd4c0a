// The first page: what to do, and a pattern to practice on.

import { $ } from "./dom.js";
import { pages, show } from "./pages.js";
import { study } from "./state.js";
import { practicePattern, Viewer, viewers } from "./viewer.js";

pages.tutorial = () => {
  $("tutorial-title").textContent = study.title;
  for (const element of document.querySelectorAll(".count")) element.textContent = study.pairs;
  $("note").hidden = !study.note;
  $("note").textContent = study.note || "";
  if (!viewers.practice) {
    viewers.practice = new Viewer($("practice"), "practice image");
    viewers.practice.open(practicePattern());
  }
};

$("begin").addEventListener("click", () => show("questionnaire"));
