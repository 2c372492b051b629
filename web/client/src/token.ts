/**
 * Gives the bearer token. `refresh: true` asks for a newer one than the last, because that one is about to
 * expire or was refused; a provider that has no other may return the same again.
 */
export type TokenProvider = (ask: { refresh: boolean }) => string | Promise<string>;

/** A provider of one fixed token. */
export function fixedToken(token: string): TokenProvider {
  return () => token;
}
