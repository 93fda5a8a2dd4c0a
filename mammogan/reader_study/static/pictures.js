// Fetching pictures in advance, with their progress, so that pairs open at once and survive a lost network.

import { sleep } from "./dom.js";
import { study } from "./state.js";

const PATIENCE = 15000; // milliseconds without a byte after which a request is made again
const AGAIN = 2000; // milliseconds between two attempts
const fetched = new Map(); // by path, {share, failed, ready, url}
let listener = () => {};

/** Call `act` whenever a picture progresses. */
export function onProgress(act) {
  listener = act;
}

/** Return the paths of a picture: one file, or the tiles of the level that fills the screen. */
function pathsOf(name) {
  if (!study.tile) return [`pictures/${name}.png`];
  const top = Math.ceil(Math.log2(Math.max(study.width, study.height)));
  const shown = Math.ceil(Math.log2(Math.max(screen.width, screen.height) * devicePixelRatio));
  const level = Math.min(top, shown);
  const count = (side) => Math.ceil(Math.ceil(side / 2 ** (top - level)) / study.tile);
  const columns = Array.from({ length: count(study.width) }, (_, x) => x);
  const rows = Array.from({ length: count(study.height) }, (_, y) => y);
  return columns.flatMap((x) => rows.map((y) => `pictures/${name}/${level}/${x}_${y}.png`));
}

/** Return the path of a small picture, or of a large one that has no smaller level. */
export function smallPath(name) {
  if (!study.tile) return fetched.get(`pictures/${name}.png`)?.url || `pictures/${name}.png`;
  return `pictures/${name}/${Math.floor(Math.log2(study.tile))}/0_0.png`;
}

/** Fetch one file; note its progress in `entry`. */
async function download(path, entry) {
  const cut = new AbortController();
  let timer = setTimeout(() => cut.abort(), PATIENCE);
  try {
    const response = await fetch(path, { signal: cut.signal });
    if (!response.ok) throw new Error(path);
    const length = Number(response.headers.get("Content-Length"));
    const parts = [];
    let received = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(() => cut.abort(), PATIENCE);
      parts.push(value);
      received += value.length;
      Object.assign(entry, { share: length ? received / length : 0, failed: false });
      listener();
    }
    return URL.createObjectURL(new Blob(parts, { type: "image/png" }));
  } finally {
    clearTimeout(timer);
  }
}

/** Return the entry of a file, and begin to fetch it. */
function fetching(path) {
  if (!fetched.has(path)) {
    const entry = { share: 0, failed: false, url: path };
    entry.ready = (async () => {
      if (location.protocol === "file:") return; // nothing to wait for
      for (let url; !url; ) {
        url = await download(path, entry).catch(() => null);
        if (url) entry.url = url;
        else {
          Object.assign(entry, { share: 0, failed: true });
          listener();
          await sleep(AGAIN);
        }
      }
    })();
    fetched.set(path, entry);
  }
  return fetched.get(path);
}

/** Return {share, failed} of the files of a picture: how much of it is here, and whether the last attempt failed. */
export function progressOf(name) {
  const entries = pathsOf(name).map((path) => fetched.get(path) || { share: 0, failed: false });
  const share = entries.reduce((sum, entry) => sum + entry.share, 0) / entries.length;
  return { share, failed: entries.some((entry) => entry.failed) };
}

/** Fetch pictures, those that are needed first before the others. */
export async function preload(names) {
  for (const path of names.flatMap(pathsOf)) await fetching(path).ready;
}

/** Return what OpenSeadragon opens for a picture, when it can be shown. */
export async function sourceOf(name) {
  const entries = pathsOf(name).map(fetching);
  await Promise.all(entries.map((entry) => entry.ready));
  if (!study.tile) return { type: "image", url: entries[0].url, buildPyramid: false };
  return {
    width: study.width,
    height: study.height,
    tileSize: study.tile,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: Math.ceil(Math.log2(Math.max(study.width, study.height))),
    getTileUrl: (level, x, y) => {
      const path = `pictures/${name}/${level}/${x}_${y}.png`;
      return fetched.get(path)?.url || path;
    },
  };
}
