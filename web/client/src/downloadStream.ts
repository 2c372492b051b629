import { SluiceError } from "./errors.js";
import type { DownloadResult, Sink } from "./receiver.js";

/** A download as a readable stream. */
export interface DownloadStream {
  /** The bytes of the file. The stream fails, and never just ends, when the file is incomplete. */
  readable: ReadableStream<Uint8Array>;
  /** Resolves with the verified result when all bytes have gone through `readable`. */
  done: Promise<DownloadResult>;
}

/** Runs a download into a readable stream, with the reader's backpressure. */
export function toDownloadStream(
  download: (sink: Sink, signal: AbortSignal) => Promise<DownloadResult>,
  signal?: AbortSignal,
): DownloadStream {
  const stop = new AbortController();
  let resumeWrite = () => {};
  let settle: { resolve: (result: DownloadResult) => void; reject: (cause: unknown) => void };
  const done = new Promise<DownloadResult>((resolve, reject) => {
    settle = { resolve, reject };
  });
  done.catch(() => undefined); // a caller that uses only `readable` gets the error there
  let written = 0;
  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const sink: Sink = {
          async write(chunk) {
            controller.enqueue(chunk);
            written += chunk.byteLength;
            while ((controller.desiredSize ?? 0) <= 0 && !stop.signal.aborted) {
              await new Promise<void>((resolve) => {
                resumeWrite = resolve;
              });
            }
          },
          reset() {
            if (written > 0) {
              // bytes that the reader has consumed can't be withdrawn
              throw new SluiceError({
                slug: "aborted",
                title: "Another export attempt started while the file was read",
              });
            }
          },
        };
        const combined = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
        download(sink, combined).then(
          (result) => {
            controller.close();
            settle.resolve(result);
          },
          (cause: unknown) => {
            controller.error(cause);
            settle.reject(cause);
          },
        );
      },
      pull() {
        resumeWrite();
      },
      cancel() {
        stop.abort();
        resumeWrite();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 1 }),
  );
  return { readable, done };
}
