/** The token of a service that asks for one. It is in this variable only: a reload forgets it. */

import { byId } from "./dom.ts";

let token = "";

/** The header that sends the token, if there is one. */
export function authorization(): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export function hasToken(): boolean {
  return token !== "";
}

let asking: Promise<boolean> | null = null;

/** Ask for a token by the page's dialog; resolves to whether one was given. */
export function askToken(wasWrong: boolean): Promise<boolean> {
  asking ??= ask(wasWrong).finally(() => { asking = null; });
  return asking;
}

function ask(wasWrong: boolean): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("token-dialog");
  const input = byId<HTMLInputElement>("token-input");
  byId("token-wrong").hidden = !wasWrong;
  input.value = "";
  dialog.returnValue = "";
  byId("token-cancel").onclick = () => dialog.close("cancel");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" && input.value.trim() !== "";
      if (given) token = input.value.trim();
      input.value = "";
      resolve(given);
    }, { once: true });
  });
}

/** fetch with the token; where it is missing or unknown, ask and try again. Rejects as fetch does. */
export async function guardedFetch(url: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const used = token;
    const response = await fetch(url, { ...init, headers: { ...init.headers as Record<string, string>, ...authorization() } });
    if (response.status !== 401) return response;
    if (used !== token) continue; // given meanwhile, for another request
    if (!(await askToken(hasToken()))) return response;
  }
}
