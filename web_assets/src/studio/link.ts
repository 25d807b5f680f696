/** Links to a request: in the fragment of the address, which browsers never send. */

import { about } from "./about.ts";
import { KINDS, type Kind, state } from "./state.ts";
import type { Json } from "./schema.ts";

/** What a link has: a source of one kind and options. */
export interface Linked {
  kind: Kind;
  text: string;
  data?: Record<string, Json>;
  options: Record<string, Json>;
}

/** Longest fragment that is written into the address; browsers take 2 MB, and messengers cut earlier. */
const MOST = 200_000;

/** The fragment for what is on the page, without secret options; empty if it is too long. */
export async function fragment(): Promise<string> {
  const options = Object.entries(state.options).filter(([name]) => !about.options.get(name)?.secret);
  const linked: Linked = { kind: state.kind, text: state[state.kind], options: Object.fromEntries(options) };
  if (state.kind === "template") linked.data = state.data;
  const packed = `#r=${base64(await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(linked))))}`;
  return packed.length > MOST ? "" : packed;
}

/** What a fragment says; null where it says nothing that is understood. */
export async function parsed(hash: string): Promise<Linked | null> {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const template = given.get("template");
  if (template) return { kind: "template", text: template, options: {} };
  const packed = given.get("r");
  if (!packed) return null;
  try {
    const text = new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), unbase64(packed)));
    const found = JSON.parse(text) as Linked;
    const known = Object.entries(found.options ?? {}).filter(([name]) => about.options.has(name));
    if (!KINDS.includes(found.kind) || typeof found.text !== "string") return null;
    return { kind: found.kind, text: found.text, ...(found.data && { data: found.data }), options: Object.fromEntries(known) };
  } catch {
    return null;
  }
}

async function through(stream: { readable: ReadableStream; writable: WritableStream }, given: Uint8Array): Promise<Uint8Array> {
  const whole = new Response(new Blob([given as Uint8Array<ArrayBuffer>]).stream().pipeThrough(stream as ReadableWritablePair<Uint8Array, Uint8Array>));
  return new Uint8Array(await whole.arrayBuffer());
}

function base64(given: Uint8Array): string {
  let text = "";
  for (let at = 0; at < given.length; at += 0x8000) text += String.fromCharCode(...given.subarray(at, at + 0x8000));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function unbase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
}
