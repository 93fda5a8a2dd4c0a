// Service worker: keeps the application, and the pictures of the session, for a start without a network.

importScripts("study.js");

const { id, files } = globalThis.STUDY;
const APPLICATION = `application-${id}`;
const PICTURES = `pictures-${id}`;
const PATIENCE = 4000; // milliseconds until the stored copy is shown instead

addEventListener("install", (event) => {
  skipWaiting();
  const requests = files.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(APPLICATION).then((cache) => cache.addAll(requests)));
});

addEventListener("activate", (event) => {
  const others = (names) => names.filter((name) => name !== APPLICATION && name !== PICTURES);
  const clean = caches.keys().then((names) => Promise.all(others(names).map((name) => caches.delete(name))));
  event.waitUntil(clean.then(() => clients.claim()));
});

/** Return the newest copy of a file, or the stored one where the network is slow or lost. */
async function newest(request, name) {
  const cache = await caches.open(APPLICATION);
  const stored = await cache.match(name);
  const loaded = fetch(request).then((response) => {
    if (response.ok) cache.put(name, response.clone());
    return response.ok || !stored ? response : stored;
  });
  if (!stored) return loaded;
  loaded.catch(() => {});
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, stored));
  return Promise.race([loaded.catch(() => stored), late]);
}

/** Return a picture, which never changes: the stored copy, or that of the network, which is then stored. */
async function picture(request) {
  const cache = await caches.open(PICTURES);
  const stored = await cache.match(request);
  if (stored) return stored;
  const response = await fetch(request);
  if (response.ok) cache.put(request, response.clone());
  return response;
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const path = new URL(request.url).href.slice(registration.scope.length).split("?")[0];
  if (request.method !== "GET" || !request.url.startsWith(registration.scope)) return;
  if (path.startsWith("pictures/")) event.respondWith(picture(request));
  else if (path === "" || files.includes(path)) event.respondWith(newest(request, path || "index.html"));
});
