import { SluiceError } from "./errors.js";

/**
 * Gives the bearer token. `refresh: true` asks for a newer one than the last, because that one is about to
 * expire or was refused; a provider that has no other may return the same again.
 */
export type TokenProvider = (ask: { refresh: boolean }) => string | Promise<string>;

/** A provider of one fixed token. */
export function fixedToken(token: string): TokenProvider {
  return () => token;
}

/** Asks for the token. @throws SluiceError whatever the provider throws: its own, or `network` for anything else. */
export async function requestToken(provider: TokenProvider, ask: { refresh: boolean }): Promise<string> {
  try {
    return await provider(ask);
  } catch (cause) {
    const error = SluiceError.from(cause);
    if (error === cause || error.slug !== "network") {
      throw error;
    }
    throw new SluiceError({ slug: "network", title: "No token could be had", detail: error.detail, cause });
  }
}
