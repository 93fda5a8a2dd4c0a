// How the reader looks at the open question: the largest zoom, and how often zoom and window change.

import { state } from "./state.js";

const PAUSE = 500; // milliseconds between two changes of a window

export function count(what) {
  state.looked[what] += 1;
}

/** Count what the reader does to a picture; one that follows another one is not counted. */
export function watch(viewer) {
  let windowed = 0;
  viewer.osd.addHandler("animation-finish", () => {
    const { viewport } = viewer.osd;
    const zoom = Math.round((100 * viewport.getZoom()) / viewport.getHomeZoom()) / 100;
    if (!viewer.ready || !viewer.leads() || Math.abs(zoom / viewer.zoomed - 1) < 0.02) return;
    viewer.zoomed = zoom;
    count("zooms");
    state.looked.zoom = Math.max(state.looked.zoom, zoom);
  });
  viewer.looked = () => {
    if (!viewer.ready || !viewer.leads()) return;
    if (performance.now() - windowed > PAUSE) count("windows");
    windowed = performance.now();
  };
}
