/** What is known of a render, below the picture: figures, time by phase, warnings, or the error. */

import { byId, bytes, duration, h } from "../shared/dom.ts";
import { clearFaults, showFault } from "./fields.ts";
import { remedyOf, remedyOfProblem, titleOf } from "./remedies.ts";
import type { Answer, Phase, Problem, Warning } from "./render.ts";
import type { Kind } from "./state.ts";

/** What the phases are, for people. */
const PHASES: Record<string, string> = {
  queue: "waiting for a free place", lease: "getting a Chrome", setup: "preparing the page", load: "loading the page",
  wait: "waiting for the page", capture: "taking the picture", encode: "encoding", store: "storing",
};

const ISOLATION: Record<string, string> = {
  process: "A Chrome of its own, ended afterwards", context: "A context of its own in a shared browser", page: "A warm page of its template",
};

/** Show what is known of an answer for a page of that kind. */
export function showFacts(answer: Answer, size: { width: number; height: number } | null, kind: Kind): void {
  const facts: [string, string, string?][] = [
    size ? ["Size", `${size.width} × ${size.height}`] : ["Type", answer.type],
    ["Bytes", bytes(answer.blob.size)],
    ["Time", duration(answer.took), "From the request to the last byte, as this browser saw it"],
    ["Isolation", answer.isolation || "–", ISOLATION[answer.isolation]],
    ["Cache", answer.cache || "–"],
  ];
  byId("facts").replaceChildren(...facts.map(([name, value, title]) =>
    h("div", { class: "fact", title }, h("dt", {}, name), h("dd", {}, value))));
  timeline(answer.phases);
  warnings(answer, kind);
}

/** Take figures, bar and warnings away: they are of no picture that is shown. */
export function clearFacts(): void {
  byId("facts").replaceChildren();
  byId("timeline").replaceChildren();
  byId("warnings").replaceChildren();
  byId("warnings-box").hidden = true;
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

function warnings(answer: Answer, kind: Kind): void {
  // What has the same remedy stands together, and the remedy once.
  const groups = new Map<string, Warning[]>();
  for (const one of answer.warnings) {
    const remedy = remedyOf(one, kind);
    groups.set(remedy, [...(groups.get(remedy) ?? []), one]);
  }
  byId("warnings").replaceChildren(...[...groups].map(([remedy, some]) =>
    h("li", {}, ...some.flatMap((one) => [h("code", {}, titleOf(one)), " "]), h("p", {}, remedy))));
  byId("warnings-box").hidden = answer.warnings.length === 0;
  byId("warnings-title").textContent = answer.warnings.length === 1 ? "1 warning" : `${answer.warnings.length} warnings`;
}

/** Show why there is no picture; faults are shown at their fields too. */
export function showProblem(problem: Problem, form: HTMLElement, kind: Kind): void {
  const box = byId("problem");
  const faults = problem.errors ?? [];
  const remedy = remedyOfProblem(problem.code, kind);
  box.replaceChildren(
    h("h3", {}, problem.title, " ", h("code", {}, problem.code)),
    faults.length
      ? h("ul", {}, ...faults.map((one) => h("li", {}, h("code", {}, one.field || "request"), ` ${one.message}`, one.allowed && h("span", { class: "soft" }, `; allowed: ${one.allowed}`))))
      : h("p", {}, problem.detail),
    ...(remedy ? [h("p", { class: "soft" }, remedy)] : []),
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
