import { fetchSignIn, type Identity } from "./identity.js";
import { Oidc } from "./oidc.js";

/** Broadcast channel of sign-outs; its messages contain only tenant and subject. */
const CHANNEL = "sluice.signed-out";

/** Maximum time that the redirect to the issuer waits for the removal of local files, in milliseconds. */
const CLEANUP_TIMEOUT_MS = 2_000;

/** A user who has signed out in one of this browser's tabs. */
export type SignedOutUser = Pick<Identity, "sub" | "tenant">;

/** Signs the user out of the browser's other tabs. */
export function notifyOtherTabs({ sub, tenant }: SignedOutUser): void {
  if (!sub) {
    return; // the session has not reported the user yet
  }
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ sub, tenant } satisfies SignedOutUser);
  channel.close();
}

/** Calls `onSignOut` when a user signs out in another tab. Returns a function that removes the listener. */
export function onSignOutInOtherTab(onSignOut: (user: SignedOutUser) => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<SignedOutUser>) => onSignOut(data);
  return () => channel.close();
}

/**
 * Ends the user's session at the issuer, if the issuer supports it: the page redirects there and back. When the
 * redirect fails, the user is still signed out of this page. The redirect waits only briefly for `filesRemoved`,
 * because an open session at the issuer is worse than an orphan file; the next start of the page removes orphans.
 */
export async function signOutAtIssuer({ via }: Identity, filesRemoved: Promise<void>): Promise<void> {
  if (via !== "oidc") {
    return;
  }
  await waitAtMost(CLEANUP_TIMEOUT_MS, filesRemoved);
  try {
    const method = await fetchSignIn();
    if (method.kind === "oidc") {
      await (await Oidc.create(method)).signOut();
    }
  } catch {
    // the issuer is not available: its session ends by its own expiry
  }
}

/** Waits for `work`, but at most `ms` milliseconds. */
async function waitAtMost(ms: number, work: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
