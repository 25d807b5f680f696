/** The left side's upper half: where the page comes from, as tabs over one editor. */

import { byId, tabs } from "../shared/dom.ts";
import { about } from "./about.ts";
import type { Editor, Language } from "./editor.ts";
import { FIRST_HTML, FIRST_MARKDOWN } from "./first.ts";
import { chooseTemplate, loadTemplates, showData, aboutTemplate } from "./templates.ts";
import { changed, type Kind, state } from "./state.ts";
import type { Json } from "./schema.ts";

let editor: Editor | null = null;
let isJson = false;
let show: (name: string) => void = () => undefined;

/** Connect tabs, editor, and fields. */
export function openSource(): void {
  show = tabs(byId("source-tabs"), (name) => { state.kind = name as Kind; void showSource(); changed(); });
  const url = byId<HTMLInputElement>("url");
  url.addEventListener("input", () => { state.url = url.value.trim(); changed(); });
  byId<HTMLSelectElement>("template").addEventListener("change", (event) => {
    chooseTemplate((event.target as HTMLSelectElement).value);
    void showSource();
    changed();
  });
  byId("as-json").addEventListener("click", () => { isJson = !isJson; void showSource(); });
}

/** Show the state's source: its tab, and its text in the editor or its data in the form. */
export async function showSource(): Promise<void> {
  show(state.kind);
  byId<HTMLInputElement>("url").value = state.url;
  const isTemplate = state.kind === "template";
  byId("editor").hidden = state.kind === "url" || (isTemplate && !isJson);
  byId("template-form").hidden = isJson;
  const button = byId("as-json");
  button.textContent = isJson ? "As a form" : "As JSON";
  button.hidden = state.template === "";
  if (isTemplate) {
    try {
      await loadTemplates();
      if (byId<HTMLSelectElement>("template").value !== state.template) chooseTemplate(state.template, state.data);
    } catch (error) {
      aboutTemplate((error as Error).message);
    }
    if (!isJson) showData();
  }
  await showText();
}

async function showText(): Promise<void> {
  if (byId("editor").hidden) return;
  if (!editor) {
    const { editor: make } = await import("./editor.ts");
    editor ??= make(byId("editor"), about.nonce, edited);
  }
  const language: Language = state.kind === "template" ? "json" : state.kind === "markdown" ? "markdown" : "html";
  editor.set(state.kind === "template" ? JSON.stringify(state.data, null, 2) : state[state.kind as "html"]);
  editor.language(language, { html: "HTML of the page", json: "Data of the template as JSON", markdown: "Markdown of the page" }[language]);
}

function edited(text: string): void {
  if (state.kind === "template") {
    try { state.data = JSON.parse(text) as Record<string, Json>; } catch { return; } // the editor marks the place
  } else {
    state[state.kind] = text;
  }
  changed();
}

/** What the page begins with where no link says otherwise. */
export function firstSource(): void {
  state.html = FIRST_HTML;
  state.markdown = FIRST_MARKDOWN;
}
