"use strict";
// The test, page by page. Everything that must survive a reload is written to this browser before it is shown or sent.

const $ = (id) => document.getElementById(id);
const study = window.STUDY;
const backend = study.mode === "server" ? new ServerBackend() : new BrowserBackend(study);
const STORAGE_KEY = `mammogan-study:${study.id}`;
const LONGEST = 20000; // milliseconds between two attempts to send

/* ---- the state in this browser ---- */

// page: tutorial, questionnaire, pairs or result. answers: {question, chosen, seconds, at, key, sent}, at in
// milliseconds. locked: the answer to the last pair is confirmed, the next pair is not open yet. seconds: time that the
// open pair was in sight. outbox: answers, with their tokens, of earlier readers of this tablet that are not sent yet.
// active: time of the last touch, in milliseconds.
let state = load() || fresh();

function fresh(outbox = []) {
  return { page: "tutorial", key: randomHex(16), answers: [], locked: false, chosen: "", seconds: 0, outbox };
}

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORAGE_KEY));
    return kept && { outbox: [], ...kept };
  } catch {
    return null;
  }
}

function save() {
  if (!owns()) return;
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(state));
  } catch {
    say("This browser stores no data: do not reload the page before the end.");
  }
}

/* ---- one tablet, one window ---- */

// The window that shows the test says so every second; another one that is opened does not touch the state.
const WINDOW_KEY = `${STORAGE_KEY}:window`;
const ALIVE = 3000; // milliseconds after which a window that says nothing is closed, or asleep
const me = randomHex(8);
let mine = false;

/** Return the {id, at} of the window that shows the test, if there is one. */
function shownIn() {
  try {
    return JSON.parse(localStorage.getItem(WINDOW_KEY));
  } catch {
    return null;
  }
}

function claim() {
  mine = true;
  try {
    localStorage.setItem(WINDOW_KEY, JSON.stringify({ id: me, at: Date.now() }));
  } catch {} // without a store there is no state to share
}

/** Return whether this window still shows the test; say where it is if not. */
function owns() {
  const window = shownIn();
  if (mine && window && window.id !== me) {
    mine = false;
    cover("elsewhere");
  }
  return mine;
}

addEventListener("storage", (event) => {
  if (event.key === WINDOW_KEY) owns();
});
addEventListener("pagehide", () => {
  const window = shownIn();
  if (!window || window.id !== me) return;
  save();
  mine = false;
  localStorage.removeItem(WINDOW_KEY);
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

/* ---- a tablet changes hands ---- */

const QUESTIONS = {
  leave: ["New reader?", "This test ends here and cannot be continued. Its confirmed answers are kept.",
    "Back to the test", "Start anew"],
  idle: ["Are you still there?", "Continue the test only if it is yours.", "Continue", "New reader"],
  elsewhere: ["The test is open in another window", "Continue it there, or use this window instead.",
    "Use this window", ""],
};
let covered = "";

/** Cover the page with a question. */
function cover(question) {
  covered = question;
  runClock(false);
  const [title, text, go, anew] = QUESTIONS[question];
  $("cover-title").textContent = title;
  $("cover-text").textContent = text;
  $("cover-go").textContent = go;
  $("cover-new").textContent = anew;
  $("cover-new").hidden = !anew;
  $("cover").hidden = false;
  document.querySelector("main").inert = true;
  $("cover-title").focus();
}

function uncover() {
  covered = "";
  $("cover").hidden = true;
  document.querySelector("main").inert = false;
  state.active = Date.now();
  if (mine) {
    runClock(inSight());
    $(`${state.page}-title`).focus();
  } else run();
}

/** Begin anew. Nothing of the last reader stays but the answers that are not sent yet. */
function newReader(same = false) {
  const unsent = state.answers.filter((answer) => !answer.sent).map((answer) => ({ ...answer, token: state.token }));
  state = fresh([...state.outbox, ...unsent]);
  if (!same) backend.forget();
  save();
  for (const form of document.forms) form.reset();
  $("linked").checked = false;
  location.reload();
  mine = false; // what is under way changes nothing any more
}

$("cover-go").addEventListener("click", uncover);
$("cover-new").addEventListener("click", () => newReader());
for (const button of document.querySelectorAll(".new-reader")) button.addEventListener("click", () => cover("leave"));

for (const touch of ["pointerdown", "pointermove", "keydown", "wheel"]) {
  addEventListener(touch, () => { if (!covered) state.active = Date.now(); }, { capture: true, passive: true });
}

/** Lock the page if nobody has touched it for a while. */
function askIfIdle() {
  const away = Date.now() - (state.active || 0);
  if (study.idle && state.page !== "tutorial" && !covered && away > 1000 * study.idle) cover("idle");
}

setInterval(() => {
  if (!owns()) return;
  claim();
  askIfIdle();
  runClock(inSight());
  save();
}, 1000);

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

/* ---- pages ---- */

const viewers = {};

function show(page) {
  if (!mine) return;
  state.page = page;
  save();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== page;
  const titles = { tutorial: "Introduction", questionnaire: "About you", pairs: "Pairs", result: "Result" };
  document.title = `${titles[page]} - ${study.title}`;
  ({ tutorial, questionnaire, pairs, result })[page]();
  if (!covered) $(`${page}-title`).focus();
  scrollTo(0, 0);
}

function tutorial() {
  $("tutorial-title").textContent = study.title;
  for (const element of document.querySelectorAll(".count")) element.textContent = study.pairs;
  $("note").hidden = !study.note;
  $("note").textContent = study.note || "";
  if (!viewers.practice) {
    viewers.practice = new Viewer($("practice"), "practice image");
    viewers.practice.open(practicePattern());
  }
}

function questionnaire() {
  askRadiologists();
  if (state.questionnaire) begin(); // a reload while the session was being opened
}

/** Show the questions for radiologists to radiologists only. */
function askRadiologists() {
  const radiologist = $("about").elements.radiologist.value === "yes";
  $("radiologists").hidden = !radiologist;
  for (const input of $("radiologists").querySelectorAll("input")) input.disabled = !radiologist;
}

/** Return the answers of the questionnaire as the server expects them. */
function readQuestionnaire() {
  const form = new FormData($("about"));
  const about = { radiologist: form.get("radiologist"), years: Number(form.get("years")) };
  if (about.radiologist === "yes") {
    const training = form.get("training");
    about.board_certified = training === "board_certified" ? "yes" : "no";
    about.trainee = training === "trainee" ? "yes" : "no";
    about.breast_specialist = form.get("breast_specialist");
    about.screening = form.get("screening");
  }
  return about;
}

/** Open the session. The key makes a repeated request harmless. */
async function begin() {
  $("start").disabled = true;
  for (let pause = 1000; ; pause = Math.min(2 * pause, LONGEST)) {
    try {
      const { token, session, reader, pairs } = await backend.start(state.key, state.questionnaire, state.reader || "");
      if (!mine) return;
      say("");
      Object.assign(state, { token, session, reader, pairs });
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
      say("No connection yet; the test starts when there is one.");
      await sleep(pause);
    }
  }
}

/* ---- pairs ---- */

const clock = { since: 0 };

/** Return the seconds that the open pair has been in sight so far. */
function seconds() {
  return state.seconds + (clock.since ? (performance.now() - clock.since) / 1000 : 0);
}

function runClock(run) {
  state.seconds = seconds();
  clock.since = run && document.visibilityState === "visible" ? performance.now() : 0;
}

function inSight() {
  return state.page === "pairs" && mine && !covered && !state.locked && viewers.left && viewers.left.ready && viewers.right.ready;
}

document.addEventListener("visibilitychange", () => {
  askIfIdle();
  runClock(inSight());
  save();
});

function current() {
  return state.answers.length - (state.locked ? 1 : 0); // position of the open pair
}

function pairs() {
  if (!viewers.left) {
    viewers.left = new Viewer($("left"), "left image");
    viewers.right = new Viewer($("right"), "right image");
    link([viewers.left, viewers.right], () => $("linked").checked);
    prefetch();
  }
  $("progress").max = study.pairs;
  openPair();
}

function openPair() {
  const position = current();
  $("pairs-title").textContent = `Pair ${position + 1} of ${study.pairs}`;
  const opened = ["left", "right"].map((side, i) => viewers[side].open(sourceOf(state.pairs[position][i], study)));
  Promise.all(opened).then(() => {
    if (position !== current()) return;
    runClock(inSight());
    refresh();
  });
  refresh();
}

function refresh() {
  const chosen = state.locked ? state.answers.at(-1).chosen : state.chosen;
  for (const input of $("choice").elements.side) {
    input.checked = input.value === chosen;
    input.disabled = state.locked;
  }
  $("progress").value = state.answers.length;
  $("confirm").hidden = state.locked;
  $("confirm").disabled = !chosen || !viewers.left.ready || !viewers.right.ready;
  $("next").hidden = !state.locked;
  $("next").textContent = state.answers.length < study.pairs ? "Next pair" : "See the result";
}

/** Fetch all pictures of the session in advance, one after the other, so that the test survives a lost network. */
async function prefetch() {
  for (const name of state.pairs.slice(current()).flat()) {
    if (study.tile) return; // tiles are many, and only those in view are needed
    for (let loaded = false; !loaded; ) {
      const image = new Image();
      image.src = `pictures/${name}.png`;
      loaded = await image.decode().then(() => true, () => false);
      if (!loaded) await sleep(3000);
    }
  }
}

$("choice").addEventListener("change", (event) => {
  if (event.target.name !== "side" || state.locked) return;
  state.chosen = event.target.value;
  save();
  refresh();
});

$("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.locked || $("confirm").disabled) return;
  runClock(false);
  const answer = { question: state.answers.length + 1, chosen: state.chosen, key: randomHex(16), sent: false };
  answer.seconds = Math.round(state.seconds * 1000) / 1000;
  answer.at = Date.now();
  state.answers.push(answer);
  Object.assign(state, { locked: true, chosen: "", seconds: 0 });
  save();
  refresh();
  $("next").setAttribute("aria-disabled", "true"); // for the second tap of a double tap on Confirm
  setTimeout(() => $("next").removeAttribute("aria-disabled"), 600);
  $("next").focus();
  send();
});

$("choice").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.repeat) event.preventDefault(); // a key that is held is one answer
});

$("next").addEventListener("click", (event) => {
  if (event.detail && $("next").hasAttribute("aria-disabled")) return; // detail: fingers and mice, not keys
  state.locked = false;
  save();
  if (state.answers.length >= study.pairs) {
    show("result");
    return;
  }
  openPair();
  $("pairs-title").focus();
});

/* ---- sending answers ---- */

let sending = false;
let wake = () => {};

function sleep(milliseconds) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, milliseconds);
  });
}

addEventListener("online", () => wake());

/** Return the next answer to send: those of earlier readers come first. */
function unsent() {
  return mine && (state.outbox[0] || state.answers.find((answer) => !answer.sent));
}

/** Send the answers that are not acknowledged, in order, until all are. */
async function send() {
  if (sending) return;
  sending = true;
  let pause = 1000;
  let disputes = 0;
  try {
    for (let next; (next = unsent()); ) {
      try {
        const { question, chosen, seconds: took, key } = next;
        const age = Math.max((Date.now() - next.at) / 1000, 0);
        await backend.answer(next.token || state.token, { question, chosen, seconds: took, age, key });
        next.sent = true;
        state.outbox = state.outbox.filter((answer) => !answer.sent);
        save();
        say("");
        pause = 1000;
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        if (next.token && !error.retry) {
          state.outbox.shift(); // the server has another answer, or nothing of this reader any more
          save();
        } else if (error.status === 409 && disputes < 3) {
          disputes += 1;
          if (await settle()) return;
        } else if (error.retry || error.status === 409) {
          say("No connection: your answers are kept here and sent when it is back. Please continue.");
          await sleep(pause);
          pause = Math.min(2 * pause, LONGEST);
        } else {
          say(`${error.message} Your answers are kept here; call the study's staff.`);
          return;
        }
      }
    }
  } finally {
    sending = false;
  }
  if (state.page === "result") result();
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

/* ---- the end ---- */

async function result() {
  $("details").hidden = true;
  $("score").textContent = "Your last answers are being sent.";
  if (state.answers.some((answer) => !answer.sent)) {
    send();
    return;
  }
  let truth;
  for (let pause = 1000; !truth; pause = Math.min(2 * pause, LONGEST)) {
    try {
      truth = await backend.result(state.token);
    } catch (error) {
      if (!error.retry) {
        say(error.message);
        return;
      }
      say("No connection: the result is shown when it is back.");
      await sleep(pause);
    }
  }
  say("");
  if (state.page !== "result") return;
  const answers = truth.answers.map((answer, i) => ({ chosen_side: state.answers[i].chosen, ...answer }));
  const right = answers.filter((answer) => answer.chosen_side === answer.real_side).length;
  $("score").textContent =
    `You found the real image in ${right} of ${study.pairs} pairs. Guessing finds ${study.pairs / 2} on average.`;
  $("answers").replaceChildren(...answers.map((answer, i) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = i + 1;
    row.append(head);
    for (const text of [answer.chosen_side, answer.real_side, answer.chosen_side === answer.real_side ? "yes" : "no"]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
  $("code").textContent = state.reader;
  $("download").hidden = study.mode === "server";
  $("download").onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([responsesCsv(state, truth.answers, study)], { type: "text/csv" }));
    link.download = `responses-${state.session}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  $("again").textContent = study.mode === "server" ? "Next reader" : "Take it again";
  $("details").hidden = false;
}

$("again").addEventListener("click", () => newReader(study.mode !== "server"));

$("begin").addEventListener("click", () => show("questionnaire"));
$("about").addEventListener("change", askRadiologists);
$("about").addEventListener("submit", (event) => {
  event.preventDefault();
  state.questionnaire = readQuestionnaire();
  state.reader = $("reader").value.trim().toUpperCase();
  save();
  begin();
});

if (study.mode !== "server") $("reader").closest("p").hidden = true; // the browser remembers it
// A page that is loaded again keeps its scale; another address of it starts at 1, and shows a lost reader all of it.
const [navigation] = performance.getEntriesByType("navigation");
const loadedAgain = navigation && navigation.type === "reload";
function startAtScale1() {
  if (!loadedAgain || visualViewport.scale === 1 || performance.now() > 3000) return;
  location.replace(location.search ? location.pathname : "?again");
}
addEventListener("load", () => setTimeout(startAtScale1));
visualViewport.addEventListener("resize", startAtScale1);
document.addEventListener("gesturestart", (event) => event.preventDefault()); // Safari's pinch, where it ignores the style

/** Show the test in this window. */
function run() {
  claim();
  state = load() || fresh();
  if (state.page === "tutorial") state.active = Date.now();
  show(state.page);
  askIfIdle();
  send();
}

const shown = shownIn();
if (shown && Math.abs(Date.now() - shown.at) < ALIVE) cover("elsewhere");
else run();
