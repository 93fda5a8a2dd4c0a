// The check of the display: steps of gray, and two squares of 5 % contrast, as in the pattern of AAPM TG18-QC.

import { $ } from "./dom.js";
import { pages, showNext } from "./pages.js";
import { save, state } from "./state.js";

const STEPS = 16;
const FIELDS = { dark: [0, 0.05], bright: [1, 0.95] }; // gray of the field and of its square, shares of the range
const places = {}; // of the squares

const grayOf = (share) => `rgb(${Array(3).fill(Math.round(255 * share)).join(" ")})`;

pages.display = () => {
  const pen = $("steps").getContext("2d");
  for (let step = 0; step < STEPS; step += 1) {
    pen.fillStyle = grayOf(step / (STEPS - 1));
    pen.fillRect((800 / STEPS) * step, 0, 800 / STEPS, 100);
  }
  drawFields();
};

/** Draw both fields, each with its square at a side that only who sees it knows. */
function drawFields() {
  for (const [name, [field, square]] of Object.entries(FIELDS)) {
    places[name] = crypto.getRandomValues(new Uint8Array(1))[0] % 2 ? "at_right" : "at_left";
    const pen = $(name).getContext("2d");
    pen.fillStyle = grayOf(field);
    pen.fillRect(0, 0, 800, 200);
    pen.fillStyle = grayOf(square);
    pen.fillRect(places[name] === "at_left" ? 150 : 550, 50, 100, 100);
  }
}

$("seen").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = $("seen").elements;
  const found = (name) => (given[name].value === places[name] ? "yes" : "no");
  state.display = { dark: found("dark"), bright: found("bright") };
  save();
  if (Object.values(state.display).includes("no") && $("poor").hidden) {
    $("seen").reset();
    $("poor").hidden = false;
    drawFields();
    return;
  }
  showNext();
});
