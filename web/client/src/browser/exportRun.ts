import { SluiceClient, type SluiceClientOptions } from "../client.js";
import type { Unsubscribe } from "../emitter.js";
import { Emitter } from "../emitter.js";
import { SluiceError } from "../errors.js";
import { exportError } from "../exportError.js";
import { type Export, type ExportFile, type ExportRequest, hasEnded } from "../protocol.js";
import type { FileSink } from "./fileSink.js";
import { ProgressThrottle } from "./progressThrottle.js";
import { IDLE, isBusy, type RunState, withExport, withProgress, withReceived } from "./runState.js";
import { saveToDownloads } from "./saveToDownloads.js";
import { SpillingSink } from "./spillingSink.js";

/** Slugs of problems after which the export has no file any more. */
const WITHOUT_FILE: readonly string[] = ["not-found", "expired", "export-failed", "forbidden"];

/** Settings of an {@link ExportRun}. */
export interface ExportRunOptions extends SluiceClientOptions {
  /** Receives the complete and verified file. Default: saves it to the browser's downloads. */
  save?: (file: File) => void;
  /** Creates the sink of one download. Default: {@link SpillingSink}. */
  openSink?: () => FileSink;
}

/**
 * One export button without its appearance: starts an export, follows it, and saves its verified file. The live session
 * exists only while an export runs. Use {@link subscribe} and {@link state} with `useSyncExternalStore` and its like.
 */
export class ExportRun {
  readonly #options: ExportRunOptions;
  readonly #changes = new Emitter<RunState>();
  #state: RunState = IDLE;
  #request: ExportRequest | undefined;
  /** Stops the current run; another run has another one. */
  #stop: AbortController | undefined;

  constructor(options: ExportRunOptions) {
    this.#options = options;
  }

  /** The current state: a new object after each change. */
  get state(): RunState {
    return this.#state;
  }

  /** Calls the listener after each change of {@link state}. */
  subscribe = (listener: (state: RunState) => void): Unsubscribe => this.#changes.on(listener);

  /**
   * Starts an export and saves its file. Resolves with the last state, `saved` or `failed`, and rejects only
   * when `baseUrl` is no address. While an export runs, a further call changes nothing.
   */
  async start(request: ExportRequest): Promise<RunState> {
    if (isBusy(this.#state)) {
      return this.#state;
    }
    this.#request = request;
    return this.#run(request, undefined);
  }

  /** Repeats what failed: saves the file of the same export, free of charge, or starts the export again. */
  async retry(): Promise<RunState> {
    const { phase, export: item, error } = this.#state;
    if (phase !== "failed" || !this.#request) {
      return this.#state;
    }
    const slug = error?.slug ?? "";
    const mayComplete = item?.status === "completed" || slug !== "canceled";
    const hasFile = item && !exportError(item) && mayComplete && !WITHOUT_FILE.includes(slug);
    return this.#run(this.#request, hasFile ? item : undefined);
  }

  /** Cancels the unfinished export, or stops saving the file of a completed one. */
  cancel(): void {
    if (isBusy(this.#state)) {
      const error = new SluiceError({ slug: "canceled", title: "The export was canceled" });
      this.#set(this.#stop, { ...this.#state, phase: "failed", error });
      this.#stop?.abort();
    }
  }

  /** Returns to `idle` after an end. */
  reset(): void {
    if (!isBusy(this.#state)) {
      this.#stop = undefined;
      this.#set(undefined, IDLE);
    }
  }

  async #run(request: ExportRequest, existing: Export | undefined): Promise<RunState> {
    const stop = new AbortController();
    this.#stop = stop;
    this.#set(stop, { ...IDLE, phase: "starting" });
    const client = new SluiceClient(this.#options);
    const unfollow = this.#follow(client, stop);
    client.connect().catch(() => undefined); // the calls over HTTP report the same error
    let item = existing;
    let last: RunState;
    try {
      // without the signal: the id is needed to cancel what the server has accepted
      item ??= (await client.exports.create(request)).export;
      stop.signal.throwIfAborted();
      this.#set(stop, withExport(this.#state, item));
      const saving = this.#saveFile(client, item.id, stop);
      // a canceled download may wait for an answer of the server, and the export must not
      const file = await Promise.race([saving, rejectOnAbort(stop.signal)]);
      last = { ...this.#state, phase: "saved", file, interrupted: false };
    } catch (cause) {
      const error = SluiceError.from(cause, "sink");
      last = { ...this.#state, phase: "failed", error, interrupted: false };
    }
    this.#set(stop, last);
    if (stop.signal.aborted && item) {
      await cancelUnfinished(client, item.id);
    }
    unfollow();
    client.close();
    return this.#state;
  }

  /** Downloads the file, compares it with the export's seal, and saves it. */
  async #saveFile(client: SluiceClient, id: string, stop: AbortController): Promise<ExportFile> {
    const { save = defaultSave, openSink = () => new SpillingSink() } = this.#options;
    const { signal } = stop;
    const sink = openSink();
    const progress = new ProgressThrottle((received) => this.#set(stop, withReceived(this.#state, received)));
    // the page shows the interruption, so the download retries as long as the page is open
    const maxFailures = Number.POSITIVE_INFINITY;
    try {
      const result = await client.download(id, {
        sink,
        signal,
        maxFailures,
        onProgress: (received) => progress.update(received),
        onStateChange: (state) => this.#set(stop, { ...this.#state, interrupted: state === "waiting" }),
      });
      // the seal may arrive before the export has ended, which sets the file name
      const ended = await client.exports.waitForEnd(id, { signal, maxFailures });
      if (ended.file?.sha256 !== result.sha256) {
        throw (
          exportError(ended) ??
          new SluiceError({ slug: "digest-mismatch", title: "Another file was received" })
        );
      }
      const blob = (await sink.finish()) ?? new Blob();
      signal.throwIfAborted();
      save(new File([blob], ended.file.name, { type: ended.file.media_type }));
      progress.end();
      this.#set(stop, { ...withExport(this.#state, ended), received: ended.file.size });
      return ended.file;
    } catch (cause) {
      progress.end();
      await sink.release(false);
      throw cause;
    }
  }

  /** Applies the events of the current export, and fetches its state again when events were lost. */
  #follow(client: SluiceClient, stop: AbortController): () => void {
    const onExport = ({ export: item }: { export: Export }) => {
      if (item.id === this.#state.export?.id) {
        this.#set(stop, withExport(this.#state, item));
      }
    };
    const subscriptions: Unsubscribe[] = [
      client.on("export.progress", ({ export_id, progress }) => {
        if (export_id === this.#state.export?.id) {
          this.#set(stop, withProgress(this.#state, progress));
        }
      }),
      client.on("export.completed", onExport),
      client.on("export.failed", onExport),
      client.on("export.canceled", onExport),
      client.onResync(() => {
        const id = this.#state.export?.id;
        if (id) {
          // without an answer, the next event brings the state
          client.exports.get(id).then(
            (item) => onExport({ export: item }),
            () => undefined,
          );
        }
      }),
      onOnline(() => client.retryNow()),
    ];
    return () => {
      for (const unsubscribe of subscriptions) {
        unsubscribe();
      }
    };
  }

  /** Changes the state, unless another run has begun or this one was canceled. */
  #set(stop: AbortController | undefined, state: RunState): void {
    if (stop === this.#stop && !stop?.signal.aborted) {
      this.#state = state;
      this.#changes.emit(state);
    }
  }
}

/** Rejects when the signal is aborted, and never resolves. */
function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Cancels the export, unless it has ended: canceling a completed export would delete its file. */
async function cancelUnfinished(client: SluiceClient, id: string): Promise<void> {
  try {
    if (!hasEnded((await client.exports.get(id)).status)) {
      await client.exports.cancel(id);
    }
  } catch {
    // an export that can't be canceled ends by itself
  }
}

function onOnline(listener: () => void): Unsubscribe {
  if (typeof addEventListener !== "function") {
    return () => undefined;
  }
  addEventListener("online", listener);
  return () => removeEventListener("online", listener);
}

function defaultSave(file: File): void {
  saveToDownloads(file.name, file);
}
