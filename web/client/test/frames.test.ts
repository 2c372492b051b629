import { describe, expect, it } from "vitest";
import { decodeFrame, encodeFrame, MAX_PAYLOAD_BYTES, SluiceError } from "../src/index.js";

describe("binary frames", () => {
  it("are big endian: kind, flags, reserved, stream, offset, payload", () => {
    const bytes = encodeFrame({ stream: 0x01020304, offset: 0x0506_0708_090a, payload: Uint8Array.of(9, 8) });
    expect([...bytes]).toEqual([1, 0, 0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10, 9, 8]);
  });

  it("decode from a buffer and from a view at an odd offset", () => {
    const encoded = encodeFrame({ stream: 7, offset: 5_000_000_000, payload: Uint8Array.of(1, 2, 3) });
    const shifted = new Uint8Array(encoded.length + 3);
    shifted.set(encoded, 3);
    for (const input of [encoded, shifted.subarray(3), encoded.buffer as ArrayBuffer]) {
      const frame = decodeFrame(input);
      expect(frame).toMatchObject({ stream: 7, offset: 5_000_000_000 });
      expect([...(frame?.payload ?? [])]).toEqual([1, 2, 3]);
    }
  });

  it("may have an empty payload", () => {
    expect(
      decodeFrame(encodeFrame({ stream: 1, offset: 0, payload: new Uint8Array(0) }))?.payload.length,
    ).toBe(0);
  });

  it("of an unknown kind are ignored", () => {
    const bytes = encodeFrame({ stream: 1, offset: 0, payload: new Uint8Array(1) });
    bytes[0] = 9;
    expect(decodeFrame(bytes)).toBeUndefined();
  });

  it.each([
    ["shorter than a header", new Uint8Array(15)],
    ["with an offset beyond 2^53", encodeFrame({ stream: 1, offset: 2 ** 60, payload: new Uint8Array(0) })],
    [
      "with more than 256 KiB",
      encodeFrame({ stream: 1, offset: 0, payload: new Uint8Array(MAX_PAYLOAD_BYTES + 1) }),
    ],
  ])("%s are rejected", (_, bytes) => {
    expect(() => decodeFrame(bytes)).toThrow(SluiceError);
  });
});
