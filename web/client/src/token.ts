import { SluiceError } from "./errors.js";

/**
 * Returns the bearer token. `refresh: true` requests a newer token, because the last one is about to expire or was
 * refused. A provider without a newer token may return the same one.
 */
export type TokenProvider = (request: { refresh: boolean }) => string | Promise<string>;

/** Returns a provider of one fixed token. */
export function fixedToken(token: string): TokenProvider {
  return () => token;
}

/**
 * Calls the provider.
 *
 * @throws SluiceError the `SluiceError` that the provider throws, or `network` for any other error.
 */
export async function requestToken(provider: TokenProvider, request: { refresh: boolean }): Promise<string> {
  try {
    return await provider(request);
  } catch (cause) {
    const error = SluiceError.from(cause);
    if (error === cause || error.slug !== "network") {
      throw error;
    }
    throw new SluiceError({ slug: "network", title: "No token is available", detail: error.detail, cause });
  }
}
