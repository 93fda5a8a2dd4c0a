// The last page: the truth, which the server gives away after the last answer.

import { backend, LONGEST, responsesCsv, truthOf } from "./backend.js";
import { $, say, sleep } from "./dom.js";
import { pages } from "./pages.js";
import { smallPath } from "./pictures.js";
import { send } from "./sending.js";
import { sides, state, study } from "./state.js";
import { words } from "./text.js";

pages.result = async () => {
  $("details").hidden = true;
  $("score").textContent = words("sending");
  if (state.opening || state.answers.some((answer) => !answer.sent)) {
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
      say(words("result_waits"));
      await sleep(pause);
    }
  }
  say("");
  if (state.page === "result") fill(truth);
};

function fill(truth) {
  const answers = truth.answers
    .map((question, i) => ({ chosen_side: state.answers[i].chosen, role: "scored", ...question, names: state.pairs[i] }))
    .filter((answer) => answer.role === "scored")
    .map((answer) => ({ ...answer, truth: truthOf(answer), correct: answer.chosen_side === truthOf(answer) }));
  const right = answers.filter((answer) => answer.correct).length;
  $("score").textContent = words("score", { right, count: answers.length, half: answers.length / 2 });
  $("frames").hidden = $("pictured").hidden = !study.feedback;
  $("answers").replaceChildren(...answers.map(rowOf));
  $("code").textContent = words("your_code", { code: state.reader });
  $("download").hidden = study.mode === "server";
  $("download").onclick = () => {
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob([responsesCsv(state, truth.answers, study)], { type: "text/csv" }));
    file.download = `responses-${state.session}.csv`;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 10000);
  };
  $("again").textContent = words(study.mode === "server" ? "next_reader" : "take_again");
  $("details").hidden = false;
}

/** Return the row of an answer, with its pictures if the study shows them. */
function rowOf(answer, i) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = i + 1;
  row.append(head);
  for (const text of [answer.chosen_side, answer.truth, answer.correct ? "yes" : "no"]) {
    row.insertCell().textContent = words(text);
  }
  if (study.feedback) row.insertCell().append(...answer.names.map((name, place) => thumbnail(name, answer.truth, place)));
  return row;
}

/** Return a small picture; that of a real image has a frame. */
function thumbnail(name, truth, place) {
  const picture = document.createElement("img");
  picture.src = smallPath(name);
  picture.className = truth === (study.show === "images" ? "real" : sides[place]) ? "thumbnail real" : "thumbnail";
  picture.alt = words(picture.className === "thumbnail" ? "synthetic" : "real");
  return picture;
}
