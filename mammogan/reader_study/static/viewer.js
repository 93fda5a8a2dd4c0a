// One picture that can be moved, zoomed, flipped and windowed by touch, mouse, keyboard and buttons; two can be linked.

import { dragWindow, GrayWindow } from "./gray_window.js";
import { words } from "./text.js";

// OpenSeadragon would add its own style sheet, which the page's policy forbids and which hides the keyboard focus on a
// tablet. It looks for its mark first; a mark that is not a style sheet prevents this.
const mark = document.createElementNS("urn:mark", "style");
mark.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(mark);

export const viewers = {}; // practice, left and right, as soon as they are seen

export class Viewer {
  /** `name` is the name for screen readers: "left image". */
  constructor(element, name) {
    this.name = name;
    this.element = element;
    this.stage = element.parentElement;
    this.addTools();
    this.osd = OpenSeadragon(settingsOf(element));
    const canvas = this.osd.canvas;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", words("image_keys", { name }));
    this.osd.addHandler("canvas-key", (event) => this.key(event));
    // A tablet that is turned shows the whole picture again if it showed the whole before.
    this.osd.addHandler("animation-finish", () => {
      const { viewport } = this.osd;
      this.whole = Math.abs(viewport.getZoom() / viewport.getHomeZoom() - 1) < 0.01;
    });
    this.osd.addHandler("resize", () => {
      this.limitZoom();
      if (this.whole) requestAnimationFrame(() => this.osd.viewport.goHome(true));
    });
    // The mouse wheel over an image zooms the image and does not scroll the page.
    this.osd.addHandler("canvas-scroll", (event) => { event.preventDefault = true; });
    this.window = new GrayWindow(this.osd.drawer.canvas, () => this.windowChanged());
    dragWindow(element, this.window, () => this.windowing, () => this.lead());
  }

  /** Add the buttons and messages of the image. The buttons need room, and the picture is fitted into the rest. */
  addTools() {
    const tools = document.createElement("div");
    tools.className = "tools";
    const button = (parent, sign, label, act) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = sign;
      if (label) made.setAttribute("aria-label", words(label, { name: this.name }));
      made.addEventListener("click", () => { this.lead(); act(); });
      parent.append(made);
      return made;
    };
    button(tools, "+", "zoom_in", () => this.zoom(1.5));
    button(tools, "−", "zoom_out", () => this.zoom(1 / 1.5));
    button(tools, "⤢", "show_all", () => this.home());
    button(tools, "1:1", "show_pixels", () => this.pixels());
    button(tools, "⇋", "flip", () => this.flip());
    this.windowButton = button(tools, "◐", "drag_window", () => this.setWindowing(!this.windowing));
    this.setWindowing(false);
    this.resetButton = button(this.stage, "", "", () => this.window.reset());
    this.resetButton.className = "reset";
    this.resetButton.hidden = true;
    this.message = document.createElement("p");
    this.message.className = "waiting";
    this.message.hidden = true;
    this.stage.append(tools, this.message);
  }

  /** Show a picture, given as a promise of what OpenSeadragon opens. Resolves when all that is in view is visible. */
  async open(opening) {
    this.setReady(false);
    this.osd.close();
    const turn = (this.turn = {});
    const source = await opening;
    if (this.turn !== turn) return;
    await new Promise((resolve) => {
      const { osd } = this;
      for (const event of ["open", "open-failed"]) osd.removeAllHandlers(event);
      osd.addOnceHandler("open-failed", () => this.say(words("image_damaged")));
      osd.addOnceHandler("open", () => {
        osd.viewport.setFlip(false);
        this.limitZoom();
        const picture = osd.world.getItemAt(0);
        const done = () => { if (picture.getFullyLoaded()) resolve(); };
        picture.addHandler("fully-loaded-change", done);
        done();
      });
      osd.open(source);
    });
    if (this.turn !== turn) return;
    this.window.reset();
    this.setWindowing(false);
    this.osd.viewport.goHome(true); // the page may have been laid out anew since the picture came
    this.whole = true;
    this.zoomed = 1;
    this.setReady(true);
  }

  /** Note whether the picture is visible. */
  setReady(ready) {
    this.ready = ready;
    this.element.setAttribute("aria-busy", String(!ready));
    if (ready) this.message.hidden = true;
  }

  /** Say how much of the picture is here, or that it waits. */
  progress({ share, failed }) {
    if (this.ready) return;
    const percent = Math.floor(100 * share);
    this.say(failed ? words("image_waits") : words("loading", { percent }));
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = false;
  }

  lead() {}

  windowChanged() {
    const { center, width, whole } = this.window;
    this.resetButton.hidden = whole;
    const shown = { center: Math.round(100 * center), width: Math.round(100 * width) };
    this.resetButton.textContent = words("reset_window", shown);
    this.windowMoved();
    if (!whole) this.looked();
  }

  /** Return whether the reader moves this image, and not one that it is linked to. */
  leads() {
    return true;
  }

  looked() {}

  windowMoved() {}

  setWindowing(on) {
    this.windowing = on;
    this.windowButton.setAttribute("aria-pressed", String(on));
  }

  zoom(factor) {
    this.osd.viewport.zoomBy(factor);
    this.osd.viewport.applyConstraints();
  }

  home() {
    this.osd.viewport.goHome();
  }

  /** Return the zoom at which a pixel of the picture is one of the screen. */
  pixelZoom() {
    return this.osd.world.getItemAt(0).imageToViewportZoom(1 / devicePixelRatio);
  }

  /** Allow to zoom out until all of the picture is seen, and pixel by pixel. */
  limitZoom() {
    const { viewport, world } = this.osd;
    if (world.getItemCount()) viewport.minZoomLevel = Math.min(viewport.getHomeZoom(), this.pixelZoom());
  }

  pixels() {
    this.osd.viewport.zoomTo(this.pixelZoom());
    this.osd.viewport.applyConstraints();
  }

  flip() {
    this.osd.viewport.toggleFlip();
  }

  key(event) {
    event.preventDefaultAction = true; // OpenSeadragon would also turn and flip
    const { key, shiftKey, ctrlKey, altKey, metaKey } = event.originalEvent;
    if (ctrlKey || altKey || metaKey || !this.osd.world.getItemCount()) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const sign = shiftKey ? -1 : 1;
    this.lead();
    if (steps[key]) {
      const size = 0.15 / this.osd.viewport.getZoom();
      const [x, y] = steps[key];
      this.osd.viewport.panBy(new OpenSeadragon.Point(x * size * (this.osd.viewport.getFlip() ? -1 : 1), y * size));
      this.osd.viewport.applyConstraints();
    } else if (key === "+" || key === "=") this.zoom(1.25);
    else if (key === "-" || key === "_") this.zoom(0.8);
    else if (key === "0") this.home();
    else if (key === "1") this.pixels();
    else if (key.toLowerCase() === "h") this.flip();
    else if (key.toLowerCase() === "c") this.window.drag(-40 * sign, 0);
    else if (key.toLowerCase() === "b") this.window.drag(0, -20 * sign);
    else if (key.toLowerCase() === "r") this.window.reset();
    else return;
    event.originalEvent.preventDefault();
  }
}

function settingsOf(element) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return {
    element,
    drawer: "canvas", // pixels of file:// pages are barred from WebGL
    showNavigationControl: false,
    animationTime: still ? 0 : 0.3,
    minZoomImageRatio: 1,
    maxZoomLevel: 16, // times the width of the viewer, so that small pictures grow as well
    visibilityRatio: 0.5,
    constrainDuringPan: true,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { pinchRotate: false, dblClickToZoom: true, flickEnabled: false },
    gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
    tileRetryMax: 1000,
    tileRetryDelay: 2500,
  };
}

/** Move and window two viewers together while `linked()` is true: the one that was touched last leads. */
export function link(pair, linked) {
  let leader = null;
  pair.forEach((viewer, i) => {
    const other = pair[1 - i];
    const follows = () => leader === viewer && linked() && viewer.ready && other.ready;
    viewer.lead = () => { leader = viewer; };
    viewer.leads = () => leader === viewer || !linked();
    for (const event of ["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-double-click"]) {
      viewer.osd.addHandler(event, viewer.lead);
    }
    viewer.osd.addHandler("viewport-change", () => {
      if (!follows()) return;
      const [from, to] = [viewer.osd.viewport, other.osd.viewport];
      const center = from.getCenter(true);
      if (from.getFlip() !== to.getFlip()) center.x = 1 - center.x; // two breasts that face alike
      to.zoomTo(from.getZoom(true), null, true);
      to.panTo(center, true);
    });
    viewer.windowMoved = () => {
      const { center, width } = viewer.window;
      if (follows() && (other.window.center !== center || other.window.width !== width)) other.window.set(center, width);
    };
  });
}
