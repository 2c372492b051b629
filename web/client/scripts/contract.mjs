// Generates the TypeScript types of the protocol from docs/openapi.json and docs/asyncapi.json, which the gateway
// generates from its own types. `npm run contract` writes the file; a test fails when the file is out of date.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const DOCS = new URL("../../../docs/", import.meta.url);
const HEAD = "// Made by `npm run contract` from docs/openapi.json and docs/asyncapi.json. Do not edit.\n";

/** Path of the generated file. */
export const CONTRACT_FILE = fileURLToPath(new URL("../src/contract.ts", import.meta.url));

/** Reads the OpenAPI and the AsyncAPI document. */
export async function documents() {
  const read = async (name) => JSON.parse(await readFile(new URL(name, DOCS), "utf8"));
  return { openapi: await read("openapi.json"), asyncapi: await read("asyncapi.json") };
}

/** Returns the message types of one side (`client` or `server`), such as `session.ready`. */
export function messageTypes({ asyncapi }, side) {
  return Object.keys(asyncapi.components.messages)
    .filter((key) => key.startsWith(`${side}.`) && key !== "server.frame")
    .map((key) => key.slice(side.length + 1));
}

/** Generates the text of {@link CONTRACT_FILE}. */
export async function contract() {
  const docs = await documents();
  const { openapi, asyncapi } = docs;
  const schemas = { ...asyncapi.components.schemas, ...openapi.components.schemas };
  for (const side of ["client", "server"]) {
    const refs = [];
    for (const type of messageTypes(docs, side)) {
      const { payload } = asyncapi.components.messages[`${side}.${type}`];
      let name = named(payload);
      if (!name) {
        name = messageName(type);
        schemas[name] = payload;
      }
      refs.push({ $ref: `#/${name}` });
    }
    const what = side === "client" ? "a client sends" : "the server sends as text";
    schemas[`${pascal(side)}Message`] = { description: `Every message that ${what}.`, anyOf: refs };
  }
  const names = Object.keys(schemas).sort();
  return `${HEAD}\n${names.map((name) => declaration(name, schemas[name])).join("\n\n")}\n`;
}

/** Returns the type name of a message. The plain name of `error` would shadow the built-in `Error`. */
function messageName(type) {
  return type === "error" ? "ErrorMessage" : type.split(".").map(pascal).join("");
}

function declaration(name, schema) {
  const head = doc(schema.description, "");
  if (schema.properties) {
    return `${head}export interface ${name} ${object(schema, "")}`;
  }
  const text = `export type ${name} = ${type(schema, "")};`;
  const parts = alternatives(schema);
  if (!parts || text.length <= 110) {
    return head + text;
  }
  return `${head}export type ${name} =\n${parts.map((part) => `  | ${type(part, "")}`).join("\n")};`;
}

function object(schema, indent) {
  const inner = `${indent}  `;
  const members = Object.entries(schema.properties).map(([key, value]) => {
    const optional = schema.required?.includes(key) ? "" : "?";
    return `${doc(value.description, inner)}${inner}${key}${optional}: ${type(value, inner)};`;
  });
  return `{\n${members.join("\n")}\n${indent}}`;
}

function type(schema, indent) {
  if (schema === true) {
    return "unknown";
  }
  if ("const" in schema) {
    return JSON.stringify(schema.const);
  }
  const parts = alternatives(schema);
  if (parts) {
    return parts.map((part) => type(part, indent)).join(" | ");
  }
  const name = named(schema);
  if (name) {
    return name;
  }
  if (Array.isArray(schema.type)) {
    return schema.type.map((one) => type({ ...schema, type: one }, indent)).join(" | ");
  }
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return list(type(schema.items ?? true, indent));
    case "object":
      if (schema.properties) {
        return object(schema, indent);
      }
      return `Record<string, ${type(schema.additionalProperties || true, indent)}>`;
    default:
      return "Record<string, unknown>"; // a schema without a type is a JSON object here: a filter, a JSON schema
  }
}

function alternatives(schema) {
  return schema.anyOf ?? schema.oneOf ?? schema.enum?.map((value) => ({ const: value }));
}

function list(item) {
  return item.includes(" ") && !item.startsWith("Record<") ? `(${item})[]` : `${item}[]`;
}

/** Returns the name of a referenced schema. A reference to a missing schema fails in the compiler. */
function named(schema) {
  return schema.$ref?.split("/").pop();
}

function doc(text, indent) {
  if (!text) {
    return "";
  }
  const lines = text.split("\n");
  return lines.length === 1
    ? `${indent}/** ${text} */\n`
    : `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join("\n")}\n${indent} */\n`;
}

function pascal(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(CONTRACT_FILE, await contract());
}
