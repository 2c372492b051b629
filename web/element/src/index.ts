/** Registers `<sluice-export>`. The page's gateway serves the same as one file, `/embed/sluice.js`. */
import { SluiceExportElement } from "./element.js";
import type { EventMap } from "./events.js";

export { SluiceExportElement } from "./element.js";
export type { EventMap } from "./events.js";
export type { StringOverrides, Strings, Text } from "./strings/strings.js";
export { registerStrings } from "./strings/texts.js";

if (typeof customElements !== "undefined" && !customElements.get("sluice-export")) {
  customElements.define("sluice-export", SluiceExportElement);
}

declare global {
  interface HTMLElementTagNameMap {
    "sluice-export": SluiceExportElement;
  }
  interface HTMLElementEventMap {
    "sluice-started": CustomEvent<EventMap["sluice-started"]>;
    "sluice-progress": CustomEvent<EventMap["sluice-progress"]>;
    "sluice-completed": CustomEvent<EventMap["sluice-completed"]>;
    "sluice-failed": CustomEvent<EventMap["sluice-failed"]>;
  }
}
