/** The TypeScript SDK of Sluice. Start with {@link connect}. */
export { Backoff, type BackoffOptions, delay } from "./backoff.js";
export { connect, SluiceClient, type SluiceClientOptions } from "./client.js";
export { adviseClose, CLOSE_CODES, type CloseAdvice } from "./closeCodes.js";
export type { WebSocketConstructor } from "./connection.js";
export { DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, type DownloadOptions, type TransferState } from "./download.js";
export type { Unsubscribe } from "./emitter.js";
export {
  type ClientSlug,
  type ReceivedProblem,
  SERVER_SLUGS,
  type ServerSlug,
  type Slug,
  SluiceError,
} from "./errors.js";
export type { Events } from "./events.js";
export type { Created, CreateOptions, EndedOptions, Exports, ListQuery } from "./exports.js";
export type { Via } from "./fallback.js";
export { decodeFrame, encodeFrame, type FileFrame, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./frames.js";
export * from "./protocol.js";
export { type DownloadResult, type Hasher, newHasher, type Sink } from "./receiver.js";
export type { CallOptions, RestOptions } from "./rest.js";
export { RestClient } from "./rest.js";
export type { SessionState } from "./session.js";
export type { FileBody } from "./stream.js";
export { fixedToken, type TokenProvider } from "./token.js";
