// Two sources of sessions that also receive the answers: a server, which keeps the truth, and this browser alone.

import { randomHex } from "./dom.js";
import { study } from "./state.js";

export const LONGEST = 20000; // milliseconds between two attempts to send

/** A request that failed. `retry`: the same request may succeed later; otherwise the message is the reason. */
export class Failed extends Error {
  constructor(message, retry, status) {
    super(message);
    this.retry = retry;
    this.status = status;
  }
}

class ServerBackend {
  async call(method, path, token, body) {
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(), 15000);
    let response, content;
    try {
      response = await fetch(path, {
        method,
        signal: cut.signal,
        cache: "no-store",
        headers: {
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
          ...(body ? { "Content-Type": "application/json" } : {}),
        },
        body: body ? JSON.stringify(body) : undefined,
      });
      content = await response.json();
    } catch {
      throw new Failed("No connection.", true, response ? response.status : 0);
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return content;
    const retry = response.status >= 500 || response.status === 408 || response.status === 429;
    throw new Failed(content.sentence || "The server does not answer.", retry, response.status);
  }

  reserve(key) {
    return this.call("POST", "api/reservations", null, { key });
  }

  start({ key, questionnaire, reader }) {
    return this.call("POST", "api/sessions", null, { key, questionnaire, reader });
  }

  state(token) {
    return this.call("GET", "api/session", token);
  }

  answer(token, answer) {
    return this.call("POST", "api/answers", token, answer);
  }

  result(token) {
    return this.call("GET", "api/result", token);
  }

  forget() {} // the code of a reader is in the state of the page alone
}

/** The same without a server: study.js holds the sessions, and the page holds the answers. */
class BrowserBackend {
  constructor(study) {
    this.sessions = JSON.parse(atob(study.sessions));
    this.reader = `${study.id}:reader`;
  }

  /** Return the session of a key. */
  async reserve(key) {
    const number = parseInt(key.slice(0, 8), 16) % this.sessions.length;
    return { token: `${number}`, pairs: this.sessions[number].map((pair) => [pair.left, pair.right]), open: true };
  }

  async start({ key }) {
    let reader = null;
    try {
      reader = localStorage.getItem(this.reader) || randomHex(4).toUpperCase();
      localStorage.setItem(this.reader, reader);
    } catch {
      reader = reader || randomHex(4).toUpperCase();
    }
    return { ...(await this.reserve(key)), session: `B${randomHex(4)}`, reader, answered: 0 };
  }

  /** Forget the reader's code. */
  forget() {
    try {
      localStorage.removeItem(this.reader);
    } catch {} // it was never stored
  }

  async answer(token, answer) {
    return { answered: answer.question, again: false };
  }

  async result(token) {
    return { answers: this.sessions[Number(token)] };
  }
}

export const backend = study.mode === "server" ? new ServerBackend() : new BrowserBackend(study);

/** Return a CSV with one row per answer, as `mammogan study analyse` reads it. */
export function responsesCsv(state, truth, study) {
  const traits = ["radiologist", "board_certified", "trainee", "breast_specialist", "screening"];
  const header = [
    "session", "reader", "question", "pair", "left", "right", "real_side", "chosen_side", "correct", "seconds",
    "confirmed_at", ...traits, "years", "real_id", "synthetic_id", "study",
  ];
  const rows = state.answers.map((answer, i) => {
    const pair = truth[i];
    return [
      state.session, state.reader, i + 1, pair.pair, pair.left, pair.right, pair.real_side, answer.chosen,
      Number(answer.chosen === pair.real_side), answer.seconds,
      `${new Date(answer.at).toISOString().slice(0, 19)}+00:00`,
      ...traits.map((trait) => state.questionnaire[trait] || ""), state.questionnaire.years, pair.real_id,
      pair.synthetic_id, study.id,
    ];
  });
  return [header, ...rows].map((row) => `${row.join(",")}\n`).join("");
}
