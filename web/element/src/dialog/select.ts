import { type Attributes, h } from "../dom.js";

/** Creates a list of options, each a value with its label. */
export function select(
  attributes: Attributes,
  options: readonly (readonly [value: string, label: string])[],
  chosen: string,
  onChange: (value: string) => void,
): HTMLSelectElement {
  const element = h("select", attributes, ...options.map(([value, label]) => h("option", { value }, label)));
  element.value = chosen;
  element.addEventListener("change", () => onChange(element.value));
  return element;
}
