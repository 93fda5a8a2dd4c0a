// One picture that can be moved and zoomed by touch, mouse, keyboard and buttons; two of them can be linked.

// OpenSeadragon would add its own style sheet, which the page's policy forbids and which hides the keyboard focus on a
// tablet. It looks for its mark first; a mark that is not a style sheet prevents this.
const mark = document.createElementNS("urn:mark", "style");
mark.setAttribute("data-openseadragon-mobile-css", "");
document.head.append(mark);

export const viewers = {}; // practice, left and right, as soon as they are seen

export class Viewer {
  /** `name` is the name for screen readers: "left image". */
  constructor(element, name) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.name = name;
    this.element = element;
    // The buttons come first: they need room, and the picture is fitted into the rest.
    const tools = document.createElement("div");
    tools.className = "tools";
    const buttons = [
      ["+", "Zoom in", () => this.zoom(1.5)],
      ["−", "Zoom out", () => this.zoom(1 / 1.5)],
      ["⤢", "Show all", () => this.home()],
    ];
    for (const [sign, label, act] of buttons) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", `${label}, ${name}`);
      button.addEventListener("click", () => { this.lead(); act(); });
      tools.append(button);
    }
    element.parentElement.append(tools);
    this.osd = OpenSeadragon({
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
    });
    const canvas = this.osd.canvas;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `${name}: arrow keys move it, plus and minus zoom, 0 shows all of it`);
    this.osd.addHandler("canvas-key", (event) => this.key(event));
    // A tablet that is turned shows the whole picture again if it showed the whole before.
    this.osd.addHandler("animation-finish", () => {
      const { viewport } = this.osd;
      this.whole = Math.abs(viewport.getZoom() / viewport.getHomeZoom() - 1) < 0.01;
    });
    this.osd.addHandler("resize", () => {
      if (this.whole) requestAnimationFrame(() => this.osd.viewport.goHome(true));
    });
    // The mouse wheel over an image zooms the image and does not scroll the page.
    this.osd.addHandler("canvas-scroll", (event) => { event.preventDefault = true; });
    this.message = document.createElement("p");
    this.message.className = "failed";
    this.message.hidden = true;
    this.message.textContent = "This image waits for the connection.";
    element.parentElement.append(this.message);
  }

  /** Show a picture. Resolves when it is visible, however long the network is lost. */
  open(source) {
    this.setReady(false);
    const turn = (this.turn = {});
    return new Promise((resolve) => {
      const load = () => {
        if (this.turn !== turn) return;
        this.osd.addOnceHandler("open", () => {
          this.osd.removeAllHandlers("open-failed");
          if (this.turn !== turn) return;
          this.message.hidden = true;
          this.whole = true;
          this.setReady(true);
          resolve();
        });
        this.osd.addOnceHandler("open-failed", () => {
          this.osd.removeAllHandlers("open");
          if (this.turn !== turn) return;
          this.message.hidden = false;
          setTimeout(load, 2000);
        });
        this.osd.open(source);
      };
      this.osd.removeAllHandlers("open");
      this.osd.removeAllHandlers("open-failed");
      load();
    });
  }

  /** Note whether the picture is visible. */
  setReady(ready) {
    this.ready = ready;
    this.element.setAttribute("aria-busy", String(!ready));
  }

  lead() {}

  zoom(factor) {
    this.osd.viewport.zoomBy(factor);
    this.osd.viewport.applyConstraints();
  }

  home() {
    this.osd.viewport.goHome();
  }

  key(event) {
    event.preventDefaultAction = true; // OpenSeadragon would also turn and flip
    const { key, ctrlKey, altKey, metaKey } = event.originalEvent;
    if (ctrlKey || altKey || metaKey || !this.osd.viewport) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    this.lead();
    if (steps[key]) {
      const size = 0.15 / this.osd.viewport.getZoom();
      this.osd.viewport.panBy(new OpenSeadragon.Point(steps[key][0] * size, steps[key][1] * size));
      this.osd.viewport.applyConstraints();
    } else if (key === "+" || key === "=") this.zoom(1.25);
    else if (key === "-" || key === "_") this.zoom(0.8);
    else if (key === "0") this.home();
    else return;
    event.originalEvent.preventDefault();
  }
}

/** Move two viewers together while `linked()` is true: the one that was touched last leads. */
export function link(viewers, linked) {
  let leader = null;
  viewers.forEach((viewer, i) => {
    const other = viewers[1 - i];
    viewer.lead = () => { leader = viewer; };
    for (const event of ["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-double-click"]) {
      viewer.osd.addHandler(event, viewer.lead);
    }
    viewer.osd.addHandler("viewport-change", () => {
      if (leader !== viewer || !linked() || !viewer.ready || !other.ready) return;
      other.osd.viewport.zoomTo(viewer.osd.viewport.getZoom(true), null, true);
      other.osd.viewport.panTo(viewer.osd.viewport.getCenter(true), true);
    });
  });
}

/** Return what OpenSeadragon opens for the blinded name of a picture: one file, or tiles. */
export function sourceOf(name, study) {
  if (!study.tile) return { type: "image", url: `pictures/${name}.png`, buildPyramid: false };
  return {
    width: study.width,
    height: study.height,
    tileSize: study.tile,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: Math.ceil(Math.log2(Math.max(study.width, study.height))),
    getTileUrl: (level, x, y) => `pictures/${name}/${level}/${x}_${y}.png`,
  };
}

/** Return rings and bars to practice on. They are drawn here and reveal nothing of the study. */
export function practicePattern() {
  const canvas = document.createElement("canvas");
  canvas.width = 800;
  canvas.height = 400;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#111";
  pen.fillRect(0, 0, 800, 400);
  for (let ring = 24; ring > 0; ring -= 1) {
    pen.fillStyle = `hsl(0 0% ${ring % 2 ? 70 : 15}%)`;
    pen.beginPath();
    pen.arc(230, 200, ring * 7, 0, 7);
    pen.fill();
  }
  for (let bar = 0; bar < 36; bar += 1) {
    pen.fillStyle = `hsl(0 0% ${bar * 2.8}%)`;
    pen.fillRect(440 + bar * 9, 60, 9, 280);
  }
  return { type: "image", url: canvas.toDataURL("image/png"), buildPyramid: false };
}
