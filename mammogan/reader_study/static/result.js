// The last page: the truth, which the server gives away after the last answer.

import { backend, LONGEST, responsesCsv } from "./backend.js";
import { $, say, sleep } from "./dom.js";
import { pages } from "./pages.js";
import { send } from "./sending.js";
import { state, study } from "./state.js";

pages.result = async () => {
  $("details").hidden = true;
  $("score").textContent = "Your last answers are being sent.";
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
      say("No connection: the result is shown when it is back.");
      await sleep(pause);
    }
  }
  say("");
  if (state.page === "result") fill(truth);
};

function fill(truth) {
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
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob([responsesCsv(state, truth.answers, study)], { type: "text/csv" }));
    file.download = `responses-${state.session}.csv`;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 10000);
  };
  $("again").textContent = study.mode === "server" ? "Next reader" : "Take it again";
  $("details").hidden = false;
}
