// The start of the test.

import "./tutorial.js";
import "./consent.js";
import "./display.js";
import "./questionnaire.js";
import "./pairs.js";
import "./result.js";
import { cover } from "./cover.js";
import { run } from "./handover.js";
import { shownElsewhere } from "./only_window.js";
import { study } from "./state.js";

// A page that is loaded again keeps its scale; another address of it starts at 1, and shows a lost reader all of it.
const [navigation] = performance.getEntriesByType("navigation");
const began = performance.now(); // of a slow load, long after the navigation
const loadedAgain = navigation && navigation.type === "reload";
function startAtScale1() {
  if (!loadedAgain || visualViewport.scale === 1 || performance.now() - began > 3000) return;
  location.replace(location.search ? location.pathname : "?again");
}
addEventListener("load", () => setTimeout(startAtScale1));
visualViewport.addEventListener("resize", startAtScale1);
document.addEventListener("gesturestart", (event) => event.preventDefault()); // Safari's pinch, where it ignores the style

// It starts without a network once it was loaded, where browsers allow it: over HTTPS and on the machine itself.
if (study.mode === "server" && navigator.serviceWorker) navigator.serviceWorker.register("offline.js").catch(() => {});

if (shownElsewhere()) cover("elsewhere");
else run();
