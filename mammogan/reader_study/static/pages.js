// The pages of the test, of which one is shown. Each module of a page adds its function, which fills the page.

import { covered } from "./cover.js";
import { $ } from "./dom.js";
import { mine } from "./only_window.js";
import { save, state, study } from "./state.js";
import { words } from "./text.js";

const FIRST = ["tutorial", study.consent && "consent", study.display && "display", "questionnaire"].filter(Boolean);

export const pages = {};

export function show(page) {
  if (!mine) return;
  state.page = page;
  save();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== page;
  document.title = `${words(`page_${page}`)} - ${study.title}`;
  pages[page]();
  if (!covered) $(`${page}-title`).focus();
  scrollTo(0, 0);
}

/** Show the page after this one, up to the questionnaire. */
export function showNext() {
  show(FIRST[FIRST.indexOf(state.page) + 1]);
}
