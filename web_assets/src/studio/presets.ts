/** Sizes that people often want. A paper is a PDF of that paper. */

import { h } from "../shared/dom.ts";
import { about } from "./about.ts";
import { setOptions } from "./options.ts";
import { onChange, state } from "./state.ts";

interface Preset { name: string; group: string; options: Record<string, unknown> }

const screen = (width: number, height: number, more: Record<string, unknown> = {}): Record<string, unknown> =>
  ({ width, height, device_scale_factor: undefined, mobile: undefined, touch: undefined, ...more });
const phone = (width: number, height: number, scale: number): Record<string, unknown> =>
  screen(width, height, { device_scale_factor: scale, mobile: true, touch: true });

const FIXED: Preset[] = [
  { group: "Cards", name: "Link card 1200 × 630", options: screen(1200, 630) },
  { group: "Cards", name: "Square 1080 × 1080", options: screen(1080, 1080) },
  { group: "Cards", name: "Portrait 1080 × 1350", options: screen(1080, 1350) },
  { group: "Cards", name: "Story 1080 × 1920", options: screen(1080, 1920) },
  { group: "Cards", name: "Poster 750 × 1334", options: screen(750, 1334) },
  { group: "Devices", name: "Laptop 1440 × 900", options: screen(1440, 900) },
  { group: "Devices", name: "Desktop 1920 × 1080", options: screen(1920, 1080) },
  { group: "Devices", name: "Tablet 820 × 1180 @2", options: phone(820, 1180, 2) },
  { group: "Devices", name: "Phone 390 × 844 @3", options: phone(390, 844, 3) },
  { group: "Devices", name: "Small phone 360 × 640 @2", options: phone(360, 640, 2) },
];

function papers(): Preset[] {
  const schema = about.options.get("pdf")?.schema.properties?.["paper"];
  const names = (schema?.anyOf ?? []).flatMap((one) => one.enum ?? []).map(String);
  return names.map((name) => ({
    group: "Paper (PDF)", name: /^a\d$/.test(name) ? name.toUpperCase() : name[0]?.toUpperCase() + name.slice(1),
    options: { format: "pdf", pdf: { paper: name } },
  }));
}

/** Fill a select with the presets, and choose the one that the options are. */
export function presets(select: HTMLSelectElement): void {
  const all = [...FIXED, ...papers()];
  const groups = [...new Set(all.map((one) => one.group))];
  select.replaceChildren(h("option", { value: "" }, "Own size"), ...groups.map((group) =>
    h("optgroup", { label: group }, ...all.filter((one) => one.group === group)
      .map((one) => h("option", { value: all.indexOf(one) }, one.name)))));
  select.addEventListener("change", () => {
    const chosen = all[Number(select.value)];
    if (select.value === "" || !chosen) return;
    const paper = chosen.options["pdf"] as Record<string, unknown> | undefined;
    if (paper) {
      setOptions({ ...chosen.options, pdf: { ...state.options["pdf"] as object, ...paper } });
    } else {
      setOptions({ ...chosen.options, ...(state.options["format"] === "pdf" ? { format: undefined } : {}) });
    }
  });
  const update = (): void => {
    const at = all.findIndex((one) => Object.entries(one.options).every(([name, value]) => same(name, value)));
    select.value = at < 0 ? "" : String(at);
  };
  onChange(update);
  update();
}

function same(name: string, value: unknown): boolean {
  const given = state.options[name];
  if (name === "pdf") return (given as { paper?: unknown } | undefined)?.paper === (value as { paper: unknown }).paper;
  if (name !== "format" && state.options["format"] === "pdf") return false;
  return given === value;
}
