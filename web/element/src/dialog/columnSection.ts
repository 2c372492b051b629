import type { Column } from "@sluice/client";
import { button, h, setAttribute } from "../dom.js";
import type { Texts } from "../strings/texts.js";

/** The columns of the file as check boxes. */
export class ColumnSection {
  readonly root = h("fieldset");
  readonly #texts: Texts;
  readonly #boxes: HTMLInputElement[];
  readonly #count = h("span", { class: "hint grow" });
  readonly #error = h("p", { class: "error", id: "columns-error" });
  readonly #onChange: () => void;

  constructor(texts: Texts, columns: readonly Column[], chosen: ReadonlySet<string>, onChange: () => void) {
    this.#texts = texts;
    this.#onChange = onChange;
    this.#boxes = columns.map(({ name }) => {
      const box = h("input", { type: "checkbox", value: name });
      box.checked = chosen.has(name);
      box.addEventListener("change", () => this.#changed());
      return box;
    });
    const labels = columns.map(({ name, label }, index) => h("label", {}, this.#boxes[index], label ?? name));
    const head = h(
      "div",
      { class: "section-head" },
      this.#count,
      button({ class: "small" }, () => this.#setAll(true), texts.get("all")),
      button({ class: "small" }, () => this.#setAll(false), texts.get("none")),
    );
    const list = h("div", { class: "columns", part: "columns" }, ...labels);
    this.root.append(h("legend", {}, texts.get("columns")), head, list, this.#error);
    this.#error.hidden = true;
    this.#render();
  }

  /** Names of the chosen columns. */
  get chosen(): ReadonlySet<string> {
    return new Set(this.#boxes.filter((box) => box.checked).map((box) => box.value));
  }

  /** Says that at least one column is needed, if none is chosen. */
  showMissing(): void {
    this.#error.textContent = this.#texts.get("columnMissing");
    this.#setInvalid(this.chosen.size === 0);
  }

  /** The first field, if no column is chosen and the user knows. */
  get invalid(): HTMLElement | undefined {
    return this.#error.hidden ? undefined : this.#boxes[0];
  }

  #setInvalid(invalid: boolean): void {
    this.#error.hidden = !invalid;
    setAttribute(this.root, "aria-describedby", invalid ? this.#error.id : undefined);
  }

  #setAll(checked: boolean): void {
    for (const box of this.#boxes) {
      box.checked = checked;
    }
    this.#changed();
  }

  #changed(): void {
    this.#render();
    this.#onChange();
  }

  #render(): void {
    const count = this.chosen.size;
    this.#count.textContent = this.#texts.get("columnsChosen", { count, total: this.#boxes.length });
    if (count > 0) {
      this.#setInvalid(false);
    }
  }
}
