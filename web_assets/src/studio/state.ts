/** What is on the page: the source, its text or data, and the options that are set. */

import { about } from "./about.ts";
import type { Json } from "./schema.ts";

export type Kind = "html" | "template" | "url" | "markdown";
export const KINDS: Kind[] = ["html", "template", "url", "markdown"];

export interface State {
  kind: Kind;
  html: string;
  markdown: string;
  url: string;
  template: string;
  data: Record<string, Json>;
  options: Record<string, Json>;
}

export const state: State = {
  kind: "html", html: "", markdown: "", url: "", template: "", data: {}, options: {},
};

type Listener = () => void;
const listeners = new Set<Listener>();

/** Call a function after every change. */
export function onChange(listener: Listener): void {
  listeners.add(listener);
}

/** Report a change of `state`. */
export function changed(): void {
  for (const one of listeners) one();
}

/** The format that the options ask for. */
export function format(): string {
  return typeof state.options["format"] === "string" ? state.options["format"] : about.format;
}

/** Whether an option has a meaning for the format and the kind of source that are chosen. */
export function fits(name: string): boolean {
  const option = about.options.get(name);
  if (!option) return false;
  const several = state.options["outputs"] !== undefined;
  return (several || option.formats.length === 0 || option.formats.includes(format()))
    && (option.sources.length === 0 || option.sources.includes(state.kind));
}

/** The request as JSON has it: the chosen source and what is set and has a meaning. */
export function request(): Record<string, Json> {
  const source: Record<string, Json> = state.kind === "template"
    ? { template: state.template, data: state.data }
    : { [state.kind]: state[state.kind] };
  const set = Object.entries(state.options).filter(([name]) => fits(name));
  return { ...source, ...Object.fromEntries(set) };
}

/** Whether there is a source that can be rendered. */
export function isComplete(): boolean {
  return state[state.kind] !== "";
}
