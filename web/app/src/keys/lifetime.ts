/** Choices for the lifetime of an API key: days, or until it is deleted. */
export const LIFETIMES = ["7", "30", "90", "365", "never"] as const;

/** One of {@link LIFETIMES}. */
export type Lifetime = (typeof LIFETIMES)[number];

const DAY_MS = 86_400_000;

/** Returns the expiry of a key that is created at `now` (RFC 3339), or null for a key that does not expire. */
export function expiryOf(lifetime: Lifetime, now: Date): string | null {
  return lifetime === "never" ? null : new Date(now.getTime() + Number(lifetime) * DAY_MS).toISOString();
}
