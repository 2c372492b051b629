import { SluiceError } from "./errors.js";
import type { DownloadResult, Sink } from "./receiver.js";

/** A file on its way. */
export interface DownloadStream {
  /** The bytes. Fails, never just ends, when the file is not whole. */
  readable: ReadableStream<Uint8Array>;
  /** What the file was, once all of it has gone through `readable`. */
  done: Promise<DownloadResult>;
}

/** Runs a download into a stream, as fast as it is read and no faster. */
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
  done.catch(() => undefined); // who reads the stream alone is received by the stream
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
              // what was read can't be taken back
              throw new SluiceError({ slug: "aborted", title: "The file was made anew while it was read" });
            }
          },
        };
        const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
        download(sink, both).then(
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
