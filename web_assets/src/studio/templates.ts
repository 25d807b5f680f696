/** The templates of the service: a select, a form for the data, and a gallery with their pictures. */

import { byId, h } from "../shared/dom.ts";
import { guardedFetch } from "../shared/token.ts";
import { type Field, field } from "./fields.ts";
import { render } from "./render.ts";
import type { Json, Schema } from "./schema.ts";
import { changed, state } from "./state.ts";

export interface Template {
  name: string;
  title: string;
  description: string;
  width: number | null;
  height: number | null;
  schema: Schema;
  sample: Record<string, Json>;
}

interface Listing { templates: Template[]; faults: { name: string; in_use: boolean; mistakes: string[] }[] }

let listed: Template[] = [];
let form: Field | null = null;
let loading: Promise<void> | null = null;
/** The list as it came. */
let last = "";
const pictures = new Map<string, string>();

/** Load the list once; rejects, with a sentence for people, where it cannot be loaded. */
export function loadTemplates(): Promise<void> {
  loading ??= load().catch((error: unknown) => { loading = null; throw error; });
  return loading;
}

async function load(): Promise<void> {
  const response = await guardedFetch("templates").catch(() => null);
  if (!response) throw new Error("The list of templates could not be loaded: the service does not answer.");
  if (response.status === 401) throw new Error("The list of templates needs a token. The button Token at the top asks for it.");
  if (!response.ok) throw new Error(`The list of templates could not be loaded: status ${response.status}.`);
  const text = await response.text();
  if (text === last) return;
  last = text;
  pictures.clear();
  const found = JSON.parse(text) as Listing;
  listed = found.templates;
  byId("template-faults").replaceChildren(...found.faults.map((one) =>
    h("div", { class: "note bad" }, h("b", {}, one.name), ` ${one.in_use ? "is served as it was before its last change" : "cannot be used"}:`,
      h("ul", {}, ...one.mistakes.map((text) => h("li", {}, text))))));
  const select = byId<HTMLSelectElement>("template");
  select.replaceChildren(h("option", { value: "" }, "Choose a template"), ...listed.map((one) => h("option", { value: one.name }, one.title || one.name)));
  select.value = state.template;
  select.disabled = listed.length === 0;
  if (!listed.length) aboutTemplate("This service has no templates that can be used. POSTER_TEMPLATES names their folder.");
}

/** Say above the form what the template is for, or why there is none. */
export function aboutTemplate(text: string): void {
  byId("template-about").textContent = text;
}

/** Load the list again; whether it has changed. Data that was the sample becomes the new sample. */
export async function reloadTemplates(): Promise<boolean> {
  const before = last;
  const sample = JSON.stringify(chosen()?.sample ?? {});
  await load();
  if (last === before) return false;
  chooseTemplate(state.template, JSON.stringify(state.data) === sample ? undefined : state.data);
  return true;
}

/** Choose a template; without data its sample is filled in. */
export function chooseTemplate(name: string, data?: Record<string, Json>): void {
  const found = listed.find((one) => one.name === name);
  state.template = found ? name : "";
  state.data = data ?? structuredClone(found?.sample ?? {});
  byId<HTMLSelectElement>("template").value = state.template;
  if (listed.length) aboutTemplate(found?.description ?? (name && `This service has no template “${name}”.`));
  drawForm();
}

/** The template that is chosen. */
export function chosen(): Template | undefined {
  return listed.find((one) => one.name === state.template);
}

function drawForm(): void {
  const place = byId("template-form");
  const found = chosen();
  if (!found) { place.replaceChildren(); form = null; return; }
  form = field({ ...found.schema, description: undefined, title: undefined } as Schema, {
    path: "data", label: "", root: found.schema, required: true,
    change: (value) => { state.data = (value ?? {}) as Record<string, Json>; changed(); },
  });
  form.set(state.data);
  place.replaceChildren(form.element);
}

/** Show the data in the form again, after it was edited as JSON. */
export function showData(): void {
  form?.set(state.data);
}

/** The list, with every template's sample as a picture; they are rendered when they come into view, two at a time. */
export async function openGallery(choose: (name: string) => void): Promise<void> {
  const dialog = byId<HTMLDialogElement>("gallery");
  const note = byId("gallery-note");
  note.hidden = true;
  dialog.showModal();
  const place = byId("gallery-cards");
  try {
    await loadTemplates();
  } catch (error) {
    note.textContent = (error as Error).message;
    note.hidden = false;
    place.replaceChildren();
    return;
  }
  const stop = new AbortController();
  dialog.addEventListener("close", () => stop.abort(), { once: true });
  const waiting: (() => Promise<void>)[] = [];
  let running = 0;
  const next = (): void => {
    while (running < 2 && waiting.length) {
      running += 1;
      void waiting.shift()?.().catch(() => undefined).finally(() => { running -= 1; next(); });
    }
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const found = listed.find((one) => one.name === (entry.target as HTMLElement).dataset["name"]);
      if (!entry.isIntersecting || !found) continue;
      seen.unobserve(entry.target);
      waiting.push(() => picture(found, entry.target.querySelector(".thumb") as HTMLElement, stop.signal));
    }
    next();
  }, { root: dialog });
  place.replaceChildren(...listed.map((one) => {
    const card = h("button", { type: "button", class: "template-card", "data-name": one.name },
      h("span", { class: "thumb" }), h("span", { class: "name" }, one.title || one.name),
      h("span", { class: "soft" }, one.width && one.height ? `${one.width} × ${one.height}` : one.name));
    card.addEventListener("click", () => { dialog.close(); choose(one.name); });
    return card;
  }));
  byId("gallery-empty").hidden = listed.length > 0;
  for (const card of place.children) seen.observe(card);
}

async function picture(template: Template, place: HTMLElement, signal: AbortSignal): Promise<void> {
  let url = pictures.get(template.name);
  if (!url) {
    const answer = await render({ template: template.name, data: template.sample, format: "webp", device_scale_factor: 0.5 }, signal);
    if (!answer.ok) { place.textContent = answer.problem?.title ?? ""; return; }
    url = URL.createObjectURL(answer.blob);
    pictures.set(template.name, url);
  }
  place.replaceChildren(h("img", { src: url, alt: `Sample of ${template.title || template.name}` }));
}
