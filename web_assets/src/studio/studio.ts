/** The studio at GET /: a request on the left, what comes of it on the right. */

import { byId, bytes, copy, duration, h, tabs } from "../shared/dom.ts";
import { askToken, hasToken } from "../shared/token.ts";
import { themeButton } from "../shared/theme.ts";
import { clearFacts, clearProblem, showFacts, showProblem } from "./facts.ts";
import { showFindings } from "./findings.ts";
import { FIRST_OPTIONS } from "./first.ts";
import { fragment, type Linked, parsed } from "./link.ts";
import { optionsPanel, setOptions, showOptions } from "./options.ts";
import { presets } from "./presets.ts";
import { type Answer, type Problem, render } from "./render.ts";
import { type Language, snippet } from "./snippets.ts";
import { firstSource, openSource, showSource } from "./source.ts";
import { clearStage, openStage, show } from "./stage.ts";
import { changed, format, isComplete, type Kind, onChange, request, state } from "./state.ts";
import { chooseTemplate, loadTemplates, openGallery, reloadTemplates } from "./templates.ts";
import { about } from "./about.ts";

/** How long nothing must be typed before it is rendered, in milliseconds. */
const PAUSE = 400;

/** How often a template that is being edited is looked at, in milliseconds. */
const WATCH = 700;

const form = byId("request");
const status = byId("status-line");
let running: AbortController | null = null;
let timer = 0;
/** The picture that is shown, and the end of its file's name. */
let last: { answer: Answer; extension: string } | null = null;
/** A link brought this request: it is rendered once its reader says so, not by opening the link. */
let isHeld = false;
let language: Language = "curl";

function isLive(): boolean {
  return byId<HTMLInputElement>("live").checked;
}

function schedule(pause = PAUSE): void {
  window.clearTimeout(timer);
  if (!isHeld && isLive()) timer = window.setTimeout(() => void now(), pause);
}

/** The request has changed: render it, or say that what is shown is another one. */
function edited(): void {
  if (isHeld) return;
  if (!isComplete()) { window.clearTimeout(timer); showNothing(); return; }
  schedule();
  if (isLive() || !last) return;
  byId("stage").classList.add("stale");
  say("Changed since this picture. Render shows the change.");
}

const NOTHING: Record<Kind, string> = {
  html: "write some HTML", template: "choose a template", url: "enter an address", markdown: "write some Markdown",
};

/** There is nothing to render: the picture of something else, its figures and its error go. */
function showNothing(): void {
  running?.abort();
  running = null;
  busy(false);
  const text = `Nothing to render yet: ${NOTHING[state.kind]}.`;
  withoutPicture(text);
  clearProblem(form);
  say(text);
}

function withoutPicture(text: string): void {
  last = null;
  clearStage(text);
  clearFacts();
  byId<HTMLButtonElement>("save").disabled = true;
}

/** Render what is on the page; what still runs is given up, which ends it at the service too. */
async function now(): Promise<void> {
  window.clearTimeout(timer);
  isHeld = false;
  byId("held").hidden = true;
  if (!isComplete()) { showNothing(); return; }
  running?.abort();
  const mine = new AbortController();
  const { kind } = state;
  running = mine;
  busy(true);
  try {
    // Each preview is rendered: a cached one would show no times.
    const answer = await render({ cache_ttl: 0, ...request() }, mine.signal);
    if (running === mine) await take(answer, kind);
  } catch (error) {
    if (running !== mine || (error as Error).name === "AbortError") return;
    notRendered({ title: "No answer", status: 0, code: "unreachable", detail: "The service does not answer. Does it still run?" }, kind);
  }
  if (running === mine) { running = null; busy(false); }
}

/** Show an error; a picture that is there is an older one, and is shown as that. */
function notRendered(problem: Problem, kind: Kind): void {
  showProblem(problem, form, kind);
  say(`Not rendered: ${problem.title}.`);
  clearFacts();
  if (last) byId("stage").classList.add("stale"); else clearStage("No picture. What is wrong stands below.");
}

async function take(answer: Answer, kind: Kind): Promise<void> {
  clearProblem(form);
  showToken();
  showCode(); // a token may have been given for this render
  if (answer.problem) {
    notRendered(answer.problem, kind);
    if (answer.retryAfter > 0 && answer.status !== 401) schedule(answer.retryAfter * 1000);
    return;
  }
  last = { answer, extension: extension() };
  const scale = Number(state.options["device_scale_factor"] ?? 1) || 1;
  const size = await show(answer, scale);
  byId("stage").classList.remove("stale");
  showFacts(answer, size, kind);
  byId<HTMLButtonElement>("save").disabled = false;
  const shape = size ? `${size.width} by ${size.height} pixels, ` : "";
  say(`Rendered in ${duration(answer.took)}: ${shape}${bytes(answer.blob.size)}.`);
}

function busy(isBusy: boolean): void {
  byId("result").setAttribute("aria-busy", String(isBusy));
}

function say(text: string): void {
  status.textContent = text;
}

const EXTENSIONS: Record<string, string> = { jpeg: "jpg", elements: "json" };

function extension(): string {
  return EXTENSIONS[format()] ?? format();
}

function showCode(): void {
  byId("code").textContent = snippet(language, request(), extension());
}

function save(): void {
  if (!last) return;
  const url = URL.createObjectURL(last.answer.blob);
  const name = typeof state.options["filename"] === "string" ? state.options["filename"] : `${state.template || "picture"}.${last.extension}`;
  h("a", { href: url, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

let writing = 0;
function writeLink(): void {
  window.clearTimeout(writing);
  writing = window.setTimeout(() => {
    void fragment().then((text) => history.replaceState(null, "", text || location.pathname + location.search));
  }, PAUSE);
}

async function copyLink(): Promise<void> {
  const text = await fragment();
  if (!text) { say("This request is too long for a link."); return; }
  history.replaceState(null, "", text);
  await copy(location.href);
  say("The link is copied. It has the request in its fragment, which browsers do not send; secret options are left out.");
}

/** Take over what a link says. */
async function open(linked: Linked): Promise<void> {
  state.kind = linked.kind;
  state.options = linked.options;
  if (linked.kind === "template") {
    try { await loadTemplates(); } catch { /* the render says why */ }
    chooseTemplate(linked.text, linked.data);
  } else {
    state[linked.kind] = linked.text;
  }
  showOptions();
  await showSource();
}

/** Whether a request of a link may be rendered at once: its reader has seen it, or it is the operator's own sample. */
function isTrusted(linked: Linked): boolean {
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  const isAgain = navigation?.type === "reload" || navigation?.type === "back_forward";
  return isAgain || (linked.kind === "template" && !linked.data && Object.keys(linked.options).length === 0);
}

async function fromLink(): Promise<boolean> {
  const linked = await parsed(location.hash);
  if (!linked) return false;
  isHeld = !isTrusted(linked);
  byId("held").hidden = !isHeld;
  await open(linked);
  return true;
}

function connect(): void {
  byId("render").addEventListener("click", () => void now());
  byId("held-render").addEventListener("click", () => void now());
  byId("save").addEventListener("click", save);
  byId("link").addEventListener("click", () => void copyLink());
  byId("copy-code").addEventListener("click", () => void copy(byId("code").textContent ?? "").then(() => say("Copied.")));
  byId("token").addEventListener("click", () => void askToken(false).then((given) => { if (given) { showToken(); showCode(); void showSource(); schedule(0); } }));
  byId("open-gallery").addEventListener("click", () => void gallery());
  byId("live").addEventListener("change", () => schedule(0));
  byId("checker").addEventListener("change", (event) => byId("stage").classList.toggle("checker", (event.target as HTMLInputElement).checked));
  const show = tabs(byId("code-tabs"), (name) => { language = name as Language; showCode(); });
  show(language);
  themeButton(byId("theme"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); void now(); }
  }, { capture: true });
  window.addEventListener("hashchange", () => void fromLink().then((is) => { if (is) { changed(); } }));
  const formats = byId<HTMLSelectElement>("format");
  const known = (about.options.get("format")?.schema.enum ?? []).map(String);
  formats.replaceChildren(...known.map((one) => h("option", { value: one }, one.toUpperCase())));
  formats.addEventListener("change", () => setOptions({ format: formats.value === about.format ? undefined : formats.value }));
  onChange(() => { formats.value = format(); });
  onChange(() => { showCode(); writeLink(); edited(); });
}

async function gallery(): Promise<void> {
  await openGallery((name) => {
    state.kind = "template";
    chooseTemplate(name);
    // Its own size is the template's; a size of the page before would crop it.
    setOptions({ width: undefined, height: undefined });
    void showSource();
    schedule(0);
  });
}

function showToken(): void {
  byId("token").classList.toggle("has-token", hasToken());
}

/** Render and check again whenever a file of the template changes; `poster-service template preview` opens the page so. */
async function watch(): Promise<void> {
  for (;;) {
    await showFindings();
    await new Promise((wake) => { window.setTimeout(wake, WATCH); });
    if (document.hidden) continue;
    try { if (await reloadTemplates()) changed(); } catch { /* the next render says why */ }
  }
}

async function start(): Promise<void> {
  firstSource();
  openSource();
  openStage();
  optionsPanel(byId("options"), byId<HTMLInputElement>("search"));
  presets(byId<HTMLSelectElement>("preset"));
  connect();
  if (!(await fromLink())) {
    state.options = { ...FIRST_OPTIONS };
    showOptions();
    await showSource();
  }
  showCode();
  byId<HTMLSelectElement>("format").value = format();
  changed();
  if (isHeld) say("A link brought this request. Render shows it."); else schedule(0);
  document.documentElement.dataset["ready"] = "";
  if (new URLSearchParams(location.search).has("watch")) void watch();
}

void start();
