/** What is known of a render, below the picture: figures, time by phase, warnings, or the error. */

import { byId, bytes, duration, h } from "../shared/dom.ts";
import { clearFaults, showFault } from "./fields.ts";
import { remedyOf, titleOf } from "./remedies.ts";
import type { Answer, Phase, Problem } from "./render.ts";

/** What the phases are, for people. */
const PHASES: Record<string, string> = {
  queue: "waiting for a free place", lease: "getting a Chrome", setup: "preparing the page", load: "loading the page",
  wait: "waiting for the page", capture: "taking the picture", encode: "encoding", store: "storing",
};

const ISOLATION: Record<string, string> = {
  process: "A Chrome of its own, ended afterwards", context: "A context of its own in a shared browser", page: "A warm page of its template",
};

/** Show what is known of an answer. */
export function showFacts(answer: Answer, size: { width: number; height: number } | null): void {
  const facts: [string, string, string?][] = [
    ["Size", size ? `${size.width} × ${size.height}` : answer.type],
    ["Bytes", bytes(answer.blob.size)],
    ["Time", duration(answer.took), "From the request to the last byte, as this browser saw it"],
    ["Isolation", answer.isolation || "–", ISOLATION[answer.isolation]],
    ["Cache", answer.cache || "–"],
  ];
  byId("facts").replaceChildren(...facts.map(([name, value, title]) =>
    h("div", { class: "fact", title }, h("dt", {}, name), h("dd", {}, value))));
  timeline(answer.phases);
  warnings(answer);
}

function timeline(phases: Phase[]): void {
  const total = phases.reduce((sum, one) => sum + one.milliseconds, 0);
  const bar = h("div", { class: "bar", role: "img", "aria-label": `Time by phase: ${phases.map((one) => `${one.name} ${duration(one.milliseconds)}`).join(", ")}` });
  const legend = h("ul", { class: "legend" });
  phases.forEach((one, at) => {
    const part = h("span", { class: `phase phase-${at % 8}`, title: `${one.name}: ${duration(one.milliseconds)}, ${PHASES[one.name] ?? ""}` });
    part.style.flexGrow = String(Math.max(one.milliseconds, total / 400));
    bar.append(part);
    legend.append(h("li", { title: PHASES[one.name] }, h("span", { class: `key phase-${at % 8}`, "aria-hidden": "true" }), `${one.name} `, h("b", {}, duration(one.milliseconds))));
  });
  byId("timeline").replaceChildren(...(phases.length ? [bar, legend] : []));
}

function warnings(answer: Answer): void {
  byId("warnings").replaceChildren(...answer.warnings.map((one) =>
    h("li", {}, h("code", {}, titleOf(one)), h("p", {}, remedyOf(one)))));
  byId("warnings-box").hidden = answer.warnings.length === 0;
  byId("warnings-title").textContent = answer.warnings.length === 1 ? "1 warning" : `${answer.warnings.length} warnings`;
}

const REMEDIES: Record<string, string> = {
  unauthorized: "This service asks for a token. Render again to enter one.",
  rate_limited: "You have used your share for the moment. It continues by itself in a little while.",
  concurrency_limited: "Too many renders of yours run at once.",
  overloaded: "The service is busy. It continues by itself in a little while.",
  render_timeout: "Does the page wait for something? A larger timeout_ms gives it more time, on_timeout: capture shows what is there.",
  fetch_denied: "The network policy of the service does not allow this address.",
  url_unreachable: "Is the address right, and does its server run?",
  selector_not_found: "Is the selector spelled as in the page? wait_for waits for what a script adds.",
};

/** Show why there is no picture; faults are shown at their fields too. */
export function showProblem(problem: Problem, form: HTMLElement): void {
  const box = byId("problem");
  const faults = problem.errors ?? [];
  box.replaceChildren(
    h("h3", {}, problem.title, " ", h("code", {}, problem.code)),
    faults.length
      ? h("ul", {}, ...faults.map((one) => h("li", {}, h("code", {}, one.field || "request"), ` ${one.message}`, one.allowed && h("span", { class: "soft" }, `; allowed: ${one.allowed}`))))
      : h("p", {}, problem.detail),
    ...(REMEDIES[problem.code] ? [h("p", { class: "soft" }, REMEDIES[problem.code])] : []),
    ...(problem.request_id ? [h("p", { class: "soft small" }, `Request ${problem.request_id}`)] : []),
  );
  box.hidden = false;
  for (const one of faults) showFault(form, one.field, one.allowed ? `${one.message}; allowed: ${one.allowed}` : one.message);
}

/** Take the last error away. */
export function clearProblem(form: HTMLElement): void {
  byId("problem").hidden = true;
  clearFaults(form);
}
