// The consent: the study's own text, and the moment at which the reader agreed to it.

import { $ } from "./dom.js";
import { pages, showNext } from "./pages.js";
import { save, state, study } from "./state.js";

pages.consent = () => {
  $("consent-text").replaceChildren(...study.consent.text.split(/\n\s*\n/).map((text) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return paragraph;
  }));
};

$("consenting").addEventListener("submit", (event) => {
  event.preventDefault();
  state.consent = { version: study.consent.version, at: Date.now() };
  save();
  showNext();
});
