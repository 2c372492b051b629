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
 * Makes concurrent calls share one request of the provider: a call takes part in a pending one, and a refresh only in a
 * pending refresh.
 */
export function sharedToken(provider: TokenProvider): TokenProvider {
  let current: Promise<string> | undefined;
  let newer: Promise<string> | undefined;
  return ({ refresh }) => {
    const pending = newer ?? (refresh ? undefined : current);
    if (pending) {
      return pending;
    }
    const token = (async () => provider({ refresh }))();
    const end = () => {
      if (refresh) {
        newer = undefined;
      } else {
        current = undefined;
      }
    };
    if (refresh) {
      newer = token;
    } else {
      current = token;
    }
    token.then(end, end);
    return token;
  };
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
