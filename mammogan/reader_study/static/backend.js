// Two sources of sessions that also receive the answers: a server, which keeps the truth, and this browser alone.

import { randomHex } from "./dom.js";
import { study } from "./state.js";
import { words } from "./text.js";

export const LONGEST = 20000; // milliseconds between two attempts to send

/** A request that failed. `retry`: the same request may succeed later; otherwise the message is the reason. */
export class Failed extends Error {
  constructor(message, retry, status) {
    super(message);
    this.retry = retry;
    this.status = status;
  }
}

/** Return the seconds since a moment. */
function ageOf(at) {
  return at ? Math.max((Date.now() - at) / 1000, 0) : 0;
}

function screenText() {
  return `${screen.width} x ${screen.height}, ${devicePixelRatio}`;
}

/** Return the random name of this tablet, which stays while its readers change. */
function tablet() {
  try {
    const name = localStorage.getItem("mammogan-tablet") || randomHex(2).toUpperCase();
    localStorage.setItem("mammogan-tablet", name);
    return name;
  } catch {
    return "";
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
    const refused = `refused_${String(content.refused).replaceAll(" ", "_")}`;
    const sentence = refused in study.text ? words(refused) : content.sentence;
    throw new Failed(sentence || words("no_answer"), retry, response.status);
  }

  reserve(key) {
    return this.call("POST", "api/reservations", null, { key });
  }

  start({ key, questionnaire, reader, at, consent, display }) {
    const body = { key, questionnaire, reader, age: ageOf(at), tablet: tablet(), screen: screenText() };
    if (consent) Object.assign(body, { consent: consent.version, consented: ageOf(consent.at) });
    if (display) body.display = display;
    return this.call("POST", "api/sessions", null, body);
  }

  state(token) {
    return this.call("GET", "api/session", token);
  }

  answer(token, { question, chosen, seconds, key, at, confidence, comment, looked }) {
    const body = { question, chosen, seconds, key, age: ageOf(at), looked };
    if (confidence) body.confidence = confidence;
    if (comment) body.comment = comment;
    return this.call("POST", "api/answers", token, body);
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
    return { token: `${number}`, pairs: this.sessions[number].map(namesOf), open: true };
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

/** Return the names of the pictures of a question. */
export function namesOf(question) {
  return question.image ? [question.image] : [question.left, question.right];
}

/** Return the right answer of a question. */
export function truthOf(question) {
  return question.real_side || (question.is_synthetic === "yes" ? "synthetic" : "real");
}

/** Return a text that a spreadsheet does not compute. */
function notComputed(value) {
  return typeof value === "string" ? value.replace(/^[=+@-]/, "'$&") : value;
}

/** Return the answer to a repeat as one to the question, whose images may have been on the other sides. */
function answerAgain({ question, answer }, first) {
  if (truthOf(question) === truthOf(first)) return answer.chosen;
  return answer.chosen === "left" ? "right" : "left";
}

const utc = (at) => `${new Date(at).toISOString().slice(0, 19)}+00:00`;

/** Return a CSV with one row per scored answer, as the server exports it and `mammogan study analyse` reads it. */
export function responsesCsv(state, truth, study) {
  const repeated = new Map(); // by the number of the question
  const checks = truth.map((question, i) => [question, state.answers[i]]).filter(([question]) => question.role === "check");
  truth.forEach((question, i) => {
    if (question.role === "repeat") repeated.set(question.number, { question, answer: state.answers[i] });
  });
  const about = {
    ...Object.fromEntries(Object.entries(state.questionnaire).map(([name, value]) => [name, notComputed(value)])), session: state.session, reader: state.reader, study: study.id, complete: "yes",
    tablet: tablet(), device: navigator.userAgent, screen: screenText(), started_at: utc(state.began),
    checks_answered: checks.length,
    checks_right: checks.filter(([question, answer]) => truthOf(question) === answer.chosen).length,
    ...(state.consent ? { consent_version: state.consent.version, consented_at: utc(state.consent.at) } : {}),
    ...(state.display ? { display_dark: state.display.dark, display_bright: state.display.bright } : {}),
  };
  const rows = truth.map((question, i) => {
    const answer = state.answers[i];
    const again = repeated.get(question.number);
    return {
      ...about, ...question, ...answer.looked, question: question.number, chosen_side: answer.chosen,
      answer: answer.chosen, correct: Number(answer.chosen === truthOf(question)), seconds: answer.seconds,
      confirmed_at: utc(answer.at), received_at: utc(answer.at), confidence: answer.confidence,
      comment: notComputed(answer.comment),
      ...(again ? {
        again_answer: answerAgain(again, question), again_seconds: again.answer.seconds,
        again_confidence: again.answer.confidence,
      } : {}),
    };
  });
  const scored = rows.filter((row) => row.role === "scored").sort((one, other) => one.question - other.question);
  const cell = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = scored.map((row) => study.columns.map((name) => cell(String(row[name] ?? ""))));
  return [study.columns, ...lines].map((line) => `${line.join(",")}\n`).join("");
}
