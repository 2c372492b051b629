/** The TypeScript SDK of Sluice. Start with {@link SluiceClient}. */
export { Backoff, type BackoffOptions } from "./backoff.js";
export { SluiceClient, type SluiceClientOptions, type Started } from "./client.js";
export { adviseClose, CLOSE_CODES, type CloseAdvice } from "./closeCodes.js";
export type { WebSocketConstructor } from "./connection.js";
export { DEFAULT_WINDOW, type DownloadOptions } from "./download.js";
export type { Unsubscribe } from "./emitter.js";
export {
  type ClientSlug,
  type FieldError,
  type Problem,
  SERVER_SLUGS,
  type ServerSlug,
  type Slug,
  SluiceError,
} from "./errors.js";
export { decodeFrame, encodeFrame, type FileFrame, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./frames.js";
export * from "./protocol.js";
export { type DownloadResult, type Hasher, newHasher, type Sink } from "./receiver.js";
export type { CallOptions, RestOptions } from "./rest.js";
export { RestClient } from "./rest.js";
export type { SessionState } from "./session.js";
export { fixedToken, type TokenProvider } from "./token.js";
