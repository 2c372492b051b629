/** Values of attributes: `true` sets an empty one, `false` and `undefined` set none. */
export type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** A child of a new element; `undefined` adds nothing. */
export type Child = Node | string | undefined;

/** Creates an HTML element. Texts become text nodes, never markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    setAttribute(element, name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** Sets or removes one attribute. */
export function setAttribute(element: Element, name: string, value: string | boolean | undefined): void {
  if (value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Changes a text only if it differs, so that screen readers and selections notice real changes only. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Creates a button that does not submit a form. */
export function button(attributes: Attributes, onClick: () => void, ...children: Child[]): HTMLButtonElement {
  const element = h("button", { type: "button", ...attributes }, ...children);
  element.addEventListener("click", onClick);
  return element;
}

/** Creates an icon of 24 × 24 units from the path of its lines. */
export function icon(path: string): SVGSVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(namespace, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** The paths of all icons. */
export const ICONS = {
  download: "M12 4v11m-5-4.5 5 5 5-5M5 20h14",
  check: "m5 12.5 4.5 4.5L19 7.5",
  retry: "M20 11a8 8 0 1 0-2.3 6.3M20 4.5V11h-6.5",
  close: "m6 6 12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  up: "M12 19V5m-6 6 6-6 6 6",
  down: "M12 5v14m-6-6 6 6 6-6",
} as const;
