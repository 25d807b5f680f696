/** Elements without a framework: `h("p", { class: "note" }, "text")`. Text is never read as HTML. */

export type Child = Node | string | number | false | null | undefined;
type Props = Record<string, unknown>;

/** An element with attributes; a function is a listener of the event after `on`, true an empty attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on") && typeof value === "function") {
      made.addEventListener(name.slice(2), value as EventListener);
    } else if (name === "value" && "value" in made) {
      (made as unknown as { value: string }).value = String(value ?? "");
    } else if (value === true) {
      made.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(name, String(value));
    }
  }
  made.append(...children.filter((one): one is Node | string | number => !(one === false || one === null || one === undefined)).map((one) => (typeof one === "number" ? String(one) : one)));
  return made;
}

/** The element of an id, which the page has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

let count = 0;
/** An id that no other element has. */
export function freshId(): string {
  count += 1;
  return `f${count}`;
}

/** A number of bytes in words: "31.4 kB". */
export function bytes(number: number): string {
  if (number < 1000) return `${number} B`;
  return number < 1e6 ? `${(number / 1e3).toFixed(1)} kB` : `${(number / 1e6).toFixed(2)} MB`;
}

/** A time in words: "8 ms", "1.25 s". */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/** Put text onto the clipboard; where the browser refuses (plain http), by the older way. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "visually-hidden", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Tabs by the ARIA pattern: arrow keys, Home and End move, and what is chosen is shown. */
export function tabs(list: HTMLElement, choose: (name: string) => void): (name: string) => void {
  const all = [...list.querySelectorAll<HTMLButtonElement>("[role=tab]")];
  const show = (name: string): void => {
    for (const one of all) {
      const chosen = one.dataset["name"] === name;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      const panel = document.getElementById(one.getAttribute("aria-controls") ?? "");
      if (panel && panel.dataset["shared"] === undefined) panel.hidden = !chosen;
      if (panel && chosen) panel.setAttribute("aria-labelledby", one.id);
    }
  };
  list.addEventListener("click", (event) => {
    const name = (event.target as HTMLElement).closest<HTMLElement>("[role=tab]")?.dataset["name"];
    if (name) { show(name); choose(name); }
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(event.target as HTMLButtonElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length] as HTMLButtonElement;
    next.focus();
    show(next.dataset["name"] ?? "");
    choose(next.dataset["name"] ?? "");
  });
  return show;
}
