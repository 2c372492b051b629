import { fetchSignIn, type Identity } from "./identity.js";
import { Oidc } from "./oidc.js";

/** Carries no more than who has signed out. */
const CHANNEL = "sluice.signed-out";

/** How long the issuer waits at most for what the person has here to be forgotten, in milliseconds. */
const FORGET_MS = 2_000;

/** Somebody who has signed out in one of this browser's tabs. */
export type SignedOutUser = Pick<Identity, "sub" | "tenant">;

/** Signs the person out of their other tabs too. */
export function notifyOtherTabs({ sub, tenant }: SignedOutUser): void {
  if (!sub) {
    return; // nobody knows yet who this is
  }
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ sub, tenant } satisfies SignedOutUser);
  channel.close();
}

/** Hears who has signed out in another tab. Returns what stops it. */
export function onSignOutInOtherTab(onGone: (gone: SignedOutUser) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<SignedOutUser>) => onGone(data);
  return () => channel.close();
}

/**
 * Ends the session at the issuer, where the person came from one that can end it: the page leaves for there, and comes
 * back. Where that fails they are signed out here all the same. What is not `forgotten` soon is left to the next start,
 * as an open session at the issuer is worse than a file that nobody knows.
 */
export async function signOutAtIssuer({ via }: Identity, forgotten: Promise<void>): Promise<void> {
  if (via !== "oidc") {
    return;
  }
  await within(FORGET_MS, forgotten);
  try {
    const kind = await fetchSignIn();
    if (kind.kind === "oidc") {
      await (await Oidc.at(kind)).forget();
    }
  } catch {
    // nobody is at the issuer to be told: its own session ends with its time
  }
}

/** Waits for it, but no longer than so many milliseconds. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, over]);
  clearTimeout(timer);
}
