/** What the service says of itself in the page: its options, by section, from their one declaration. */

import { byId } from "../shared/dom.ts";
import type { Schema } from "./schema.ts";

export interface Option {
  name: string;
  schema: Schema;
  /** Formats in which it has a meaning; empty for all. */
  formats: string[];
  /** Kinds of source with which it has a meaning; empty for all. */
  sources: string[];
  /** Whether its value is secret, as a password is: no link has it. */
  secret: boolean;
}

export interface Section { title: string; options: Option[] }

interface Given {
  sections: Section[];
  format: string;
  version: string;
  nonce: string;
}

function read(): Given & { options: Map<string, Option> } {
  const given = JSON.parse(byId("about").textContent ?? "") as Given;
  const options = new Map(given.sections.flatMap((one) => one.options).map((one) => [one.name, one]));
  return { ...given, options };
}

export const about = read();
