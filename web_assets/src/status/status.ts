/** The status page: GET /status as JSON, read again every two seconds, for a person on call. */

import { byId, bytes, duration, h } from "../shared/dom.ts";
import { themeButton } from "../shared/theme.ts";
import { askToken, guardedFetch } from "../shared/token.ts";
import { tiles } from "./tiles.ts";
import { age, type Process, type Status } from "./types.ts";
import { judge } from "./verdict.ts";

/** Between two readings, in milliseconds. */
const EVERY = 2000;

let last: Status | null = null;
let readAt = 0;
let isPaused = false;
const open = new Set<string>();

async function read(): Promise<void> {
  try {
    const response = await guardedFetch("status?format=json", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!response.ok) {
      verdict("bad", [response.status === 401 ? "These figures need a token." : `GET /status: ${response.status}`]);
      return;
    }
    show(await response.json() as Status);
  } catch {
    const since = readAt ? ` for ${age((Date.now() - readAt) / 1000)}` : "";
    verdict("bad", [`The service does not answer${since}.`]);
  }
}

async function follow(): Promise<void> {
  for (;;) {
    if (!isPaused && !document.hidden) await read();
    await new Promise((resolve) => window.setTimeout(resolve, EVERY));
  }
}

function show(status: Status): void {
  const { level, reasons } = judge(status, last);
  verdict(level, reasons);
  byId("about").textContent = `${status.version}, up ${age(status.service.age_seconds)}, ${status.chrome.program}, sandbox ${status.chrome.sandbox}, user ${status.chrome.user}`;
  byId("tiles").replaceChildren(...tiles(status));
  errors(status);
  outcomes(status);
  leases(status);
  more(status);
  last = status;
  readAt = Date.now();
  document.documentElement.dataset["ready"] = "";
}

function verdict(level: string, reasons: string[]): void {
  const box = byId("verdict");
  const text = reasons.join(" ");
  if (box.dataset["text"] === text) return; // or a screen reader would read it again each time
  box.dataset["text"] = text;
  box.className = `verdict ${level}`;
  box.replaceChildren(...(reasons.length > 1 ? [h("ul", {}, ...reasons.map((one) => h("li", {}, one)))] : [text]));
}

// --- tables ---------------------------------------------------------------------------------------

function table(caption: string, heads: string[], rows: (string | Node)[][], empty: string): HTMLElement {
  if (!rows.length) return h("p", { class: "soft" }, empty);
  const isNumber = (at: number): boolean => heads[at]?.endsWith("#") ?? false;
  return h("table", {},
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, ...heads.map((one, at) => h("th", { scope: "col", class: isNumber(at) && "number" }, one.replace(/#$/, ""))))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((one, at) => h("td", { class: isNumber(at) && "number" }, one))))));
}

function errors(status: Status): void {
  const rows = status.renders.last_errors.slice(0, 12).map((one) => [
    `${age(Date.now() / 1000 - one.time)} ago`, String(one.status), h("code", {}, one.code), one.route || "–", one.caller || "–", h("code", {}, one.request_id),
  ]);
  byId("errors").replaceChildren(table("Last errors", ["when", "status", "code", "route", "caller", "request id"], rows, "None since the start."));
}

function outcomes(status: Status): void {
  const found = Object.entries(status.renders.outcomes).sort((a, b) => b[1] - a[1]);
  const total = found.reduce((sum, one) => sum + one[1], 0);
  const rows = found.map(([code, number]) => [h("code", {}, code), String(number), `${(100 * number / total).toFixed(1)} %`]);
  byId("outcomes").replaceChildren(table("Renders by outcome", ["outcome", "renders#", "share#"], rows, "No render yet."));
  const refused = Object.entries(status.renders.refused).sort((a, b) => b[1] - a[1]).map(([code, number]) => [h("code", {}, code), String(number)]);
  byId("refused").replaceChildren(table("Requests refused before a render", ["code", "requests#"], refused, "None since the start."));
}

function leases(status: Status): void {
  const zombies = new Set(status.census.zombies.map((one) => one.pid));
  byId("leases").replaceChildren(...status.leases.map((lease) => {
    const key = String(lease.lease);
    const details = h("details", { class: "lease", open: open.has(key) },
      h("summary", {}, h("b", {}, `Lease ${key}`), " ", state(lease, zombies), ` ${lease.processes.length === 1 ? "1 process" : `${lease.processes.length} processes`}, ${bytes(lease.memory_bytes)}, ${age(Math.max(...lease.processes.map((one) => one.age_seconds)))} old`),
      table(`Processes of lease ${key}`, ["process", "pid#", "state", "memory#", "age#"], lease.processes.map((one) => process(one, zombies)), ""));
    details.addEventListener("toggle", () => { if (details.open) open.add(key); else open.delete(key); });
    return details;
  }));
  if (!status.leases.length) byId("leases").replaceChildren(h("p", { class: "soft" }, "No Chrome runs."));
}

/** How the lease's Chrome is: its state in the pool, or what is wrong with it. */
function state(lease: Status["leases"][number], zombies: Set<number>): Node {
  const dead = lease.processes.filter((one) => zombies.has(one.pid)).length;
  if (lease.state === null) return h("b", { class: "bad" }, "left behind: the pool has no such Chrome;");
  if (dead) return h("b", { class: "bad" }, `${lease.state}, ${dead === 1 ? "1 zombie" : `${dead} zombies`};`);
  return h("span", {}, `${lease.state};`);
}

function process(one: Process, zombies: Set<number>): (string | Node)[] {
  const name = `${"\u2003".repeat(one.depth ?? 0)}${one.name}`;
  const state = zombies.has(one.pid) ? h("b", { class: "bad" }, `zombie, not waited for by ${one.parent}`) : one.state;
  return [h("code", {}, name), String(one.pid), state, bytes(one.memory_bytes), age(one.age_seconds)];
}

/** All else that the status has, group by group, so that a new figure is never hidden. */
function more(status: Status): void {
  const shown = new Set(["version", "instance", "chrome", "leases", "renders", "readiness"]);
  const groups = Object.entries(status).filter(([name]) => !shown.has(name));
  byId("more").replaceChildren(...groups.map(([name, value]) =>
    h("div", { class: "group" }, h("h3", {}, name.replaceAll("_", " ")), h("dl", {}, ...flat(value as object).flatMap(([key, one]) =>
      [h("dt", {}, key), h("dd", {}, one)])))));
}

function flat(value: object, before = ""): [string, string][] {
  return Object.entries(value).flatMap(([name, one]): [string, string][] => {
    const key = before ? `${before} ${name}` : name;
    if (one !== null && typeof one === "object" && !Array.isArray(one)) return flat(one as object, key);
    return [[key.replaceAll("_", " "), written(name, one)]];
  });
}

function written(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.length ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") : "none";
  if (typeof value === "number" && name.endsWith("bytes")) return bytes(value);
  if (typeof value === "number" && name === "milliseconds") return duration(value);
  if (typeof value === "number" && name.endsWith("seconds")) return age(value);
  return value === null ? "–" : String(value);
}

themeButton(byId("theme"));
byId("token").addEventListener("click", () => void askToken(false).then((given) => { if (given) void read(); }));
byId("pause").addEventListener("click", (event) => {
  isPaused = !isPaused;
  const button = event.currentTarget as HTMLElement;
  button.setAttribute("aria-pressed", String(isPaused));
  if (!isPaused) void read();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !isPaused) void read(); });
void follow();
