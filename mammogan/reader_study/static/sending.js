// Sending the answers, in order, until each is acknowledged.

import { backend, Failed, LONGEST } from "./backend.js";
import { say, sleep } from "./dom.js";
import { mine } from "./only_window.js";
import { pages } from "./pages.js";
import { save, state, study } from "./state.js";
import { words } from "./text.js";

let sending = false;

/** Return what to send next: that of earlier readers comes first, and a session before its answers. */
function unsent() {
  const own = state.opening ? { opening: state.opening } : state.answers.find((answer) => !answer.sent);
  return mine && (state.outbox[0] || own);
}

/** Send an answer, or open a session, and note that it is done. */
async function deliver(item) {
  if (item.opening) {
    const { session, reader } = await backend.start(item.opening);
    if (item === state.outbox[0]) state.outbox.shift();
    else {
      Object.assign(state, { session, reader });
      delete state.opening;
    }
    return;
  }
  await backend.answer(item.token || state.token, item);
  item.sent = true;
  state.outbox = state.outbox.filter((answer) => !answer.sent);
}

/** Send the answers that are not acknowledged, in order, until all are. */
export async function send() {
  if (sending) return;
  sending = true;
  let pause = 1000;
  let disputes = 0;
  try {
    for (let next; (next = unsent()); ) {
      try {
        await deliver(next);
        save();
        say("");
        pause = 1000;
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        if (next === state.outbox[0] && !error.retry) {
          state.outbox.shift(); // the server has another answer, or nothing of this reader any more
          save();
        } else if (error.status === 409 && disputes < 3) {
          disputes += 1;
          if (await settle()) return;
        } else if (error.retry || error.status === 409) {
          say(words("answers_kept"));
          await sleep(pause);
          pause = Math.min(2 * pause, LONGEST);
        } else {
          say(words("call_staff", { reason: error.message }));
          return;
        }
      }
    }
  } finally {
    sending = false;
  }
  if (state.page === "result") pages.result();
}

/** Adopt the server's count of answers, which differs from this browser's. Return true if the page reloads. */
async function settle() {
  let session;
  try {
    session = await backend.state(state.token);
  } catch {
    return false;
  }
  state.answers.forEach((answer) => { answer.sent = answer.question <= session.answered; });
  const ahead = session.answered > state.answers.length;
  while (state.answers.length < session.answered) {
    // Answered elsewhere under the same token; only the server knows the chosen side.
    state.answers.push({ question: state.answers.length + 1, chosen: "", seconds: 0, at: 0, key: "", sent: true });
  }
  if (ahead) state.locked = false;
  if (ahead && state.answers.length >= study.pairs) state.page = "result";
  save();
  if (ahead) location.reload();
  return ahead;
}
