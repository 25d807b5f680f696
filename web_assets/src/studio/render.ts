/** One render: what is sent, and what is known of the answer. */

import { guardedFetch } from "../shared/token.ts";
import type { Json } from "./schema.ts";

export interface Phase { name: string; milliseconds: number }

export interface Warning { warning: string; [parameter: string]: string }

export interface Fault { field: string; message: string; allowed: string | null }

export interface Problem {
  title: string;
  status: number;
  code: string;
  detail: string;
  request_id?: string;
  errors?: Fault[];
}

export interface Answer {
  ok: boolean;
  status: number;
  type: string;
  blob: Blob;
  problem: Problem | null;
  phases: Phase[];
  warnings: Warning[];
  isolation: string;
  cache: string;
  retryAfter: number;
  /** From the request to the last byte, in milliseconds. */
  took: number;
}

/** Where renders are posted; relative, so that a prefix in front of the service stays. */
export const ADDRESS = "render";

/** POST a request; rejects with AbortError when the signal stops it, which ends the render too. */
export async function render(request: Record<string, Json>, signal: AbortSignal): Promise<Answer> {
  const begin = performance.now();
  const response = await guardedFetch(ADDRESS, {
    method: "POST", signal, cache: "no-store",
    headers: { "Content-Type": "application/json", Accept: "image/*, application/pdf, */*;q=0.8" },
    body: JSON.stringify(request),
  });
  const blob = await response.blob();
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0] as string;
  return {
    ok: response.ok,
    status: response.status,
    type,
    blob,
    problem: response.ok ? null : await problemOf(response, blob),
    phases: phasesOf(response.headers.get("Server-Timing") ?? ""),
    warnings: warningsOf(response.headers.get("X-Render-Warnings") ?? ""),
    isolation: response.headers.get("X-Isolation") ?? "",
    cache: response.headers.get("X-Cache") ?? "",
    retryAfter: Number(response.headers.get("Retry-After") ?? 0),
    took: performance.now() - begin,
  };
}

async function problemOf(response: Response, blob: Blob): Promise<Problem> {
  try {
    return JSON.parse(await blob.text()) as Problem;
  } catch { // something between this page and the service
    return { title: response.statusText || "Error", status: response.status, code: `http_${response.status}`, detail: "" };
  }
}

/** The phases of `Server-Timing: queue;dur=0.1, lease;dur=2.3`. */
export function phasesOf(header: string): Phase[] {
  return [...header.matchAll(/([\w-]+);dur=([\d.]+)/g)].map((one) => ({ name: one[1] as string, milliseconds: Number(one[2]) }));
}

/** The entries of `X-Render-Warnings`, a list by RFC 9651. */
export function warningsOf(header: string): Warning[] {
  return (header.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []).map((item) => {
    const found: Warning = { warning: /^\s*([^;\s]+)/.exec(item)?.[1] ?? "" };
    for (const one of item.matchAll(/;([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^;"]*))/g)) {
      found[one[1] as string] = one[2] === undefined ? (one[3] as string) : one[2].replace(/\\(.)/g, "$1");
    }
    return found;
  });
}
