import { SluiceError } from "@sluice/client";

/**
 * Name of the browser key in `localStorage`, which other ports and other users of the machine can't read. The key works
 * until the gateway stops.
 */
const KEY = "sluice.browser-key";

/** The fragment of a sign-in link. Browsers send it to no server. */
const FRAGMENT = /^#sign-in=([\w-]+)$/;

let code: string | undefined;

/** Takes the code of a sign-in link out of the address bar, so that neither history nor bookmarks contain it. */
export function takeSignInLink(): void {
  const match = FRAGMENT.exec(window.location.hash);
  if (match) {
    code = match[1];
    window.history.replaceState(window.history.state, "", window.location.pathname + window.location.search);
  }
}

/**
 * Exchanges the code of the sign-in link, if the page was opened by one. Returns whether this browser may sign in.
 *
 * @throws SluiceError `unauthorized` when the link was used or has expired.
 */
export async function ensureBrowserKey(): Promise<boolean> {
  const linkCode = code;
  code = undefined; // a code works once
  if (!linkCode) {
    return browserKey() !== "";
  }
  const response = await fetch("/local/browser-key", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code: linkCode }),
    cache: "no-store",
    signal: AbortSignal.timeout(15_000),
  }).catch((cause: unknown) => {
    code = linkCode; // the gateway has not answered
    throw SluiceError.from(cause);
  });
  if (!response.ok) {
    if (browserKey()) {
      return true; // the page was opened again from the history
    }
    throw await SluiceError.fromResponse(response);
  }
  localStorage.setItem(KEY, ((await response.json()) as { key: string }).key);
  return true;
}

/** Returns the key of this browser; empty if it has opened no sign-in link. */
export function browserKey(): string {
  return localStorage.getItem(KEY) ?? "";
}

/** Forgets the key after the gateway has refused it. */
export function forgetBrowserKey(): void {
  localStorage.removeItem(KEY);
}
