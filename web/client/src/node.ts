/** The SDK for Node: a WebSocket class, OpenSSL's SHA-256, and files. */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { WebSocket } from "ws";
import { SluiceClient, type SluiceClientOptions } from "./client.js";
import type { WebSocketConstructor } from "./connection.js";
import type { DownloadOptions } from "./download.js";
import type { DownloadResult, Hasher, Sink } from "./receiver.js";

export * from "./index.js";

/** Connects like `connect` of `@sluice/client`, with the WebSocket class and the SHA-256 of Node. */
export async function connect(options: SluiceClientOptions): Promise<SluiceClient> {
  const client = nodeClient(options);
  await client.connect();
  return client;
}

/** Creates a client that is not connected. REST calls and downloads over HTTP work. */
export function nodeClient(options: SluiceClientOptions): SluiceClient {
  return new SluiceClient({
    webSocket: WebSocket as unknown as WebSocketConstructor,
    newHasher: nodeHasher,
    ...options,
  });
}

/** Creates an OpenSSL SHA-256 state, several times faster than JavaScript. */
export function nodeHasher(): Hasher {
  return toHasher(createHash("sha256"));
}

function toHasher(hash: Hash): Hasher {
  return {
    update(chunk) {
      hash.update(chunk);
      return this;
    },
    clone: () => toHasher(hash.copy()),
    digest: () => hash.digest(),
  };
}

/**
 * Downloads a file to a path. Until the file is complete and verified its name is `<path>.part`; a later call with the
 * same path resumes at the end of that part.
 *
 * @throws SluiceError the error of `download`. The part stays, so that the next call fetches only the rest.
 */
export async function saveFile(
  client: SluiceClient,
  exportId: string,
  path: string,
  options: Omit<DownloadOptions, "sink" | "offset" | "hasher"> = {},
): Promise<DownloadResult> {
  const part = `${path}.part`;
  const hasher = nodeHasher();
  const offset = await hashFile(part, hasher);
  const file = await open(part, offset > 0 ? "r+" : "w");
  let result: DownloadResult;
  try {
    result = await client.download(exportId, {
      ...options,
      sink: new FileSink(file, offset),
      offset,
      hasher,
    });
    await file.sync();
  } catch (cause) {
    await file.close();
    if ((cause as { slug?: string }).slug === "digest-mismatch") {
      await rm(part, { force: true }); // resuming a damaged part can't succeed
    }
    throw cause;
  }
  await file.close();
  await rename(part, path);
  return result;
}

/** Feeds an existing file to the hasher. Returns the file's length in bytes. */
async function hashFile(path: string, hasher: Hasher): Promise<number> {
  const existing = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") {
      return undefined;
    }
    throw cause;
  });
  if (!existing?.size) {
    return 0;
  }
  let length = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
    hasher.update(chunk);
    length += chunk.byteLength;
  }
  return length;
}

class FileSink implements Sink {
  readonly #file: FileHandle;
  #position: number;

  constructor(file: FileHandle, position: number) {
    this.#file = file;
    this.#position = position;
  }

  async write(chunk: Uint8Array): Promise<void> {
    let written = 0;
    while (written < chunk.byteLength) {
      const { bytesWritten } = await this.#file.write(chunk, written, undefined, this.#position + written);
      written += bytesWritten;
    }
    this.#position += chunk.byteLength;
  }

  async reset(): Promise<void> {
    await this.#file.truncate(0);
    this.#position = 0;
  }
}
