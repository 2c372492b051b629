/** The TypeScript SDK of Sluice. Start with {@link connect}. */
export { Backoff, type BackoffOptions, delay } from "./backoff.js";
export { connect, SluiceClient, type SluiceClientOptions } from "./client.js";
export { CLOSE_CODES, type CloseAction, closeActionOf } from "./closeCodes.js";
export type { WebSocketConstructor } from "./connection.js";
export { DEFAULT_MAX_WINDOW, DEFAULT_WINDOW, type DownloadOptions, type TransferState } from "./download.js";
export type { DownloadStream } from "./downloadStream.js";
export type { Unsubscribe } from "./emitter.js";
export {
  type ClientSlug,
  type ReceivedProblem,
  SERVER_SLUGS,
  type ServerSlug,
  type Slug,
  SluiceError,
} from "./errors.js";
export type { EventIterator } from "./eventIterator.js";
export type { CreatedExport, CreateOptions, Exports, ListQuery, WaitOptions } from "./exports.js";
export { decodeFrame, encodeFrame, type FileFrame, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./frames.js";
export type { EventTransport } from "./httpEvents.js";
export type { Operate, OperatedOwner, OperateQuery } from "./operate.js";
export * from "./protocol.js";
export { type DownloadResult, type Hasher, newHasher, type Sink } from "./receiver.js";
export type { CallOptions, RestOptions } from "./restClient.js";
export { RestClient } from "./restClient.js";
export type { SessionState } from "./session.js";
export { fixedToken, type TokenProvider } from "./token.js";
