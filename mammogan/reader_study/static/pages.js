// The pages of the test, of which one is shown. Each module of a page adds its function, which fills the page.

import { covered } from "./cover.js";
import { $ } from "./dom.js";
import { mine } from "./only_window.js";
import { save, state, study } from "./state.js";

const TITLES = { tutorial: "Introduction", questionnaire: "About you", pairs: "Pairs", result: "Result" };

export const pages = {};

export function show(page) {
  if (!mine) return;
  state.page = page;
  save();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== page;
  document.title = `${TITLES[page]} - ${study.title}`;
  pages[page]();
  if (!covered) $(`${page}-title`).focus();
  scrollTo(0, 0);
}
