// The study, and the state of its reader. What must survive a reload is stored before it is shown or sent.

import { randomHex, say } from "./dom.js";
import { owns } from "./only_window.js";
import { words } from "./text.js";

export const study = globalThis.STUDY;
const STORAGE_KEY = `mammogan-study:${study.id}`;

// page: tutorial, consent, display, questionnaire, pairs or result. answers: {question, chosen, seconds, at, key, sent,
// confidence, comment, looked}, at in milliseconds. chosen, confidence, comment, looked: of the open question. locked: the answer to the last pair is confirmed, the next pair is not open yet. seconds: time that the
// open pair was in sight. outbox: what of earlier readers of this tablet is not sent yet: answers with their tokens, and
// {opening}. opening: the request that opens the session, if the server has not received it yet. token, pairs: those of
// a reserved or begun session. open: a reserved session may begin before the server knows its reader. active: time of
// the last touch, in milliseconds.
export const state = {};

export function fresh(outbox = []) {
  return { page: "tutorial", key: randomHex(16), answers: [], locked: false, ...unanswered(), outbox };
}

/** Return the state of a question that is not answered. */
export function unanswered() {
  return { chosen: "", confidence: 0, comment: "", looked: { zoom: 1, zooms: 0, windows: 0, changes: 0 }, seconds: 0 };
}

/** Return the state of a new reader on a tablet whose last reader has not begun: the pictures are here already. */
export function freshWith({ key, token, pairs, open, outbox }) {
  return { ...fresh(outbox), key, token, pairs, open };
}

/** Replace all of the state. */
export function become(next) {
  for (const name of Object.keys(state)) delete state[name];
  Object.assign(state, next);
}

/** Return the stored state, or that of a new reader. */
export function stored() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORAGE_KEY));
    if (kept) return { outbox: [], ...unanswered(), ...kept };
  } catch {} // nothing that can be read
  return fresh();
}

export function save() {
  if (!owns()) return;
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(state));
  } catch {
    say(words("no_store"));
  }
}

/** Return the names of the places at which a question shows pictures. */
export const sides = study.show === "images" ? ["left"] : ["left", "right"];

/** Return the position of the open question. */
export function current() {
  return state.answers.length - (state.locked ? 1 : 0);
}
