import { afterEach, expect, it, vi } from "vitest";
import { directionOf, languageOf, watchLanguage } from "../src/language.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

/** An element as `languageOf` sees it: with the language around it in its own tree, and perhaps a shadow root. */
function element(lang: string | undefined, host?: Element): Element {
  const marked = lang === undefined ? null : { getAttribute: () => lang };
  return { closest: () => marked, getRootNode: () => (host ? { host } : {}) } as unknown as Element;
}

it("the language comes from the element's own tree, then from the tree of its host", () => {
  const page = element("de");
  expect(languageOf(element("fr", page))).toBe("fr");
  expect(languageOf(element(undefined, page))).toBe("de");
  expect(languageOf(element(undefined, element(undefined, page)))).toBe("de");
  expect(languageOf(element("", page)), "explicitly unknown").toBe("");
});

it("one observer of the document serves all elements", () => {
  const made: { changed: () => void; disconnect: () => void }[] = [];
  vi.stubGlobal("document", { documentElement: {} });
  vi.stubGlobal(
    "MutationObserver",
    class {
      readonly disconnect = vi.fn();
      readonly observe = vi.fn();
      constructor(readonly changed: () => void) {
        made.push(this);
      }
    },
  );
  const [first, second] = [vi.fn(), vi.fn()];
  const stops = [watchLanguage(first), watchLanguage(second)];
  expect(made).toHaveLength(1);
  made[0]?.changed();
  stops[0]?.();
  made[0]?.changed();
  expect([first.mock.calls.length, second.mock.calls.length]).toEqual([1, 2]);
  stops[1]?.();
  expect(made[0]?.disconnect).toHaveBeenCalled();
});

it("the direction follows the script of a language", () => {
  expect(["ar", "he", "fa", "ur-PK", "ks"].map(directionOf)).toEqual(Array(5).fill("rtl"));
  expect(["en", "de-AT", "ja", "az", "ks-Deva"].map(directionOf)).toEqual(Array(5).fill("ltr"));
});
