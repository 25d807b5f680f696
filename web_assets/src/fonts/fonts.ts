/** The fonts page: every family with a line of it, which the service renders, since a reader's machine has other fonts. */

import { byId, type Child, h } from "../shared/dom.ts";
import { themeButton } from "../shared/theme.ts";
import { askToken, guardedFetch } from "../shared/token.ts";

interface Family { family: string; styles: string[]; scripts: string[]; characters: number; usable: boolean; sample: string }

/** Lines of one picture, and the size of a line in CSS pixels, as in the style sheet. */
const LINES = 40;
const WIDTH = 500;
const HEIGHT = 44;
/** How long nothing must be typed before the lines are rendered again, in milliseconds. */
const PAUSE = 500;

interface Row { family: Family; element: HTMLElement; line: HTMLElement | null }

/** Rows whose lines are one picture; it is rendered once, when the first of them comes into view. */
interface Sheet { rows: Row[]; isAsked: boolean; url: string }

const message = byId("message");
const search = byId<HTMLInputElement>("search");
const text = byId<HTMLInputElement>("text");
let rows: Row[] = [];
let sheets = new Map<Element, Sheet>();
let waiting: Sheet[] = [];
let isRendering = false;

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const sheet = sheets.get(entry.target);
    if (entry.isIntersecting && sheet && !sheet.isAsked) { sheet.isAsked = true; waiting.push(sheet); }
  }
  void renderWaiting();
}, { rootMargin: "200px" });

async function load(): Promise<void> {
  const response = await guardedFetch("fonts?format=json", { cache: "no-store" }).catch(() => null);
  if (!response?.ok) {
    say(!response ? "The service does not answer." : response.status === 401 ? "The list of fonts needs a token." : `GET /fonts: ${response.status}`, true);
    return;
  }
  const { families } = await response.json() as { families: Family[] | null };
  if (!families) { say("The fonts are not known: fc-list (package fontconfig) is not installed at the service, or failed.", true); return; }
  rows = families.map(row);
  byId("families").replaceChildren(...rows.map((one) => one.element));
  byId("table").hidden = false;
  divide();
  filter();
  document.documentElement.dataset["ready"] = "";
}

function row(family: Family): Row {
  const line = family.usable ? h("div", { class: "line", role: "img", "aria-label": `A line in ${family.family}` }) : null;
  const element = h("tr", {},
    h("td", {}, family.family), h("td", {}, line ?? h("span", { class: "soft" }, "Chrome does not use it")),
    h("td", {}, ...brief(family.scripts, 5)), h("td", {}, ...brief(family.styles, 4)),
    h("td", { class: "number" }, String(family.characters)));
  return { family, element, line };
}

/** The first of many names, and how many more there are. */
function brief(names: string[], most: number): Child[] {
  if (names.length <= most + 1) return [names.join(", ")];
  return [`${names.slice(0, most).join(", ")} `, h("span", { title: names.slice(most).join(", ") }, `and ${names.length - most} more`)];
}

/** Make the sheets: of all families in their order, so that they are the same each time and come out of the cache. */
function divide(): void {
  seen.disconnect();
  for (const sheet of new Set(sheets.values())) URL.revokeObjectURL(sheet.url);
  sheets = new Map();
  waiting = [];
  const lines = rows.filter((one) => one.line);
  for (let at = 0; at < lines.length; at += LINES) {
    const sheet: Sheet = { rows: lines.slice(at, at + LINES), isAsked: false, url: "" };
    for (const one of sheet.rows) { sheets.set(one.element, sheet); seen.observe(one.element); }
  }
}

function filter(): void {
  const wanted = search.value.trim().toLowerCase();
  let shown = 0;
  for (const { family, element } of rows) {
    element.hidden = !`${family.family} ${family.scripts.join(" ")}`.toLowerCase().includes(wanted);
    if (!element.hidden) shown += 1;
  }
  byId("table").hidden = shown === 0;
  if (!rows.length) say("The service has no fonts.");
  else say(shown ? `${shown} of ${rows.length} families` : `No family or script matches “${search.value.trim()}”.`);
}

async function renderWaiting(): Promise<void> {
  if (isRendering) return;
  isRendering = true;
  for (let sheet = waiting.shift(); sheet; sheet = waiting.shift()) await render(sheet);
  isRendering = false;
}

async function render(sheet: Sheet): Promise<void> {
  const answer = await guardedFetch("render", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      html: page(sheet.rows.map((one) => one.family)), width: WIDTH, height: HEIGHT * sheet.rows.length,
      javascript: false, png_compression: "balanced", device_scale_factor: window.devicePixelRatio > 1 ? 2 : 1,
    }),
  }).catch(() => null);
  if (sheets.get(sheet.rows[0]?.element as Element) !== sheet) return; // other lines are wanted by now
  if (!answer?.ok) {
    for (const { line } of sheet.rows) line?.replaceChildren(h("span", { class: "soft" }, answer ? `not rendered: ${answer.status}` : "not rendered"));
    return;
  }
  sheet.url = URL.createObjectURL(await answer.blob());
  sheet.rows.forEach(({ line }, at) => {
    const image = h("img", { src: sheet.url, alt: "" });
    image.style.top = `${-at * HEIGHT}px`;
    line?.replaceChildren(image);
  });
}

/** The page that is rendered: a line of each family, in that family. */
function page(families: Family[]): string {
  const own = text.value.trim();
  const lines = families.map((one) => `<p dir="auto" style="font-family:${escaped(css(one.family))}">${escaped(own || one.sample)}</p>`);
  return "<!doctype html><meta charset=utf-8><style>body{margin:0}p{margin:0;font-size:26px;overflow:hidden;white-space:nowrap;"
    + `height:${HEIGHT}px;line-height:${HEIGHT}px}</style>${lines.join("")}`;
}

/** A text as a string of CSS; all that could end it is escaped. */
function css(name: string): string {
  return `"${name.replace(/[^\p{L}\p{N} _.-]/gu, (one) => `\\${(one.codePointAt(0) as number).toString(16)} `)}"`;
}

function escaped(plain: string): string {
  return plain.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}

function say(words: string, isBad = false): void {
  message.textContent = words;
  message.classList.toggle("bad", isBad);
}

let timer = 0;
themeButton(byId("theme"));
byId("token").addEventListener("click", () => void askToken(false).then((given) => { if (given) void load(); }));
search.addEventListener("input", filter);
text.addEventListener("input", () => { window.clearTimeout(timer); timer = window.setTimeout(divide, PAUSE); });
void load();
