import type { SessionState } from "@sluice/client";

/** The connection state that the page shows. */
export type ConnectionState =
  | { name: "live" }
  | { name: "connecting" }
  | { name: "reconnecting"; attempt: number }
  /** Events arrive over HTTP, because no WebSocket can be opened. */
  | { name: "limited" }
  | {
      name: "offline";
      network: boolean;
      /** The server closed the session, because this user has too many open pages. */
      tooMany?: boolean;
    };

/**
 * Maps the session's state to the state that the page shows: `live` only while the session is live, `offline` when the
 * device has no network or the session is closed.
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
