/** The figures that matter most, each with its last minutes as a line. */

import { bytes, duration, h } from "../shared/dom.ts";
import { age, type Status } from "./types.ts";

/** Readings that a line shows: five minutes of them. */
const MOST = 150;

interface Reading { at: number; done: number; ours: number; callers: number; ok: number; seconds: number }

const lines = new Map<string, number[]>();
let before: Reading | null = null;

/** The tiles for a reading; each call adds a point to the lines. */
export function tiles(status: Status): HTMLElement[] {
  const now = reading(status);
  const span = before ? Math.max(0.001, (now.at - before.at) / 1000) : 0;
  const rate = before ? Math.max(0, now.done - before.done) / span : 0;
  const ours = before ? 60 * Math.max(0, now.ours - before.ours) / span : 0;
  const callers = before ? 60 * Math.max(0, now.callers - before.callers) / span : 0;
  const ok = before ? now.ok - before.ok : 0;
  const mean = ok > 0 && before ? (now.seconds - before.seconds) / ok : 0;
  before = now;
  const { admission, pool, census, connections } = status;
  const busy = (pool.counts["leased"] ?? 0) + (pool.counts["warm"] ?? 0);
  return [
    tile("Renders a second", rate.toFixed(1), rate, `${now.done} since the start`),
    tile("Service errors a minute", ours.toFixed(0), ours, `${now.ours} since the start (pages, Chromes, load)`, ours > 0 ? "warn" : ""),
    tile("Caller errors a minute", callers.toFixed(0), callers, `${now.callers} since the start (requests, tokens, quotas)`),
    tile("Time of a render", ok > 0 ? duration(mean * 1000) : "–", mean * 1000, "mean since the last reading"),
    tile("Running", `${admission.running} of ${admission.max_running}`, admission.running, `${busy} Chromes leased, ${pool.counts["ready"] ?? 0} ready`),
    tile("Waiting", String(admission.waiting), admission.waiting, `${admission.refused} refused since the start`, admission.waiting > 0 ? "warn" : ""),
    tile("Memory of Chromes", bytes(census.memory_bytes), census.memory_bytes, `${census.alive} processes; the service ${bytes(status.service.memory_bytes)}`),
    tile("Zombies", String(census.zombies.length), census.zombies.length, `${pool.survivors.length} survivors`, census.zombies.length + pool.survivors.length > 0 ? "bad" : "good"),
    jobs(status.jobs),
    tile("Connections", String(connections.open), connections.open, `of ${connections.limit}; ${connections.refused} refused since the start`),
  ];
}

function jobs(found: Status["jobs"]): HTMLElement {
  const { queued = 0, running = 0, oldest_seconds: oldest = 0 } = found;
  if (!found.reachable) return tile("Jobs", "?", 0, "Redis does not answer", "bad");
  return tile("Jobs", `${queued} queued`, queued, queued ? `${running} running, the oldest waits ${age(oldest)}` : `${running} running`);
}

function reading(status: Status): Reading {
  const found = Object.entries(status.renders.outcomes);
  const sum = (of: [string, number][]): number => of.reduce((total, one) => total + one[1], 0);
  return {
    at: Date.now(),
    done: sum(found),
    ours: status.renders.errors.service,
    callers: status.renders.errors.caller,
    ok: status.renders.outcomes["ok"] ?? 0,
    seconds: status.renders.ok_seconds,
  };
}

function tile(name: string, value: string, point: number, note: string, level = ""): HTMLElement {
  const points = lines.get(name) ?? [];
  points.push(point);
  if (points.length > MOST) points.shift();
  lines.set(name, points);
  return h("div", { class: `tile ${level}` }, h("dt", {}, name), h("dd", {}, h("strong", {}, value), h("span", { class: "soft" }, note)), line(points));
}

/** A line of points as SVG, for eyes only: the figures are beside it. */
function line(points: number[]): Node {
  const space = "http://www.w3.org/2000/svg";
  const most = Math.max(...points, 1e-9);
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 150 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "polyline");
  path.setAttribute("points", points.map((one, at) => `${MOST - points.length + at},${28 - 26 * one / most}`).join(" "));
  svg.append(path);
  return svg;
}
