import { type FileSink, throwNoRoom } from "./fileSink.js";
import { MemorySink } from "./memorySink.js";
import { createPrivateFile, type PrivateFile } from "./privateFile.js";

/** Size above which a file moves from memory to a private file, in bytes. */
const SPILL_BYTES = 16 * 1024 * 1024;

/** How long a complete private file is kept for the browser's copy to the downloads, in milliseconds. */
const KEEP_MS = 10 * 60_000;

/**
 * Collects a small file in memory and a large one in a private file, so that memory stays flat. Where the browser has no
 * private files, the size is limited by {@link MemorySink}.
 */
export class SpillingSink implements FileSink {
  readonly offset = 0;
  readonly hasher = undefined;
  readonly #memory = new MemorySink();
  readonly #createFile: () => Promise<PrivateFile | undefined>;
  #file: { file: PrivateFile; writable: FileSystemWritableFileStream } | undefined;
  /** Whether the browser has private files; `undefined` before the first try. */
  #canSpill: boolean | undefined;
  #bytes = 0;

  constructor(createFile = createPrivateFile) {
    this.#createFile = createFile;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#bytes += chunk.byteLength;
    if (!this.#file && this.#canSpill !== false && this.#bytes > SPILL_BYTES) {
      await this.#spill();
    }
    if (this.#file) {
      await this.#file.writable.write(chunk as Uint8Array<ArrayBuffer>).catch(throwNoRoom);
    } else {
      this.#memory.write(chunk);
    }
  }

  async reset(): Promise<void> {
    this.#bytes = 0;
    await this.release();
  }

  async finish(): Promise<Blob> {
    if (!this.#file) {
      return this.#memory.finish();
    }
    const { file, writable } = this.#file;
    await writable.close().catch(throwNoRoom);
    setTimeout(() => void file.remove(), KEEP_MS);
    return file.handle.getFile();
  }

  async release(): Promise<void> {
    await this.#memory.release();
    const spilled = this.#file;
    this.#file = undefined;
    await spilled?.writable.abort().catch(() => undefined); // a closed stream can't be aborted
    await spilled?.file.remove();
  }

  async #spill(): Promise<void> {
    const file = await this.#createFile();
    this.#canSpill = file !== undefined;
    if (file) {
      const writable = await file.handle.createWritable();
      this.#file = { file, writable };
      await writable.write(await this.#memory.finish()).catch(throwNoRoom);
      await this.#memory.release();
    }
  }
}
