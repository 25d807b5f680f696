/** What `poster-service template check` finds in the template that is being edited; only in its preview. */

import { byId, h } from "../shared/dom.ts";
import { guardedFetch } from "../shared/token.ts";

interface Finding { severity: "error" | "warning"; file: string; line: number | null; column: number | null; message: string }

/** Only `poster-service template preview` serves it. */
const ADDRESS = "preview/findings";

let last = "";
let isThere = true;

/** Ask for the findings and show them, beside the picture; nothing where the service has none. */
export async function showFindings(): Promise<void> {
  if (!isThere) return;
  const response = await guardedFetch(ADDRESS, { cache: "no-store" }).catch(() => null);
  if (response?.status === 404) isThere = false;
  if (!response?.ok) return;
  const text = await response.text();
  if (text === last) return; // or a screen reader would read it again each time
  last = text;
  show((JSON.parse(text) as { findings: Finding[] }).findings);
}

function show(findings: Finding[]): void {
  const count = (severity: string): string => {
    const number = findings.filter((one) => one.severity === severity).length;
    return number ? `${number} ${severity}${number === 1 ? "" : "s"}` : "";
  };
  const summary = [count("error"), count("warning")].filter(Boolean).join(" and ");
  const box = byId("findings");
  box.hidden = false;
  box.className = `note ${count("error") ? "bad" : summary ? "" : "good"}`;
  byId("findings-title").textContent = summary ? `template check: ${summary}` : "template check: nothing is wrong";
  byId("findings-list").replaceChildren(...findings.map((one) =>
    h("li", { class: one.severity }, h("b", {}, one.severity), " ", h("code", {}, place(one)), ` ${one.message}`)));
  // The list of the service has the same mistakes, without those that it does not look for.
  byId("template-faults").classList.toggle("brief", findings.length > 0);
}

function place({ file, line, column }: Finding): string {
  return [file, ...(line ? [line] : []), ...(line && column ? [column] : [])].join(":");
}
