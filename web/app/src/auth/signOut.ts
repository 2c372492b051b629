import { fetchSignIn, type Identity } from "./identity.js";
import { Oidc } from "./oidc.js";

/** Carries no more than who has signed out. */
const CHANNEL = "sluice.signed-out";

/** Somebody who has signed out in one of this browser's tabs. */
export type Gone = Pick<Identity, "sub" | "tenant">;

/** Signs the person out of their other tabs too. */
export function tellOtherTabs({ sub, tenant }: Gone): void {
  if (!sub) {
    return; // nobody knows yet who this is
  }
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ sub, tenant } satisfies Gone);
  channel.close();
}

/** Hears who has signed out in another tab. Returns what stops it. */
export function watchOtherTabs(onGone: (gone: Gone) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<Gone>) => onGone(data);
  return () => channel.close();
}

/**
 * Ends the session at the issuer, where the person came from one that can end it: the page leaves for there, and comes
 * back. Where that fails they are signed out here all the same.
 */
export async function signOutAtIssuer({ via }: Identity): Promise<void> {
  if (via !== "oidc") {
    return;
  }
  try {
    const kind = await fetchSignIn();
    if (kind.kind === "oidc") {
      await (await Oidc.at(kind)).forget();
    }
  } catch {
    // nobody is at the issuer to be told: its own session ends with its time
  }
}
