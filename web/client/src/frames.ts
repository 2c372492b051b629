import { SluiceError } from "./errors.js";

/** Length of the header of a binary frame, in bytes. */
export const HEADER_BYTES = 16;
/** Frame kind of file data. */
export const KIND_FILE = 1;
/** Maximum payload of one frame, in bytes. */
export const MAX_PAYLOAD_BYTES = 256 * 1024;

/** A decoded binary frame: bytes of one stream with their offset in the file. */
export interface FileFrame {
  stream: number;
  /** Offset of the first payload byte in the file. */
  offset: number;
  /** View into the received buffer, not a copy. */
  payload: Uint8Array;
}

/**
 * Decodes `u8 kind, u8 flags, u16 reserved, u32 stream, u64 offset, payload` (big endian; docs/protocol.md).
 *
 * @returns `undefined` for an unknown kind, which clients ignore.
 * @throws SluiceError `protocol` when the frame is malformed.
 */
export function decodeFrame(data: ArrayBuffer | Uint8Array): FileFrame | undefined {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  if (bytes.byteLength < HEADER_BYTES) {
    throw malformed(`${bytes.byteLength} bytes are less than a header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(0) !== KIND_FILE) {
    return undefined;
  }
  const offset = view.getBigUint64(8);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw malformed(`offset ${offset} is out of range`);
  }
  const payload = bytes.subarray(HEADER_BYTES);
  if (payload.byteLength > MAX_PAYLOAD_BYTES) {
    throw malformed(`payload of ${payload.byteLength} bytes`);
  }
  return { stream: view.getUint32(4), offset: Number(offset), payload };
}

/** Encodes a frame, for servers and tests. */
export function encodeFrame(frame: FileFrame): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + frame.payload.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, KIND_FILE);
  view.setUint32(4, frame.stream);
  view.setBigUint64(8, BigInt(frame.offset));
  bytes.set(frame.payload, HEADER_BYTES);
  return bytes;
}

function malformed(detail: string): SluiceError {
  return new SluiceError({ slug: "protocol", title: "Malformed binary frame", detail });
}
