import { type Formatters, formatters } from "@sluice/client/form";
import { directionOf } from "../language.js";
import { de } from "./de.js";
import { en } from "./en.js";
import type { StringOverrides, Strings, Text } from "./strings.js";

/** Values for the placeholders of a text. A number `count` also chooses the plural form. */
export type Values = Readonly<Record<string, string | number>>;

/** The keys of {@link Strings} that are texts and not groups of texts. */
export type TextKey = { [K in keyof Strings]: Strings[K] extends Text ? K : never }[keyof Strings];

const languages = new Map<string, StringOverrides>([
  ["en", en],
  ["de", de],
]);

const listeners = new Set<() => void>();

/** Calls the listener after each {@link registerStrings}. Returns a function that removes it. */
export function onRegister(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** Adds a language, or replaces some texts of a shipped one, in all elements of the page. */
export function registerStrings(language: string, strings: StringOverrides): void {
  const code = language.toLowerCase();
  languages.set(code, merge(languages.get(code) ?? {}, strings));
  for (const listener of listeners) {
    listener();
  }
}

/** The texts of one language, with the page's own, and the formats of its numbers. */
export class Texts {
  readonly format: Formatters;
  readonly strings: Strings;
  /** The language of the texts, which differs from the page's when it has none. */
  readonly language: string;
  readonly direction: "ltr" | "rtl";
  readonly #plurals: Intl.PluralRules;

  /** `locale` is a language tag, such as `de-AT`; a language without texts gets the English ones. */
  constructor(locale: string, overrides: StringOverrides = {}) {
    const tag = canonical(locale);
    const language = tag.split("-")[0] ?? "en";
    const known = languages.get(tag.toLowerCase()) ?? languages.get(language);
    this.strings = merge(merge(en, known ?? {}), overrides) as Strings;
    // numbers follow the texts, so that an unknown language does not mix two
    this.language = known ? tag : "en";
    this.direction = directionOf(this.language);
    this.format = formatters(this.language);
    this.#plurals = new Intl.PluralRules(this.language);
  }

  /** Returns the text of a key with its values. */
  get(key: TextKey, values: Values = {}): string {
    return this.fill(this.strings[key], values);
  }

  /** Fills the placeholders of a text. */
  fill(text: Text, values: Values = {}): string {
    const { count } = values;
    const form =
      typeof text === "string"
        ? text
        : ((typeof count === "number" ? text[this.#plurals.select(count)] : undefined) ?? text.other);
    return form.replace(/\{(\w+)\}/g, (placeholder, name: string) => {
      const value = values[name];
      return typeof value === "number" ? this.format.count(value) : (value ?? placeholder);
    });
  }
}

function canonical(locale: string): string {
  try {
    return Intl.getCanonicalLocales(locale)[0] ?? "en";
  } catch {
    return "en"; // not a language tag
  }
}

/** Merges two levels: texts, and groups of texts such as `problems`. */
function merge(base: StringOverrides, over: StringOverrides): StringOverrides {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    if (isGroup(value) && isGroup(before)) {
      merged[key] = { ...before, ...given(value) };
    } else if (value != null && !isGroup(before)) {
      merged[key] = value;
    }
  }
  return merged;
}

/** Leaves out what is `undefined` or `null`, which the page may pass for a text of its own that it has not. */
function given(texts: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text != null));
}

/** Returns whether a value is a group of texts, and not a text with plural forms. */
function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !("other" in value);
}
