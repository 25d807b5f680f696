/** The options, by section, as the service declares them; only what is set is sent. */

import { h } from "../shared/dom.ts";
import { about, type Option } from "./about.ts";
import { type Field, field } from "./fields.ts";
import { changed, fits, onChange, state } from "./state.ts";

interface Shown { option: Option; field: Field; reset: HTMLButtonElement }

/** Fill the panel with every option, and keep it in step with the state. */
export function optionsPanel(panel: HTMLElement, search: HTMLInputElement): void {
  const shown: Shown[] = [];
  const sections = about.sections.map((section) => {
    const count = h("span", { class: "count" });
    const fields = section.options.map((option) => control(option));
    shown.push(...fields);
    const element = h("details", { class: "section" },
      h("summary", {}, section.title, count),
      h("div", { class: "fields" }, ...fields.map((one) => one.field.element)));
    return { element, count, fields };
  });
  const none = h("p", { class: "no-option", role: "status" });
  panel.replaceChildren(none, ...sections.map((one) => one.element));

  const update = (): void => {
    const wanted = search.value.trim().toLowerCase();
    let found = 0;
    for (const { element, count, fields } of sections) {
      let set = 0;
      let visible = 0;
      for (const { option, field: one, reset } of fields) {
        const isSet = state.options[option.name] !== undefined;
        const isVisible = fits(option.name) && matches(option, wanted);
        one.element.hidden = !isVisible;
        one.element.classList.toggle("is-set", isSet);
        reset.hidden = !isSet;
        if (isSet && fits(option.name)) set += 1;
        if (isVisible) visible += 1;
      }
      count.textContent = set ? String(set) : "";
      count.hidden = set === 0;
      if (set) count.setAttribute("aria-label", `${set} set`);
      element.hidden = visible === 0;
      if (wanted !== "") element.open = visible > 0;
      found += visible;
    }
    none.textContent = found ? "" : noneMatches(search.value.trim(), shown.map((one) => one.option).filter((one) => matches(one, wanted)));
  };
  search.addEventListener("input", () => {
    update();
    if (search.value.trim() === "") for (const { element } of sections) element.open = false;
  });
  onChange(update);
  fill = () => { for (const { option, field: one } of shown) one.set(state.options[option.name]); update(); };
  fill();
}

function matches(option: Option, wanted: string): boolean {
  return `${option.name} ${option.schema.description ?? ""}`.toLowerCase().includes(wanted);
}

/** Why a search shows nothing: no option has these words, or those that have are of other formats and sources. */
function noneMatches(wanted: string, others: Option[]): string {
  const only = others.slice(0, 3).map(({ name, formats, sources }) =>
    `${name} is only for ${[formats.join(", "), sources.join(", ")].filter(Boolean).join(" and for ")}`);
  return [`No option matches “${wanted}” here.`, ...only.map((one) => `${one}.`)].join(" ");
}

let fill = (): void => undefined;

/** Show the state's options, after something else than a control of the panel has changed them. */
export function showOptions(): void {
  fill();
}

/** Set an option, or unset it by undefined; the panel follows. */
export function setOptions(values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) delete state.options[name];
    else state.options[name] = value as never;
  }
  showOptions();
  changed();
}

function control(option: Option): Shown {
  const one = field(option.schema, {
    path: option.name, label: option.name, root: option.schema, required: false,
    change: (value) => {
      if (value === undefined) delete state.options[option.name];
      else state.options[option.name] = value;
      changed();
    },
  });
  const reset = h("button", { type: "button", class: "reset", title: `Unset ${option.name}`, "aria-label": `Unset ${option.name}` }, "×");
  reset.addEventListener("click", () => setOptions({ [option.name]: undefined }));
  one.element.classList.add("option");
  one.element.prepend(reset);
  return { option, field: one, reset };
}
