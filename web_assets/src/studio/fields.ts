/** Form controls made from a JSON Schema: for the options of a render, and for a template's data. */

import { freshId, h } from "../shared/dom.ts";
import { blank, isScalar, type Json, resolved, type Schema } from "./schema.ts";

/** A control: its element, and a way to show a value; undefined is "not set". */
export interface Field {
  element: HTMLElement;
  set(value: Json | undefined): void;
}

export interface About {
  /** Dotted, as problems name it. */
  path: string;
  label: string;
  root: Schema;
  required: boolean;
  change(value: Json | undefined): void;
}

/** A control for a value of a schema, with label and description. */
export function field(given: Schema, about: About): Field {
  const schema = resolved(given, about.root);
  if (schema.anyOf && !schema.anyOf.every(isScalar)) return variants(schema, about);
  if (schema.type === "object" && schema.properties) return group(schema, about);
  if (schema.type === "array") {
    const items = resolved(schema.items ?? {}, about.root);
    if (items.enum) return checks(schema, items, about);
    if (items.type === "string") return lines(schema, about);
    if (items.type === "object") return list(schema, items, about);
    return raw(schema, about);
  }
  if (schema.type === "object") return pairs(schema, about);
  if (schema.type === "boolean") return toggle(schema, about);
  return isScalar(schema) || schema.anyOf ? scalar(schema, about) : raw(schema, about);
}

/** The name of a property as people read it. */
export function labelOf(name: string, schema: Schema): string {
  return schema.title ?? name;
}

// --- one value -----------------------------------------------------------------------------------

function frame(schema: Schema, about: About, control: HTMLElement, more: HTMLElement[] = []): HTMLElement {
  const id = control.id || freshId();
  control.id = id;
  const hint = schema.description ? h("p", { class: "hint", id: `${id}-hint` }, schema.description) : null;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  return h("div", { class: "field", "data-field": about.path },
    h("label", { for: id }, about.label, about.required && h("span", { class: "required", "aria-hidden": "true" }, " *")),
    control, ...more,
    h("p", { class: "fault", id: `${id}-fault`, hidden: true }),
    hint);
}

function scalar(schema: Schema, about: About): Field {
  const branches = schema.anyOf ?? [schema];
  const values = branches.flatMap((one) => one.enum ?? (one.const === undefined ? [] : [one.const]));
  if (values.length && branches.every((one) => one.enum ?? one.const !== undefined)) return choice(schema, values, about);
  const isNumber = branches.some((one) => one.type === "number" || one.type === "integer");
  const isText = branches.some((one) => one.type === "string" || one.enum);
  const longest = schema.maxLength ?? (schema.format || schema.pattern || isNumber ? 0 : 1e6);
  const control = isNumber && !isText ? number(schema, about)
    : longest > 100 ? h("textarea", { rows: longest > 5000 ? 3 : 1, spellcheck: "false" })
    : h("input", { type: schema.format === "date" ? "date" : "text", spellcheck: "false", autocomplete: "off" });
  control.setAttribute("placeholder", placeholder(schema, values));
  if (about.required) control.setAttribute("aria-required", "true");
  const read = (): Json | undefined => {
    const text = control.value;
    if (text === "") return about.required && isText ? "" : undefined;
    const asNumber = Number(text);
    return isNumber && text.trim() !== "" && !Number.isNaN(asNumber) ? asNumber : text;
  };
  control.addEventListener("input", () => about.change(read()));
  const more = schema.pattern?.includes("[0-9a-fA-F]{6}") ? [colour(control)] : [];
  return {
    element: frame(schema, about, control, more),
    set: (value) => { control.value = value === undefined || value === null ? "" : String(value); },
  };
}

function number(schema: Schema, about: About): HTMLInputElement {
  return h("input", {
    type: "number", inputmode: "decimal", name: about.path,
    min: schema.minimum, max: schema.maximum, step: schema.type === "integer" ? 1 : "any",
  });
}

function placeholder(schema: Schema, values: Json[]): string {
  const given = schema.default;
  if (given !== undefined && given !== null && typeof given !== "object") return String(given);
  const words = /Default: ([^.]+(?:\.\d+)?)\./.exec(schema.description ?? "");
  if (words?.[1]) return words[1];
  return values.length ? values.slice(0, 3).join(", ") + ", …" : "";
}

function colour(control: HTMLInputElement | HTMLTextAreaElement): HTMLElement {
  const picker = h("input", { type: "color", class: "swatch", "aria-label": "Choose a colour", value: "#ffffff" });
  picker.addEventListener("input", () => {
    control.value = picker.value;
    control.dispatchEvent(new Event("input"));
  });
  return picker;
}

function choice(schema: Schema, values: Json[], about: About): Field {
  const none = schema.default === undefined || schema.default === null ? "" : ` (${String(schema.default)})`;
  const select = h("select", {},
    !about.required && h("option", { value: "" }, placeholder({ ...schema, default: undefined }, []) || `default${none}`),
    ...values.map((one, at) => h("option", { value: at }, String(one))));
  select.addEventListener("change", () => about.change(select.value === "" ? undefined : values[Number(select.value)]));
  return {
    element: frame(schema, about, select),
    set: (value) => { const at = values.indexOf(value as Json); select.value = at < 0 ? "" : String(at); },
  };
}

function toggle(schema: Schema, about: About): Field {
  const usual = schema.default === true;
  const box = h("input", { type: "checkbox", role: "switch" });
  box.checked = usual;
  box.addEventListener("change", () => about.change(box.checked === usual && !about.required ? undefined : box.checked));
  const element = frame(schema, about, box);
  element.classList.add("switch");
  return { element, set: (value) => { box.checked = value === undefined || value === null ? usual : value === true; } };
}

// --- several values -------------------------------------------------------------------------------

function set(schema: Schema, about: About, ...children: HTMLElement[]): HTMLElement {
  return h("fieldset", { class: "group", "data-field": about.path },
    h("legend", {}, about.label, about.required && h("span", { class: "required", "aria-hidden": "true" }, " *")),
    schema.description ? h("p", { class: "hint" }, schema.description) : null,
    h("p", { class: "fault", hidden: true }),
    ...children);
}

function group(schema: Schema, about: About): Field {
  let value: Record<string, Json> = {};
  const needed = new Set(schema.required ?? []);
  const fields = new Map(Object.entries(schema.properties ?? {}).map(([name, inner]) => {
    const plain = resolved(inner, about.root);
    return [name, field(plain, {
      path: about.path ? `${about.path}.${name}` : name, label: labelOf(name, plain), root: about.root,
      required: needed.has(name),
      change: (one) => {
        value = { ...value };
        if (one === undefined) delete value[name];
        else value[name] = one;
        about.change(Object.keys(value).length || about.required ? value : undefined);
      },
    })];
  }));
  const inner = [...fields.values()].map((one) => one.element);
  return {
    element: about.label ? set(schema, about, ...inner) : h("div", {}, ...inner),
    set: (given) => {
      value = given !== null && typeof given === "object" && !Array.isArray(given) ? given : {};
      for (const [name, one] of fields) one.set(value[name]);
    },
  };
}

function checks(schema: Schema, items: Schema, about: About): Field {
  const boxes = (items.enum ?? []).map((one) => {
    const box = h("input", { type: "checkbox", value: one });
    return { one, box, label: h("label", { class: "check" }, box, String(one)) };
  });
  const read = (): void => {
    const chosen = boxes.filter(({ box }) => box.checked).map(({ one }) => one);
    about.change(chosen.length || about.required ? chosen : undefined);
  };
  for (const { box } of boxes) box.addEventListener("change", read);
  return {
    element: set(schema, about, h("div", { class: "checks" }, ...boxes.map(({ label }) => label))),
    set: (value) => { for (const { one, box } of boxes) box.checked = Array.isArray(value) && value.includes(one); },
  };
}

function lines(schema: Schema, about: About): Field {
  const area = h("textarea", { rows: 1, spellcheck: "false", placeholder: "one on each line" });
  area.addEventListener("input", () => {
    const given = area.value.split("\n").map((one) => one.trim()).filter(Boolean);
    about.change(given.length || about.required ? given : undefined);
  });
  return {
    element: frame(schema, about, area),
    set: (value) => { area.value = Array.isArray(value) ? value.join("\n") : ""; },
  };
}

function pairs(schema: Schema, about: About): Field {
  const area = h("textarea", { rows: 1, spellcheck: "false", placeholder: "name: value, one on each line" });
  area.addEventListener("input", () => {
    const given = area.value.split("\n").map((one) => /^\s*([^:]+?)\s*:\s*(.*?)\s*$/.exec(one)).filter((one) => one !== null);
    about.change(given.length ? Object.fromEntries(given.map((one) => [one[1] as string, one[2] as string])) : undefined);
  });
  return {
    element: frame(schema, about, area),
    set: (value) => {
      area.value = Object.entries((value ?? {}) as Record<string, Json>).map(([name, one]) => `${name}: ${String(one)}`).join("\n");
    },
  };
}

function list(schema: Schema, items: Schema, about: About): Field {
  let values: Json[] = [];
  const rows = h("div", { class: "rows" });
  const add = h("button", { type: "button", class: "small" }, "Add");
  const report = (): void => about.change(values.length || about.required ? values : undefined);
  const draw = (): void => {
    rows.replaceChildren(...values.map((value, at) => {
      const one = field(items, {
        path: `${about.path}.${at}`, label: `${about.label} ${at + 1}`, root: about.root, required: true,
        change: (changed) => { values = values.map((old, place) => (place === at ? changed ?? {} : old)); report(); },
      });
      one.set(value);
      const remove = h("button", { type: "button", class: "small", "aria-label": `Remove ${about.label} ${at + 1}` }, "Remove");
      remove.addEventListener("click", () => { values = values.filter((_, place) => place !== at); draw(); report(); add.focus(); });
      return h("div", { class: "row" }, one.element, remove);
    }));
    add.disabled = values.length >= (schema.maxItems ?? 1000);
  };
  add.addEventListener("click", () => {
    values = [...values, blank(items, about.root)];
    draw();
    report();
    rows.lastElementChild?.querySelector<HTMLElement>("input, textarea, select")?.focus();
  });
  return {
    element: set(schema, about, rows, add),
    set: (value) => { values = Array.isArray(value) ? value : []; draw(); },
  };
}

/** A value that may be of several kinds: one is chosen, its control shows. */
function variants(schema: Schema, about: About): Field {
  const kinds = schema.anyOf ?? [];
  const select = h("select", { "aria-label": `${about.label}: kind` },
    h("option", { value: "" }, "not set"), ...kinds.map((one, at) => h("option", { value: at }, kindName(one))));
  const inside = kinds.map((one) => field({ ...one, description: undefined }, { ...about, label: kindName(one), required: false }));
  const show = (): void => inside.forEach((one, at) => { one.element.hidden = String(at) !== select.value; });
  show();
  select.addEventListener("change", () => { show(); if (select.value === "") about.change(undefined); });
  return {
    element: set(schema, about, select, ...inside.map((one) => one.element)),
    set: (value) => {
      const at = value === undefined ? -1 : kinds.findIndex((one) => takes(one, value));
      select.value = at < 0 ? "" : String(at);
      inside.forEach((one, place) => one.set(place === at ? value : undefined));
      show();
    },
  };
}

function kindName(schema: Schema): string {
  if (schema.enum) return "by name";
  return { object: "in parts", array: "a list", string: "text", number: "a number", integer: "a number", boolean: "yes or no" }[String(schema.type)] ?? "other";
}

function takes(schema: Schema, value: Json): boolean {
  if (schema.enum) return schema.enum.includes(value);
  const kind = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  return schema.type === kind || (schema.type === "integer" && kind === "number");
}

/** JSON as text, for what has no better control. */
function raw(schema: Schema, about: About): Field {
  const area = h("textarea", { rows: 2, spellcheck: "false", placeholder: "JSON", class: "code" });
  area.addEventListener("input", () => {
    if (area.value.trim() === "") { area.setCustomValidity(""); about.change(undefined); return; }
    try {
      const value = JSON.parse(area.value) as Json;
      area.setCustomValidity("");
      about.change(value);
    } catch {
      area.setCustomValidity("This is not JSON yet");
    }
  });
  return { element: frame(schema, about, area), set: (value) => { area.value = value === undefined ? "" : JSON.stringify(value, null, 1); } };
}

// --- faults ---------------------------------------------------------------------------------------

/** Show a message at the control of a field; returns whether there is one. */
export function showFault(root: HTMLElement, path: string, message: string): boolean {
  for (let at = path; at; at = at.replace(/\.?[^.]*$/, "")) {
    const found = root.querySelector<HTMLElement>(`[data-field="${CSS.escape(at)}"]`);
    const place = found?.querySelector<HTMLElement>(":scope > .fault");
    if (!found || !place) continue;
    found.classList.add("faulty");
    found.querySelector(":scope > :is(input, textarea, select)")?.setAttribute("aria-invalid", "true");
    place.textContent = message;
    place.hidden = false;
    for (let up: HTMLElement | null = found; up; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
    return true;
  }
  return false;
}

/** Take all messages away. */
export function clearFaults(root: HTMLElement): void {
  for (const one of root.querySelectorAll<HTMLElement>(".faulty")) {
    one.classList.remove("faulty");
    one.querySelector(":scope > [aria-invalid]")?.removeAttribute("aria-invalid");
    const place = one.querySelector<HTMLElement>(":scope > .fault");
    if (place) { place.hidden = true; place.textContent = ""; }
  }
}
