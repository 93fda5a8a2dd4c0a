// The first page: what to do, and a pattern to practice on.

import { $ } from "./dom.js";
import { pages, showNext } from "./pages.js";
import { reserve } from "./session.js";
import { study } from "./state.js";
import { words } from "./text.js";
import { Viewer, viewers } from "./viewer.js";

pages.tutorial = () => {
  $("note").hidden = !study.note;
  $("note").textContent = study.note || "";
  if (!viewers.practice) {
    viewers.practice = new Viewer($("practice"), words("image_practice"));
    viewers.practice.open(practicePattern());
  }
  reserve();
};

/** Return rings and bars to practice on. They are drawn here and reveal nothing of the study. */
function practicePattern() {
  const canvas = document.createElement("canvas");
  canvas.width = 800;
  canvas.height = 400;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#111";
  pen.fillRect(0, 0, 800, 400);
  for (let ring = 24; ring > 0; ring -= 1) {
    pen.fillStyle = `hsl(0 0% ${ring % 2 ? 70 : 15}%)`;
    pen.beginPath();
    pen.arc(230, 200, ring * 7, 0, 7);
    pen.fill();
  }
  for (let bar = 0; bar < 36; bar += 1) {
    pen.fillStyle = `hsl(0 0% ${bar * 2.8}%)`;
    pen.fillRect(440 + bar * 9, 60, 9, 280);
  }
  return { type: "image", url: canvas.toDataURL("image/png"), buildPyramid: false };
}

$("begin").addEventListener("click", showNext);
