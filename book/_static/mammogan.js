// Interaction of the pages: pictures that zoom, previews of references, plots when they come into view.
"use strict";

(() => {
  const root = document.documentElement.dataset.content_root || "./";
  const loaded = {};

  // Scripts are loaded when they are needed; a page opened from a disk can load scripts, but not fetch data.
  const load = (src) =>
    (loaded[src] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = src;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${src} is missing`));
      document.head.append(script);
    }));

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  // ---- Pictures ----
  async function zoom(link) {
    await load(`${root}_static/openseadragon.min.js`);
    const image = link.querySelector("img");
    const stage = make("div", { class: "viewer-stage", tabindex: "0", "aria-label": image.alt || "picture" });
    const button = (label, text, act) => {
      const element = make("button", { type: "button", "aria-label": label, title: label }, text);
      element.addEventListener("click", act);
      return element;
    };
    const dialog = make("dialog", { class: "viewer", "aria-label": "Picture, enlarged" });
    // Pixels are not smoothed: a radiograph is read by its gray levels.
    const viewer = () =>
      OpenSeadragon({
        element: stage,
        tileSources: { type: "image", url: link.href, buildPyramid: false },
        drawer: "canvas",
        imageSmoothingEnabled: false,
        showNavigationControl: false,
        crossOriginPolicy: false,
        maxZoomPixelRatio: 24,
        visibilityRatio: 0.5,
        animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
        gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      });
    let view;
    const bar = make(
      "div",
      { class: "viewer-bar" },
      button("Zoom in", "+", () => view.viewport.zoomBy(1.6)),
      button("Zoom out", "\u2212", () => view.viewport.zoomBy(1 / 1.6)),
      button("Whole picture", "\u2922", () => view.viewport.goHome()),
      button("One pixel to one", "1:1", () => view.viewport.zoomTo(view.viewport.imageToViewportZoom(1))),
      make("a", { href: link.href, download: "" }, "file"),
      button("Close", "\u00d7", () => dialog.close()),
    );
    dialog.append(bar, stage);
    dialog.addEventListener("close", () => {
      view.destroy();
      dialog.remove();
      link.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
    view = viewer();
    dialog.view = view;
    stage.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.zoom");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    zoom(link).catch(() => (location.href = link.href));
  });

  // ---- Previews ----
  let tip;
  const hide = () => {
    tip?.remove();
    tip = undefined;
  };

  function place(link) {
    const box = link.getBoundingClientRect();
    const width = Math.min(420, document.documentElement.clientWidth - 16);
    tip.style.width = `${width}px`;
    tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8)) + scrollX}px`;
    const below = box.bottom + tip.offsetHeight + 12 < innerHeight || box.top < tip.offsetHeight + 12;
    tip.style.top = `${(below ? box.bottom + 6 : box.top - tip.offsetHeight - 6) + scrollY}px`;
  }

  async function show(link) {
    const url = new URL(link.href);
    const base = new URL(root, location.href);
    const key = url.pathname.startsWith(base.pathname)
      ? decodeURIComponent(url.pathname.slice(base.pathname.length) + url.hash)
      : "";
    await load(`${root}_static/previews.js`);
    const text = window.mammoganPreviews?.[key];
    if (!text || !link.matches(":hover, :focus")) return;
    hide();
    tip = make("div", { class: "preview", role: "tooltip" });
    tip.innerHTML = text.replaceAll("{root}", root);
    document.body.append(tip);
    place(link);
  }

  let timer;
  const wants = (target) => {
    const link = target.closest?.("article a.internal[href*='#'], article a.reference[href*='#']");
    return link && !link.classList.contains("headerlink") && !link.closest(".preview") ? link : undefined;
  };
  document.addEventListener("mouseover", (event) => {
    const link = wants(event.target);
    if (!link) return;
    clearTimeout(timer);
    timer = setTimeout(() => show(link).catch(() => {}), 200);
    link.addEventListener("mouseleave", () => (clearTimeout(timer), hide()), { once: true });
  });
  document.addEventListener("focusin", (event) => {
    const link = wants(event.target);
    if (!link) return;
    show(link).catch(() => {});
    link.addEventListener("blur", hide, { once: true });
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // ---- Plots ----
  function start(place) {
    Promise.all([load(`${root}_static/plots.js`), load(place.dataset.script)])
      .then(() => window.mammoganPlots[place.dataset.kind](place, window.mammoganData?.[place.dataset.key], root))
      .then(() => place.classList.add("plot-ready"))
      .catch((error) => console.error(error));
  }
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries)
        if (entry.isIntersecting) {
          watch.unobserve(entry.target);
          start(entry.target);
        }
    },
    { rootMargin: "400px" },
  );
  const begin = () => {
    document.querySelectorAll(".plot").forEach((place) => watch.observe(place));
    // Names of what folds: the theme's hide the visible text of code, and are missing in the list of pages.
    for (const summary of document.querySelectorAll("summary")) {
      if (summary.textContent.trim()) summary.removeAttribute("aria-label");
      else summary.setAttribute("aria-label", `Pages below ${summary.closest("li")?.querySelector("a")?.textContent.trim()}`);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();

  // The search shows excerpts, which it fetches page by page; from a disk it may not, and takes them from a script.
  if (location.protocol === "file:") {
    const fetched = window.fetch;
    window.fetch = async (address, ...options) => {
      const url = new URL(address, location.href);
      if (url.protocol !== "file:") return fetched(address, ...options);
      await load(`${root}_static/excerpts.js`);
      const page = decodeURIComponent(url.pathname).slice(new URL(root, location.href).pathname.length);
      return new Response(window.mammoganExcerpts[page] ?? "", { headers: { "Content-Type": "text/html" } });
    };
  }

  // In print all folded parts are open.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
})();
