/** The request as programs send it: curl, Python, JavaScript. Each runs as it stands. */

import { authorization } from "../shared/token.ts";
import type { Json } from "./schema.ts";

export type Language = "curl" | "python" | "javascript";

/** Longer arguments than this are refused by Linux (128 KiB each), so curl reads its input instead. */
const LONGEST_ARGUMENT = 100_000;

/** A request as source text; a token is never in it, only the name of a variable. */
export function snippet(language: Language, request: Record<string, Json>, extension: string): string {
  const address = new URL("render", document.baseURI).href;
  const guarded = "Authorization" in authorization();
  return { curl, python, javascript }[language](address, request, `out.${extension}`, guarded);
}

function curl(address: string, request: Record<string, Json>, file: string, guarded: boolean): string {
  const body = JSON.stringify(request);
  const head = `curl -sS --fail-with-body ${quoted(address)} -o ${file} \\\n    -H 'Content-Type: application/json'`
    + (guarded ? ` -H "Authorization: Bearer $POSTER_TOKEN"` : "");
  if (new TextEncoder().encode(body).length > LONGEST_ARGUMENT) return `${head} \\\n    --data-binary @- <<'JSON'\n${body}\nJSON`;
  return `${head} \\\n    -d ${quoted(body)}`;
}

/** A word of the shell, in which nothing is expanded. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function python(address: string, request: Record<string, Json>, file: string, guarded: boolean): string {
  return [
    "import json",
    ...(guarded ? ["import os"] : []),
    "import urllib.request",
    "",
    `request = ${pythonic(request)}`,
    "sent = urllib.request.Request(",
    `    ${JSON.stringify(address)},`,
    "    json.dumps(request).encode(),",
    guarded
      ? `    {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['POSTER_TOKEN']}"},`
      : `    {"Content-Type": "application/json"},`,
    ")",
    `with urllib.request.urlopen(sent) as answer, open("${file}", "wb") as file:`,
    "    file.write(answer.read())",
  ].join("\n");
}

/** A value as Python writes it; strings of JSON are strings of Python too. */
function pythonic(value: Json, indent = ""): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  if (Array.isArray(value)) return value.length ? `[${value.map((one) => pythonic(one, inner)).join(", ")}]` : "[]";
  const entries = Object.entries(value);
  if (!entries.length) return "{}";
  return `{\n${entries.map(([name, one]) => `${inner}${JSON.stringify(name)}: ${pythonic(one, inner)},\n`).join("")}${indent}}`;
}

function javascript(address: string, request: Record<string, Json>, file: string, guarded: boolean): string {
  const headers = guarded
    ? `{ "Content-Type": "application/json", Authorization: \`Bearer \${process.env.POSTER_TOKEN}\` }`
    : `{ "Content-Type": "application/json" }`;
  return [
    `import { writeFile } from "node:fs/promises";`,
    "",
    `const request = ${JSON.stringify(request, null, 2)};`,
    `const answer = await fetch(${JSON.stringify(address)}, {`,
    `  method: "POST",`,
    `  headers: ${headers},`,
    "  body: JSON.stringify(request),",
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    `await writeFile("${file}", Buffer.from(await answer.arrayBuffer()));`,
  ].join("\n");
}
