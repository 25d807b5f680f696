/** The API page at GET /docs: Swagger UI over this service's own description. */

import { byId } from "../shared/dom.ts";
import { themeButton } from "../shared/theme.ts";
import { askToken, authorization, guardedFetch } from "../shared/token.ts";

interface Schema { default?: unknown; description?: string }
interface Parameter { description?: string; schema?: Schema }
interface Body { content?: Record<string, { schema?: { properties?: Record<string, Schema> } }> }
type Operations = Record<string, { parameters?: Parameter[]; requestBody?: Body }>;
interface Description { paths: Record<string, Operations> }
interface SwaggerUi { preauthorizeApiKey(scheme: string, value: string): void }

declare const SwaggerUIBundle: {
  (options: Record<string, unknown>): SwaggerUi;
  presets: { apis: unknown };
};

/** Defaults as words: Swagger UI would send them all, and a body in JSON takes no options beside it. */
function withoutDefaults(description: Description): Description {
  const words = (schema: Schema | undefined, described: { description?: string }): void => {
    if (schema?.default === undefined) return;
    if (schema.default !== "") described.description = `${described.description ?? ""} Default: ${String(schema.default)}.`;
    delete schema.default;
  };
  for (const operation of Object.values(description.paths).flatMap((one) => Object.values(one))) {
    for (const one of operation.parameters ?? []) words(one.schema, one);
    const form = operation.requestBody?.content?.["multipart/form-data"]?.schema?.properties;
    for (const one of Object.values(form ?? {})) words(one, one);
  }
  return description;
}

function dark(): void {
  const theme = document.documentElement.dataset["theme"];
  const isDark = theme ? theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark-mode", isDark);
}

async function start(): Promise<void> {
  themeButton(byId("theme"));
  dark();
  new MutationObserver(dark).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dark);
  const message = byId("message");
  const response = await guardedFetch("openapi.json").catch(() => null);
  if (!response?.ok) {
    message.textContent = response?.status === 401 ? "The description needs a token." : "The service does not answer.";
    byId("token").addEventListener("click", () => void askToken(false).then((given) => { if (given) void start(); }), { once: true });
    return;
  }
  const ui = SwaggerUIBundle({
    spec: withoutDefaults(await response.json() as Description),
    domNode: byId("api"),
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null, // or it would ask a host elsewhere
    docExpansion: "list",
    deepLinking: false, // its links stand inside of buttons, which screen readers cannot use
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    tryItOutEnabled: true,
    onComplete: () => {
      const token = authorization()["Authorization"]?.replace("Bearer ", "");
      if (token) ui.preauthorizeApiKey("bearer", token);
      message.hidden = true;
      document.documentElement.dataset["ready"] = "";
    },
  });
}

void start();
