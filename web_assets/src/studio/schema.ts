/** JSON Schema, as far as a form needs it. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: Json;
  enum?: Json[];
  const?: Json;
  format?: string;
  pattern?: string;
  examples?: Json[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  $ref?: string;
  $defs?: Record<string, Schema>;
}

/** A schema without `$ref` and without null: what a value that is given must be. */
export function resolved(schema: Schema, root: Schema, depth = 0): Schema {
  if (schema.$ref && depth < 20) {
    const name = schema.$ref.replace(/^#\/\$defs\//, "");
    const { $ref: _, ...beside } = schema;
    return resolved({ ...(root.$defs?.[name] ?? {}), ...beside }, root, depth + 1);
  }
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) {
    const given = branches.filter((one) => one.type !== "null").map((one) => resolved(one, root, depth + 1));
    const { anyOf: _, oneOf: __, ...beside } = schema;
    if (given.length === 1) return { ...given[0], ...beside };
    return { ...beside, anyOf: given };
  }
  if (Array.isArray(schema.type)) {
    const kinds = schema.type.filter((one) => one !== "null");
    return kinds.length === 1 ? { ...schema, type: kinds[0] as string } : { ...schema, anyOf: kinds.map((type) => ({ type })) };
  }
  return schema;
}

export function isScalar(schema: Schema): boolean {
  return schema.enum !== undefined || schema.const !== undefined
    || ["string", "integer", "number", "boolean"].includes(String(schema.type));
}

/** A value to begin with, for an item that is added. */
export function blank(schema: Schema, root: Schema): Json {
  const plain = resolved(schema, root);
  if (plain.default !== undefined && plain.default !== null) return plain.default;
  if (plain.examples?.length) return plain.examples[0] as Json;
  if (plain.enum?.length) return plain.enum[0] as Json;
  if (plain.const !== undefined) return plain.const;
  switch (plain.type) {
    case "object":
      return Object.fromEntries((plain.required ?? []).map((name) => [name, blank(plain.properties?.[name] ?? {}, root)]));
    case "array": return [];
    case "boolean": return false;
    case "integer": case "number": return plain.minimum ?? 0;
    default: return "";
  }
}
