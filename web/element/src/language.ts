/** Returns the language of an element: `lang` of the nearest element around it, also outside of its shadow roots. */
export function languageOf(element: Element): string {
  for (let at: Element | null = element; at; ) {
    const marked: Element | null = at.closest("[lang]");
    if (marked) {
      return marked.getAttribute("lang") ?? "";
    }
    at = (at.getRootNode() as Partial<ShadowRoot>).host ?? null;
  }
  // within a detached tree
  return globalThis.document?.documentElement.lang ?? "";
}

const listeners = new Set<() => void>();
let observer: MutationObserver | undefined;

/** Calls the listener when the language of the document changes. Returns a function that stops it. */
export function watchLanguage(listener: () => void): () => void {
  listeners.add(listener);
  if (!observer) {
    observer = new MutationObserver(() => {
      for (const each of listeners) {
        each();
      }
    });
    observer.observe(document.documentElement, { attributeFilter: ["lang"] });
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      observer?.disconnect();
      observer = undefined;
    }
  };
}

/** Scripts that run from right to left. */
const RIGHT_TO_LEFT: readonly string[] = ["Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm"];

/** Returns the direction of a language's writing. */
export function directionOf(language: string): "ltr" | "rtl" {
  const { script = "" } = new Intl.Locale(language).maximize();
  return RIGHT_TO_LEFT.includes(script) ? "rtl" : "ltr";
}
