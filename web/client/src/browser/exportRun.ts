import { SluiceClient, type SluiceClientOptions } from "../client.js";
import type { Unsubscribe } from "../emitter.js";
import { Emitter } from "../emitter.js";
import { SluiceError } from "../errors.js";
import { exportError } from "../exportError.js";
import { randomKey } from "../exports.js";
import type { Export, ExportFile, ExportRequest } from "../protocol.js";
import { cancelExport, rejectOnAbort } from "./cancelExport.js";
import type { FileSink } from "./fileSink.js";
import { ProgressThrottle } from "./progressThrottle.js";
import { IDLE, isBusy, type RunState, withExport, withProgress, withReceived } from "./runState.js";
import { saveToDownloads } from "./saveToDownloads.js";
import { SpillingSink } from "./spillingSink.js";

/** Slugs of problems after which the export has no file any more. */
const WITHOUT_FILE: readonly string[] = [
  "not-found",
  "expired",
  "export-failed",
  "forbidden",
  "canceled",
  "cancel-unconfirmed",
];

/** Maximum wait for the server's confirmation of a cancellation, in milliseconds. */
const CANCEL_TIMEOUT_MS = 60_000;

/** The unfinished runs of this page. */
const activeRuns = new Set<ExportRun>();

/** Settings of an {@link ExportRun}. */
export interface ExportRunOptions extends SluiceClientOptions {
  /** Receives the complete and verified file. Default: saves it to the browser's downloads. */
  save?: (file: File) => void;
  /** Creates the sink of one download. Default: {@link SpillingSink}. */
  openSink?: () => FileSink;
  /** Maximum wait for the server's confirmation of a cancellation, in milliseconds. Default 60 000. */
  cancelTimeoutMs?: number;
}

/** One attempt to export and save. */
interface Attempt {
  /** Address of the gateway. */
  baseUrl: string;
  request: ExportRequest;
  /** Aborts the requests of the attempt. */
  stop: AbortController;
  /** The answer to the create request. */
  created?: Promise<Export>;
  /** The create request's key, with which a cancellation finds the export when the answer was lost. */
  idempotencyKey: string;
  /** Whether the server may have received the create request. */
  sent: boolean;
}

/**
 * One export button without its appearance: starts an export, follows it, and saves its verified file. The live session
 * exists only while an export runs. Use {@link subscribe} and {@link state} with `useSyncExternalStore` and its like.
 */
export class ExportRun {
  readonly #options: ExportRunOptions;
  readonly #changes = new Emitter<RunState>();
  #state: RunState = IDLE;
  #attempt: Attempt | undefined;

  constructor(options: ExportRunOptions) {
    this.#options = options;
  }

  /** The current state: a new object after each change. */
  get state(): RunState {
    return this.#state;
  }

  /** Calls the listener after each change of {@link state}. */
  subscribe = (listener: (state: RunState) => void): Unsubscribe => this.#changes.on(listener);

  /** Whether {@link retry} saves the file of the same export, free of charge. */
  get resumable(): boolean {
    const { phase, export: item, error } = this.#state;
    return (
      phase === "failed" &&
      item !== undefined &&
      !exportError(item) &&
      !WITHOUT_FILE.includes(error?.slug ?? "") &&
      this.#attempt?.baseUrl === this.#options.baseUrl
    );
  }

  /**
   * Starts an export and saves its file. Resolves with the last state, `saved` or `failed`, and rejects only
   * when `baseUrl` is no address. While an export runs, a further call changes nothing.
   */
  async start(request: ExportRequest): Promise<RunState> {
    return isBusy(this.#state) ? this.#state : this.#run(JSON.parse(JSON.stringify(request)), undefined);
  }

  /**
   * Repeats what failed: saves the file of the same export, free of charge, or starts the export again. At another
   * `baseUrl` it always starts the export again.
   */
  async retry(): Promise<RunState> {
    const request = this.#attempt?.request;
    if (this.#state.phase !== "failed" || !request) {
      return this.#state;
    }
    const { resumable, state } = this;
    return this.#run(request, resumable ? state.export : undefined);
  }

  /**
   * Cancels the unfinished export, or stops saving the file of a completed one. The phase is `canceling` until the server
   * has confirmed; then it is `failed`, with the slug `canceled`, or with `cancel-unconfirmed` when the server gave no
   * confirmation. The slug is `aborted` when the export goes on or has completed: this page only left it.
   */
  cancel(): void {
    const attempt = this.#attempt;
    if (attempt && isBusy(this.#state) && !attempt.stop.signal.aborted) {
      this.#set(attempt, { ...this.#state, phase: "canceling", interrupted: false });
      attempt.stop.abort();
    }
  }

  /** Returns to `idle` after an end. */
  reset(): void {
    if (!isBusy(this.#state)) {
      this.#attempt = undefined;
      this.#state = IDLE;
      this.#changes.emit(IDLE);
    }
  }

  async #run(request: ExportRequest, existing: Export | undefined): Promise<RunState> {
    const options = { ...this.#options }; // a change of an option belongs to the next run
    const stop = new AbortController();
    const { baseUrl } = options;
    const attempt: Attempt = { baseUrl, request, stop, idempotencyKey: randomKey(), sent: false };
    if (existing) {
      attempt.created = Promise.resolve(existing);
      attempt.sent = true;
    }
    const client = new SluiceClient(options);
    this.#attempt = attempt;
    activeRuns.add(this);
    this.#set(attempt, { ...IDLE, phase: "starting" });
    const unfollow = this.#follow(client, attempt);
    client.connect().catch(() => undefined); // the calls over HTTP report the same error
    let last: Partial<RunState>;
    try {
      const file = await this.#exportFile(client, attempt);
      last = { phase: "saved", file };
    } catch (cause) {
      last = { phase: "failed", error: SluiceError.from(cause, "sink") };
    }
    unfollow();
    if (stop.signal.aborted && last.phase !== "saved") {
      last = { phase: "failed", error: await this.#cancelAttempt(client, attempt) };
    }
    client.close();
    activeRuns.delete(this);
    if (existing && last.error?.slug === "not-found") {
      return this.#run(request, undefined); // another user has signed in, or the export was deleted
    }
    this.#state = { ...this.#state, ...last, interrupted: false };
    this.#changes.emit(this.#state);
    return this.#state;
  }

  /** Starts the export, unless it exists, and saves its file. Rejects at once when the attempt is stopped. */
  async #exportFile(client: SluiceClient, attempt: Attempt): Promise<ExportFile> {
    const stopped = rejectOnAbort(attempt.stop.signal);
    attempt.created ??= this.#create(client, attempt);
    const item = await Promise.race([attempt.created, stopped]);
    this.#set(attempt, withExport(this.#state, item));
    // a canceled download may wait for an answer of the server, and the cancellation must not
    return Promise.race([this.#saveFile(client, item.id, attempt), stopped]);
  }

  async #create(client: SluiceClient, attempt: Attempt): Promise<Export> {
    const onSend = () => {
      attempt.stop.signal.throwIfAborted();
      attempt.sent = true;
    };
    const { request, idempotencyKey } = attempt;
    // without the signal: the server may have accepted what was sent
    return (await client.exports.create(request, { idempotencyKey, onSend })).export;
  }

  /** Cancels the export of a stopped attempt. Returns the error that says what became of it. */
  async #cancelAttempt(client: SluiceClient, attempt: Attempt): Promise<SluiceError> {
    const left = new SluiceError({ slug: "aborted", title: "The page has left the export" });
    if (!attempt.sent) {
      return canceledError();
    }
    if (this.#state.export?.status === "completed") {
      return left;
    }
    const { cancelTimeoutMs = CANCEL_TIMEOUT_MS, backoff } = this.#options;
    const { request, idempotencyKey } = attempt;
    try {
      const kept = await cancelExport(client, {
        created: attempt.created,
        create: async () => (await client.exports.create(request, { idempotencyKey })).export,
        keep: (id) => this.#isShared(id),
        timeoutMs: cancelTimeoutMs,
        backoff,
      });
      if (kept) {
        this.#state = { ...this.#state, export: kept };
      }
      return kept && !exportError(kept) ? left : canceledError();
    } catch (cause) {
      const title = "The cancellation could not be confirmed";
      return new SluiceError({ slug: "cancel-unconfirmed", title, cause });
    }
  }

  /** Returns whether another run of this page, for example of a second button, follows the same export. */
  #isShared(id: string): boolean {
    return [...activeRuns].some(
      (run) =>
        run !== this &&
        run.#state.export?.id === id &&
        run.#state.phase !== "canceling" &&
        run.#attempt?.baseUrl === this.#attempt?.baseUrl,
    );
  }

  /** Downloads the file, compares it with the export's seal, and saves it. */
  async #saveFile(client: SluiceClient, id: string, attempt: Attempt): Promise<ExportFile> {
    const { save = defaultSave, openSink = () => new SpillingSink() } = this.#options;
    const { signal } = attempt.stop;
    const sink = openSink();
    const progress = new ProgressThrottle((received) =>
      this.#set(attempt, withReceived(this.#state, received)),
    );
    // the page shows the interruption, so the download retries as long as the page is open
    const maxFailures = Number.POSITIVE_INFINITY;
    try {
      const result = await client.download(id, {
        sink,
        signal,
        maxFailures,
        onProgress: (received) => progress.update(received),
        onStateChange: (state) => this.#set(attempt, { ...this.#state, interrupted: state === "waiting" }),
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
      this.#set(attempt, { ...withExport(this.#state, ended), received: ended.file.size });
      return ended.file;
    } catch (cause) {
      progress.end();
      await sink.release(false);
      throw cause;
    }
  }

  /** Applies the events of the current export, and fetches its state again when events were lost. */
  #follow(client: SluiceClient, attempt: Attempt): () => void {
    const onExport = ({ export: item }: { export: Export }) => {
      if (item.id === this.#state.export?.id) {
        this.#set(attempt, withExport(this.#state, item));
      }
    };
    const subscriptions: Unsubscribe[] = [
      client.on("export.progress", ({ export_id, progress }) => {
        if (export_id === this.#state.export?.id) {
          this.#set(attempt, withProgress(this.#state, progress));
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

  /** Changes the state, unless another attempt has begun or this one was stopped. */
  #set(attempt: Attempt, state: RunState): void {
    if (attempt === this.#attempt && !attempt.stop.signal.aborted) {
      this.#state = state;
      this.#changes.emit(state);
    }
  }
}

function canceledError(): SluiceError {
  return new SluiceError({ slug: "canceled", title: "The export was canceled" });
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
