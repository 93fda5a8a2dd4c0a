// The time that the open pair has been in sight.

import { state } from "./state.js";

let since = 0;

/** Return the seconds that the open pair has been in sight so far. */
export function seconds() {
  return state.seconds + (since ? (performance.now() - since) / 1000 : 0);
}

export function runClock(run) {
  state.seconds = seconds();
  since = run && document.visibilityState === "visible" ? performance.now() : 0;
}
