// The session: reserved while the reader is at the first pages, so that its pictures are here when it begins.

import { backend, Failed, LONGEST } from "./backend.js";
import { $, say, sleep } from "./dom.js";
import { mine } from "./only_window.js";
import { show } from "./pages.js";
import { preload } from "./pictures.js";
import { save, state } from "./state.js";
import { words } from "./text.js";

let reserving = false;

/** Reserve the session of this reader's key and fetch its pictures. */
export async function reserve() {
  if (reserving) return;
  reserving = true;
  for (let pause = 1000; !state.token; pause = Math.min(2 * pause, LONGEST)) {
    try {
      const { token, pairs, open } = await backend.reserve(state.key);
      if (!mine || state.token) return; // another reader, or begun
      Object.assign(state, { token, pairs, open });
      save();
    } catch (error) {
      if (!error.retry) return; // the session is opened without
      await sleep(pause);
    }
  }
  preload(state.pairs.flat());
}

/** Open the session. The key makes a repeated request harmless. */
export async function begin() {
  $("start").disabled = true;
  const { key, questionnaire, reader, began, consent, display } = state;
  const opening = { key, questionnaire, reader: reader || "", at: began, consent, display };
  for (let pause = 1000; ; pause = Math.min(2 * pause, LONGEST)) {
    try {
      const begun = await backend.start(opening);
      if (!mine) return;
      say("");
      Object.assign(state, { token: begun.token, session: begun.session, reader: begun.reader, pairs: begun.pairs });
      show("pairs");
      return;
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      if (!error.retry) {
        delete state.questionnaire;
        save();
        $("start").disabled = false;
        say(error.message);
        return;
      }
      if (!mine) return;
      if (state.open && !opening.reader) { // the server learns of it with the answers
        state.opening = opening;
        show("pairs");
        return;
      }
      say(words("waits_to_start"));
      await sleep(pause);
    }
  }
}
