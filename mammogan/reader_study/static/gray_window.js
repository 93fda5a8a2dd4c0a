// Window and level of one picture: gray levels from `center - width / 2` to `center + width / 2` fill the screen's range.

const WHOLE = { center: 0.5, width: 1 }; // shares of the range of the picture
const NARROWEST = 0.02;
const PER_PIXEL = 1 / 400; // change of the window per pixel of a drag

export class GrayWindow {
  /** `canvas` shows the picture, and `changed` is called after every change. */
  constructor(canvas, changed) {
    Object.assign(this, WHOLE, { canvas, changed });
  }

  get whole() {
    return this.center === WHOLE.center && this.width === WHOLE.width;
  }

  /** Set center and width, shares of the range. */
  set(center, width) {
    this.center = Math.min(Math.max(center, 0), 1);
    this.width = Math.min(Math.max(width, NARROWEST), 2);
    this.canvas.style.filter = this.filter();
    this.changed();
  }

  reset() {
    this.set(WHOLE.center, WHOLE.width);
  }

  /** Change the window as by a drag in pixels: to the right it grows, and up the picture becomes brighter. */
  drag(x, y) {
    this.set(this.center + y * PER_PIXEL * Math.min(this.width, 1), this.width * Math.exp(x * PER_PIXEL));
  }

  /** Return the filter that maps gray g to g / width + offset, of functions that browsers compute on the GPU. */
  filter() {
    if (this.whole) return "";
    const slope = 1 / this.width;
    const offset = 0.5 - this.center * slope;
    // Each function cuts at 0 and 1; in this order nothing is cut that the whole map keeps.
    if (offset <= 0) return `brightness(${slope / (1 - 2 * offset)}) contrast(${1 - 2 * offset})`;
    return `contrast(${slope / (slope + 2 * offset)}) brightness(${slope + 2 * offset})`;
  }
}

/** Let a drag over `element` change the window: with the right button, or with any pointer while `wanted()`. */
export function dragWindow(element, window, wanted, begin) {
  let last = null;
  const end = (event) => {
    if (last && event.pointerId === last.pointerId) last = null;
  };
  // Before OpenSeadragon, which would move the picture.
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 2 && !wanted()) return;
    event.stopPropagation();
    if (last || !element.querySelector("canvas")) return;
    element.setPointerCapture(event.pointerId);
    last = event;
    begin();
  }, true);
  element.addEventListener("pointermove", (event) => {
    if (!last) return;
    event.stopPropagation();
    if (event.pointerId !== last.pointerId) return;
    window.drag(event.clientX - last.clientX, event.clientY - last.clientY);
    last = event;
  }, true);
  for (const over of ["pointerup", "pointercancel"]) element.addEventListener(over, end, true);
  element.addEventListener("contextmenu", (event) => event.preventDefault());
}
