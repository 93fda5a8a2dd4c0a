// What every part of the page uses: elements, messages and pauses.

export const $ = (id) => document.getElementById(id);

/** Show a message above the page; the empty text takes it away. */
export function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

/** Return `bytes` random bytes as hexadecimal digits. (crypto.randomUUID is missing on plain HTTP.) */
export function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
}

let wake = () => {};

/** Wait, or less if the connection comes back. */
export function sleep(milliseconds) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, milliseconds);
  });
}

addEventListener("online", () => wake());
