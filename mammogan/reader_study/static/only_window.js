// One tablet, one window: the window that shows the test says so every second; another one does not touch the state.

import { randomHex } from "./dom.js";

const WINDOW_KEY = `mammogan-study:${globalThis.STUDY.id}:window`;
const ALIVE = 3000; // milliseconds after which a window that says nothing is closed, or asleep
const me = randomHex(8);
let lost = () => {};

export let mine = false; // this window shows the test

/** Call `act` when another window has taken over. */
export function whenLost(act) {
  lost = act;
}

/** Return the {id, at} of the window that shows the test, if there is one. */
function shownIn() {
  try {
    return JSON.parse(localStorage.getItem(WINDOW_KEY));
  } catch {
    return null;
  }
}

/** Return whether another window shows the test. */
export function shownElsewhere() {
  const shown = shownIn();
  return Boolean(shown) && Math.abs(Date.now() - shown.at) < ALIVE;
}

export function claim() {
  mine = true;
  try {
    localStorage.setItem(WINDOW_KEY, JSON.stringify({ id: me, at: Date.now() }));
  } catch {} // without a store there is no state to share
}

/** Change nothing any more. */
export function resign() {
  mine = false;
}

/** Return whether this window still shows the test. */
export function owns() {
  const shown = shownIn();
  if (mine && shown && shown.id !== me) {
    mine = false;
    lost();
  }
  return mine;
}

/** Let another window show the test, after the last `act`. */
export function leave(act) {
  const shown = shownIn();
  if (!shown || shown.id !== me) return;
  act();
  mine = false;
  localStorage.removeItem(WINDOW_KEY);
}

addEventListener("storage", (event) => {
  if (event.key === WINDOW_KEY) owns();
});
