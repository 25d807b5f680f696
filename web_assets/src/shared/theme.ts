/** Light, dark, or as the system has it; the choice stays in this browser. */

const KEY = "poster-theme";
const ORDER = ["system", "light", "dark"];

/** Let a button go through the themes. */
export function themeButton(button: HTMLElement): void {
  const apply = (theme: string): void => {
    if (theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
    button.dataset["theme"] = theme;
  };
  apply(read());
  button.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(read()) + 1) % ORDER.length] as string;
    try { localStorage.setItem(KEY, next); } catch { /* storage is off: it counts until the page is left */ }
    apply(next);
  });
}

function read(): string {
  try {
    const found = localStorage.getItem(KEY) ?? "";
    return ORDER.includes(found) ? found : "system";
  } catch { return "system"; }
}
