import type { SessionState } from "@sluice/client";

/** The connection as a person should see it. */
export type ConnectionState =
  | { name: "live" }
  | { name: "connecting" }
  | { name: "reconnecting"; attempt: number }
  /** Events come, but more slowly: no socket can be opened from here. */
  | { name: "limited" }
  | {
      name: "offline";
      network: boolean;
      /** The server has closed it, as this person has too many of these pages open. */
      tooMany?: boolean;
    };

/**
 * Tells the truth about the connection: `live` only while the session answers, `offline` when the device has
 * no network or the session has ended for good.
 */
export function toConnectionState(state: SessionState, online: boolean): ConnectionState {
  if (state.name === "live") {
    return { name: "live" };
  }
  if (!online || state.name === "closed") {
    const tooMany = state.name === "closed" && state.error?.slug === "rate-limited";
    return { name: "offline", network: online, ...(tooMany ? { tooMany } : undefined) };
  }
  if (state.name === "fallback") {
    return { name: "limited" };
  }
  return state.name === "reconnecting"
    ? { name: "reconnecting", attempt: state.attempt }
    : { name: "connecting" };
}
