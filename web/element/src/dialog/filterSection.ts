import type { Column } from "@sluice/client";
import {
  emptyValues,
  type FilterRow,
  isIncomplete,
  isYesOrNo,
  type Match,
  type Operator,
  operatorsOf,
} from "@sluice/client/form";
import { button, h, ICONS, icon, setAttribute } from "../dom.js";
import type { Texts } from "../strings/texts.js";
import { select } from "./select.js";

/** Settings of a {@link FilterSection}. */
export interface FilterSectionOptions {
  texts: Texts;
  /** The columns that a filter may compare. */
  columns: readonly Column[];
  /** Whether the page has a filter of its own. */
  hasPageFilter: boolean;
  onChange: () => void;
}

/** The conditions of the filter, each with a column, a comparison and a value. */
export class FilterSection {
  readonly root = h("fieldset");
  /** The conditions, with the texts that the user typed. */
  readonly rows: FilterRow[] = [];
  match: Match = "all";
  readonly #options: FilterSectionOptions;
  readonly #list = h("div", { class: "conditions" });
  readonly #hint = h("p", { class: "hint" });
  readonly #match: HTMLSelectElement;
  readonly #add: HTMLButtonElement;
  /** Shows or removes the error of a condition, by its key, without a new input that would lose the focus. */
  readonly #setError = new Map<number, (error: string | undefined) => void>();
  #nextKey = 1;

  constructor(options: FilterSectionOptions) {
    this.#options = options;
    const { texts } = options;
    this.#match = select(
      { "aria-label": texts.get("match") },
      [
        ["all", texts.get("matchAll")],
        ["any", texts.get("matchAny")],
      ],
      "all",
      (value) => {
        this.match = value === "any" ? "any" : "all";
        options.onChange();
      },
    );
    this.#add = button(
      { class: "small", part: "add-condition" },
      () => this.#addRow(),
      icon(ICONS.plus),
      texts.get("addFilter"),
    );
    const pageFilter = options.hasPageFilter ? h("p", { class: "hint" }, texts.get("pageFilter")) : undefined;
    const foot = h("div", { class: "section-head" }, this.#add, this.#match);
    this.root.append(h("legend", {}, texts.get("filter")), this.#hint, this.#list, foot);
    if (pageFilter) {
      this.#hint.after(pageFilter);
    }
    this.#render();
  }

  /** Marks conditions without a value. */
  showMissing(): void {
    const text = this.#options.texts.get("valueMissing");
    this.showErrors(new Map(this.rows.filter(isIncomplete).map((row) => [row.key, text])));
  }

  /** Shows errors by the key of the condition, and removes all others. */
  showErrors(errors: ReadonlyMap<number, string>): void {
    for (const [key, setError] of this.#setError) {
      setError(errors.get(key));
    }
  }

  /** The first field of the first condition with an error: an empty one, if there is one. */
  get invalid(): HTMLElement | undefined {
    const row = this.#list.querySelector(".row:has([aria-invalid])");
    const fields = [...(row?.querySelectorAll<HTMLInputElement>("[aria-invalid]") ?? [])];
    return fields.find(({ value }) => value.trim() === "") ?? fields[0];
  }

  #addRow(): void {
    const [first] = this.#options.columns;
    if (first) {
      this.rows.push({
        key: this.#nextKey++,
        column: first.name,
        operator: "eq",
        values: emptyValues(first.type, "eq"),
      });
      this.#changed(() => this.#list.lastElementChild?.querySelector("select")?.focus());
    }
  }

  #changed(focus: () => void): void {
    this.#render();
    focus();
    this.#options.onChange();
  }

  #render(): void {
    const { texts, hasPageFilter } = this.#options;
    this.#hint.textContent = texts.get("noFilter");
    this.#hint.hidden = this.rows.length > 0 || hasPageFilter;
    this.#match.hidden = this.rows.length < 2;
    this.#setError.clear();
    this.#list.replaceChildren(...this.rows.map((row, index) => this.#row(row, index)));
  }

  #row(row: FilterRow, index: number): HTMLElement {
    const { texts, columns } = this.#options;
    const column = columns.find(({ name }) => name === row.column);
    const type = column?.type ?? "string";
    const refocus = (child: number) => () =>
      (this.#list.children[index]?.children[child] as HTMLElement | undefined)?.focus();
    const columnSelect = select(
      { "aria-label": texts.get("column") },
      columns.map(({ name, label }) => [name, label ?? name]),
      row.column,
      (name) => {
        const next = columns.find((other) => other.name === name)?.type ?? "string";
        const operators = operatorsOf(next);
        row.operator = operators.includes(row.operator) ? row.operator : (operators[0] ?? "eq");
        row.column = name;
        row.values = emptyValues(next, row.operator);
        this.#changed(refocus(0));
      },
    );
    const operatorSelect = select(
      { "aria-label": texts.get("operator") },
      operatorsOf(type).map((name) => [name, texts.fill(texts.strings.operators[name])]),
      row.operator,
      (name) => {
        const operator = name as Operator;
        const sameShape =
          emptyValues(type, operator).length === emptyValues(type, row.operator).length &&
          isYesOrNo(type, operator) === isYesOrNo(type, row.operator);
        row.values = sameShape ? row.values : emptyValues(type, operator);
        row.operator = operator;
        this.#changed(refocus(1));
      },
    );
    const remove = button({ class: "ghost", "aria-label": texts.get("removeFilter") }, () => {
      this.rows.splice(this.rows.indexOf(row), 1);
      this.#changed(() => this.#add.focus()); // the pressed button is gone
    });
    remove.append(icon(ICONS.close));
    const error = h("p", { class: "error", id: `condition-${row.key}`, hidden: true });
    const values = this.#values(row, type, column?.local ?? false);
    this.#setError.set(row.key, (text) => {
      error.textContent = text ?? "";
      error.hidden = text === undefined;
      for (const control of values.children) {
        setAttribute(control, "aria-invalid", text === undefined ? undefined : "true");
        setAttribute(control, "aria-describedby", text === undefined ? undefined : error.id);
      }
    });
    return h(
      "div",
      { class: "row", part: "condition", "data-wide": type === "datetime" && !isYesOrNo(type, row.operator) },
      columnSelect,
      operatorSelect,
      values,
      remove,
      error,
    );
  }

  #values(row: FilterRow, type: string, local: boolean): HTMLElement {
    const { texts, onChange } = this.#options;
    const update = (values: string[]) => {
      row.values = values;
      this.#setError.get(row.key)?.(undefined);
      onChange();
    };
    if (isYesOrNo(type, row.operator)) {
      const options: [string, string][] = [
        ["true", texts.get("yes")],
        ["false", texts.get("no")],
      ];
      const label = { "aria-label": texts.get("value") };
      return h(
        "div",
        { class: "values" },
        select(label, options, row.values[0] ?? "true", (value) => update([value])),
      );
    }
    if (row.operator === "in" || row.operator === "not_in") {
      const label = texts.get("values");
      const area = h("textarea", { "aria-label": label, placeholder: label, rows: "3" });
      area.value = row.values.join("\n");
      area.addEventListener("input", () =>
        update(area.value.split("\n").filter((line) => line.trim() !== "")),
      );
      return h("div", { class: "values" }, area);
    }
    const labels = row.operator === "between" ? [texts.get("from"), texts.get("to")] : [texts.get("value")];
    const inputs = labels.map((text, at) => {
      const label = type === "datetime" && !local ? texts.get("utc", { label: text }) : text;
      const input = h("input", { "aria-label": label, placeholder: label, ...inputAttributes(type) });
      input.value = row.values[at] ?? "";
      input.addEventListener("input", () =>
        update(labels.map((_, index) => (index === at ? input.value : (row.values[index] ?? "")))),
      );
      return input;
    });
    return h("div", { class: "values" }, ...inputs);
  }
}

function inputAttributes(type: string): Record<string, string> {
  switch (type) {
    case "date":
      return { type: "date" };
    case "datetime":
      return { type: "datetime-local", step: "1" };
    case "time":
      return { type: "time", step: "1" };
    case "int":
      return { type: "text", inputmode: "numeric" };
    case "float":
    case "decimal":
      return { type: "text", inputmode: "decimal" };
    default:
      return { type: "text" };
  }
}
