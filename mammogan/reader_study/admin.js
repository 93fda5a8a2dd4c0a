// The administrator's page: renews its progress, and sends what its buttons ask for.

const EVERY = 5000; // milliseconds between two renewals
const $ = (id) => document.getElementById(id);
let session = "";

/** Say a sentence, or nothing. */
function say(text) {
  $("status").textContent = text;
}

/** Replace the progress by that of now; where the keyboard is stays. */
async function renew() {
  try {
    const response = await fetch("/admin", { cache: "no-store" });
    if (!response.ok) throw new Error();
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const { id, dataset } = document.activeElement;
    $("live").replaceWith(page.getElementById("live"));
    const focused = (id && $(id)) || (dataset.void && document.querySelector(`[data-void="${dataset.void}"]`));
    if (focused && focused !== document.activeElement) focused.focus();
    say("");
  } catch {
    say("The server does not answer.");
  }
}

async function post(path, body) {
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) {
      say(await response.text());
      return;
    }
  } catch {
    say("The server does not answer.");
    return;
  }
  await renew();
}

document.addEventListener("click", (event) => {
  const { id, dataset } = event.target;
  if (id === "close") post("/admin/study", { closed: dataset.close === "yes" });
  if (!dataset.void) return;
  session = dataset.void;
  $("voiding-title").textContent = `Void the session ${session}?`;
  $("reason").value = "";
  $("voiding").showModal();
});

$("void").addEventListener("click", () => {
  $("voiding").close();
  post("/admin/voids", { session, reason: $("reason").value });
});

setInterval(() => { if (!document.hidden && !$("voiding").open) renew(); }, EVERY);
