/** The picture or document: zoom, a checkerboard under transparency, and a slider between two renders. */

import { byId, h } from "../shared/dom.ts";
import type { Answer } from "./render.ts";

interface Picture { url: string; width: number; height: number; scale: number }

let current: Picture | null = null;
let kept: Picture | null = null;
let zoom = "fit";

const stage = byId("stage");
const compare = byId<HTMLButtonElement>("compare");
const slider = byId<HTMLInputElement>("slider");
const sliderRow = byId("slider-row");

/** Show a sentence in place of a picture: there is none, and this is why. */
export function clearStage(text: string): void {
  forget();
  replace(null);
  stage.classList.remove("stale");
  stage.replaceChildren(h("p", { class: "empty" }, text));
  controls();
}

/** Connect the controls of the stage. */
export function openStage(): void {
  clearStage("The picture appears here.");
  const zooms = byId<HTMLSelectElement>("zoom");
  zooms.addEventListener("change", () => { zoom = zooms.value; layOut(); });
  compare.addEventListener("click", () => {
    if (kept) forget(); else if (current) { kept = current; slider.value = "50"; }
    draw();
  });
  slider.addEventListener("input", split);
  new ResizeObserver(layOut).observe(stage);
}

/** Show an answer that is well; returns its size in pixels where it is a picture. */
export async function show(answer: Answer, scale: number): Promise<{ width: number; height: number } | null> {
  const url = URL.createObjectURL(answer.blob);
  if (answer.type.startsWith("image/")) {
    const image = new Image();
    image.src = url;
    await image.decode();
    replace({ url, width: image.naturalWidth, height: image.naturalHeight, scale });
    draw();
    return { width: image.naturalWidth, height: image.naturalHeight };
  }
  replace(null);
  forget();
  stage.replaceChildren(await document_(answer, url));
  controls();
  return null;
}

function replace(picture: Picture | null): void {
  if (current && current !== kept) URL.revokeObjectURL(current.url);
  current = picture;
}

function forget(): void {
  if (kept && kept !== current) URL.revokeObjectURL(kept.url);
  kept = null;
}

async function document_(answer: Answer, url: string): Promise<HTMLElement> {
  if (answer.type === "application/pdf") {
    const open = h("a", { href: url, target: "_blank", class: "button" }, "Open the PDF in a tab");
    if (!navigator.pdfViewerEnabled) return h("div", { class: "card" }, h("p", {}, "This browser shows no PDF in a page."), open);
    return h("iframe", { src: `${url}#navpanes=0`, title: "The PDF", class: "document" });
  }
  return h("pre", { class: "text-answer", tabindex: "0", "aria-label": "The answer as text" }, (await answer.blob.text()).slice(0, 500_000));
}

/** Show the current picture, and the kept one over it; what is there already stays, so nothing flickers. */
function draw(): void {
  if (!current) { controls(); return; }
  let frame = stage.querySelector<HTMLElement>(".frame");
  if (!frame) {
    frame = h("div", { class: "frame" }, h("img", { alt: "The rendered picture", class: "now", draggable: "false" }));
    stage.replaceChildren(frame);
  }
  (frame.querySelector(".now") as HTMLImageElement).src = current.url;
  const before = frame.querySelectorAll<HTMLElement>(".before, .handle");
  if (kept && !before.length) {
    frame.append(h("img", { src: kept.url, alt: "The kept picture", class: "before", draggable: "false" }), h("div", { class: "handle", "aria-hidden": "true" }));
  } else if (!kept) {
    for (const one of before) one.remove();
  }
  controls();
  layOut();
  split();
}

function controls(): void {
  compare.disabled = !current;
  compare.setAttribute("aria-pressed", String(kept !== null));
  sliderRow.hidden = kept === null;
}

function layOut(): void {
  const frame = stage.querySelector<HTMLElement>(".frame");
  if (!frame || !current) return;
  const width = current.width / current.scale;
  const height = current.height / current.scale;
  const room = stage.getBoundingClientRect();
  const fit = Math.min(1, (room.width - 32) / width, Math.max(120, room.height - 32) / height);
  const factor = zoom === "fit" ? fit : Number(zoom);
  frame.style.width = `${Math.max(1, width * factor)}px`;
  frame.style.height = `${Math.max(1, height * factor)}px`;
  stage.classList.toggle("pixels", factor * current.scale >= 2);
}

function split(): void {
  const frame = stage.querySelector<HTMLElement>(".frame");
  frame?.style.setProperty("--split", `${slider.value}%`);
}
