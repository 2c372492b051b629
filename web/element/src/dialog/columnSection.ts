import type { Column } from "@sluice/client";
import { type ColumnChoice, chosenNames, moveColumn } from "@sluice/client/form";
import { button, h, ICONS, icon, setAttribute, setText } from "../dom.js";
import type { Texts } from "../strings/texts.js";

/** The controls of one column. */
interface ColumnRow {
  root: HTMLElement;
  box: HTMLInputElement;
  up: HTMLButtonElement;
  down: HTMLButtonElement;
}

/** The columns of the file in their order, each with a check box and with buttons that move it. */
export class ColumnSection {
  readonly root = h("fieldset");
  readonly #texts: Texts;
  #choices: ColumnChoice[];
  readonly #labels: ReadonlyMap<string, string>;
  readonly #rows: ReadonlyMap<string, ColumnRow>;
  readonly #list: HTMLElement;
  readonly #count = h("span", { class: "hint grow" });
  readonly #error = h("p", { class: "error", id: "columns-error" });
  readonly #live = h("span", { class: "live", role: "status" });
  readonly #onChange: () => void;

  constructor(
    texts: Texts,
    columns: readonly Column[],
    choices: readonly ColumnChoice[],
    onChange: () => void,
  ) {
    this.#texts = texts;
    this.#choices = [...choices];
    this.#onChange = onChange;
    this.#labels = new Map(columns.map(({ name, label }) => [name, label ?? name]));
    this.#rows = new Map(choices.map((choice) => [choice.name, this.#row(choice)]));
    const head = h(
      "div",
      { class: "section-head" },
      this.#count,
      button({ class: "small" }, () => this.#setAll(true), texts.get("all")),
      button({ class: "small" }, () => this.#setAll(false), texts.get("none")),
    );
    const rows = [...this.#rows.values()].map(({ root }) => root);
    this.#list = h("div", { class: "columns", part: "columns" }, ...rows);
    this.root.append(h("legend", {}, texts.get("columns")), head, this.#list, this.#error, this.#live);
    this.#error.hidden = true;
    this.#render();
  }

  /** All columns, in the order of the file. */
  get choices(): readonly ColumnChoice[] {
    return this.#choices;
  }

  /** Says that at least one column is needed, if none is chosen. */
  showMissing(): void {
    this.#error.textContent = this.#texts.get("columnMissing");
    this.#setInvalid(chosenNames(this.#choices).length === 0);
  }

  /** The first field, if no column is chosen and the user knows. */
  get invalid(): HTMLElement | undefined {
    return this.#error.hidden ? undefined : this.#rows.get(this.#choices[0]?.name ?? "")?.box;
  }

  #row({ name, chosen }: ColumnChoice): ColumnRow {
    const column = this.#labels.get(name) ?? name;
    const box = h("input", { type: "checkbox", value: name });
    box.checked = chosen;
    box.addEventListener("change", () => {
      this.#choices = this.#choices.map((choice) =>
        choice.name === name ? { name, chosen: box.checked } : choice,
      );
      this.#changed();
    });
    const mover = (key: "moveUp" | "moveDown", by: -1 | 1) =>
      button(
        { class: "ghost", "aria-label": this.#texts.get(key, { column }) },
        () => this.#move(name, by),
        icon(by === 1 ? ICONS.down : ICONS.up),
      );
    const up = mover("moveUp", -1);
    const down = mover("moveDown", 1);
    return { root: h("div", {}, h("label", {}, box, column), up, down), box, up, down };
  }

  #move(name: string, by: -1 | 1): void {
    const names = chosenNames(this.#choices);
    const position = names.indexOf(name) + by;
    const row = this.#rows.get(name);
    const neighbor = this.#rows.get(names[position] ?? "");
    if (!row || !neighbor) {
      return; // the first column can't move up, and the last can't move down
    }
    this.#choices = moveColumn(this.#choices, name, by);
    neighbor.root[by === 1 ? "after" : "before"](row.root);
    (by === 1 ? row.down : row.up).focus(); // a moved element loses the focus
    const column = this.#labels.get(name) ?? name;
    setText(this.#live, this.#texts.get("moved", { column, position: position + 1, total: names.length }));
    this.#changed();
  }

  #setInvalid(invalid: boolean): void {
    this.#error.hidden = !invalid;
    setAttribute(this.root, "aria-describedby", invalid ? this.#error.id : undefined);
  }

  #setAll(chosen: boolean): void {
    this.#choices = this.#choices.map(({ name }) => ({ name, chosen }));
    for (const { box } of this.#rows.values()) {
      box.checked = chosen;
    }
    this.#changed();
  }

  #changed(): void {
    this.#render();
    this.#onChange();
  }

  #render(): void {
    const names = chosenNames(this.#choices);
    const count = names.length;
    this.#count.textContent = this.#texts.get("columnsChosen", { count, total: this.#choices.length });
    for (const [name, { box, up, down }] of this.#rows) {
      up.hidden = !box.checked;
      down.hidden = !box.checked;
      // a disabled button would lose the focus
      setAttribute(up, "aria-disabled", name === names[0] ? "true" : undefined);
      setAttribute(down, "aria-disabled", name === names.at(-1) ? "true" : undefined);
    }
    if (count > 0) {
      this.#setInvalid(false);
    }
  }
}
