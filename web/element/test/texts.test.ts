import { SERVER_SLUGS } from "@sluice/client";
import { problemTitles } from "@sluice/client/form";
import { describe, expect, it } from "vitest";
import { de } from "../src/strings/de.js";
import { en } from "../src/strings/en.js";
import type { StringOverrides, Strings, Text } from "../src/strings/strings.js";
import { onRegister, registerStrings, Texts } from "../src/strings/texts.js";

/** Returns every text of a language by its path, with all its forms. */
function flat(strings: Strings): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const [key, value] of Object.entries(strings) as [string, Text | Record<string, Text>][]) {
    if (typeof value === "string" || "other" in value) {
      all.set(key, typeof value === "string" ? [value] : (Object.values(value) as string[]));
    } else {
      for (const [name, text] of Object.entries(value)) {
        all.set(`${key}.${name}`, [text as string]);
      }
    }
  }
  return all;
}

const placeholders = (texts: string[] = []) => [...new Set(texts.join(" ").match(/\{\w+\}/g))].sort();

describe("the shipped languages", () => {
  it("have the same texts with the same placeholders", () => {
    const [english, german] = [flat(en), flat(de)];
    expect([...german.keys()]).toEqual([...english.keys()]);
    for (const [key, texts] of english) {
      expect(placeholders(german.get(key)), key).toEqual(placeholders(texts));
    }
    expect(Object.keys(en.problems)).toEqual(expect.arrayContaining([...SERVER_SLUGS]));
  });

  it("describe a problem in the words of the SDK, and add what to do", () => {
    for (const [titles, { problems }] of [
      [problemTitles.en, en],
      [problemTitles.de, de],
    ] as const) {
      expect(Object.keys(problems).sort()).toEqual(Object.keys(titles).sort());
      for (const [slug, title] of Object.entries(titles)) {
        const text = problems[slug as keyof typeof titles] as string;
        expect(text).toMatch(/^[^.]+\.( [^.]+\.)*$/);
        expect(text.startsWith(`${title}.`), slug).toBe(true);
      }
    }
    expect(en.problems.network).toBe("The server can't be reached. Check your network, then try again.");
    expect(de.problems.canceled).toBe("Der Export wurde abgebrochen.");
  });

  it("follow the language tag, and English is the rest", () => {
    expect(new Texts("de-AT").get("queued", { count: 1 })).toBe("Noch 1 Export davor");
    expect(new Texts("de").get("rows", { count: 12_000 })).toBe("12.000 Zeilen");
    expect(new Texts("fr").get("rows", { count: 12_000 })).toBe("12,000 rows");
    expect(new Texts("not a tag").get("export")).toBe("Export");
    expect(new Texts("ar")).toMatchObject({ language: "en", direction: "ltr" });
    expect(new Texts("de-AT")).toMatchObject({ language: "de-AT", direction: "ltr" });
  });
});

describe("the page's own texts", () => {
  it("replace single texts, also within a group", () => {
    const texts = new Texts("en", { export: "Get it", problems: { forbidden: "Ask Ann." } });
    expect(texts.get("export")).toBe("Get it");
    expect(texts.fill(texts.strings.problems.forbidden)).toBe("Ask Ann.");
    expect(texts.fill(texts.strings.problems.expired)).toBe(en.problems.expired);
  });

  it("that are not given change nothing", () => {
    const nothing = {
      export: undefined,
      problems: { forbidden: null, expired: undefined },
      waitingFor: null,
    };
    expect(new Texts("en", nothing as unknown as StringOverrides).strings).toEqual(en);
  });

  it("add a language with its plural forms, also in elements that exist", () => {
    let calls = 0;
    const stop = onRegister(() => {
      calls += 1;
    });
    registerStrings("pl", {
      rows: { one: "{count} wiersz", few: "{count} wiersze", other: "{count} wierszy" },
    });
    stop();
    registerStrings("pl", {
      rows: { few: "{count} wiersze", other: "{count} wierszy", one: "{count} wiersz" },
    });
    expect(calls).toBe(1);
    const texts = new Texts("pl");
    expect([1, 3, 5].map((count) => texts.get("rows", { count }))).toEqual([
      "1 wiersz",
      "3 wiersze",
      "5 wierszy",
    ]);
    expect(texts.get("export")).toBe("Export");
  });
});
