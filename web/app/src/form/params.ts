/** One parameter of a dataset, as the form shows it. */
export interface Param {
  name: string;
  label: string;
  description: string | undefined;
  kind: "text" | "integer" | "number" | "boolean" | "choice" | "list" | "choices";
  choices: string[];
  required: boolean;
  maxItems: number | undefined;
  initial: unknown;
}

interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  enum?: unknown[];
  default?: unknown;
  items?: Schema;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
}

/** Reads the parameters from a JSON Schema of type object. */
export function paramsOf(schema: Record<string, unknown>): Param[] {
  const { properties = {}, required = [] } = schema as Schema;
  return Object.entries(properties).map(([name, property]) => ({
    name,
    label: property.title ?? name,
    description: property.description,
    kind: kindOf(property),
    choices: (property.enum ?? property.items?.enum ?? []).map(String),
    required: required.includes(name),
    maxItems: property.maxItems,
    initial: property.default,
  }));
}

function kindOf(schema: Schema): Param["kind"] {
  if (schema.enum) {
    return "choice";
  }
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  switch (type) {
    case "array":
      return schema.items?.enum ? "choices" : "list";
    case "integer":
    case "number":
    case "boolean":
      return type;
    default:
      return "text";
  }
}

/**
 * Builds the `params` of a request. Empty values are left out, so that the server applies its default or reports the
 * missing value.
 */
export function toParams(given: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  const filled = Object.entries(given).filter(
    ([, value]) => value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0),
  );
  return filled.length > 0 ? Object.fromEntries(filled) : undefined;
}
