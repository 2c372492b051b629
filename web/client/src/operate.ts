import type { Unsubscribe } from "./emitter.js";
import type {
  DeadLetterPage,
  DrainResult,
  ExportStory,
  ExportSummary,
  ExportSummaryPage,
  Overview,
  PauseResult,
  ResumeResult,
  RetryResult,
} from "./protocol.js";
import { type CallOptions, type RestClient, search } from "./restClient.js";
import type { Session } from "./session.js";

/** Filter and page of {@link Operate.exports}. */
export interface OperateQuery {
  /** A part of the tenant, user or dataset in any case, or an id or trace id. */
  text?: string;
  status?: string;
  tenant?: string;
  user?: string;
  dataset?: string;
  /** Page size, 1 to 200. Default 50. */
  limit?: number;
  cursor?: string;
}

/** A tenant, or a user of a tenant. */
export interface OperatedOwner {
  tenant: string;
  /** The user; the whole tenant when absent. */
  user?: string;
}

/** The work of operators. Every call requires the scope `sluice:operate`, and covers the exports of all tenants. */
export class Operate {
  readonly #rest: RestClient;
  readonly #session: Session;
  #watchers = 0;

  constructor(rest: RestClient, session: Session) {
    this.#rest = rest;
    this.#session = session;
  }

  /** Fetches the state of the installation. */
  overview(options?: CallOptions): Promise<Overview> {
    return this.#get("overview", options);
  }

  /** Finds exports of all owners, newest first. */
  exports(query: OperateQuery = {}, options?: CallOptions): Promise<ExportSummaryPage> {
    return this.#get(`exports${search({ ...query })}`, options);
  }

  /** Fetches the whole story of one export. */
  story(id: string, options?: CallOptions): Promise<ExportStory> {
    return this.#get(`exports/${encodeURIComponent(id)}`, options);
  }

  /** Lists the dead letters, newest first. */
  deadLetters(
    query: { limit?: number; cursor?: string } = {},
    options?: CallOptions,
  ): Promise<DeadLetterPage> {
    return this.#get(`dead-letters${search(query)}`, options);
  }

  /** Cancels an unfinished export, and records the reason. */
  cancel(id: string, reason: string, options?: CallOptions): Promise<ExportSummary> {
    return this.#post(`exports/${encodeURIComponent(id)}/cancel`, { reason }, options);
  }

  /** Runs a failed export again, as a new export of its owner. */
  retry(id: string, reason: string, options?: CallOptions): Promise<RetryResult> {
    return this.#post(`exports/${encodeURIComponent(id)}/retry`, { reason }, options);
  }

  /** Lets the exports of a tenant or user wait. Running ones continue. */
  pause(owner: OperatedOwner, reason: string, options?: CallOptions): Promise<PauseResult> {
    return this.#post("pause", { ...owner, reason }, options);
  }

  /** Ends the pause of a tenant or user. */
  resume(owner: OperatedOwner, reason: string, options?: CallOptions): Promise<ResumeResult> {
    return this.#post("resume", { ...owner, reason }, options);
  }

  /** Lets an exporter finish its jobs and accept no new ones. */
  drain(instance: string, reason: string, options?: CallOptions): Promise<DrainResult> {
    return this.#post(`exporters/${encodeURIComponent(instance)}/drain`, { reason }, options);
  }

  /** Lets a draining exporter accept jobs again. */
  undrain(instance: string, reason: string, options?: CallOptions): Promise<DrainResult> {
    return this.#post(`exporters/${encodeURIComponent(instance)}/undrain`, { reason }, options);
  }

  /**
   * Calls the listener with the state of the installation and after each change, while the session is live, also after a
   * reconnect. A caller without the scope receives nothing.
   */
  watch(listener: (overview: Overview) => void): Unsubscribe {
    const start = () => this.#session.send({ type: "operate.watch" });
    const subscriptions = [
      this.#session.states.on((state) => {
        if (state.name === "live") {
          start();
        }
      }),
      this.#session.messages.on((message) => {
        if (message.type === "operate.state") {
          listener(message.overview);
        }
      }),
    ];
    this.#watchers += 1;
    start();
    let watching = true;
    return () => {
      if (!watching) {
        return;
      }
      watching = false;
      for (const unsubscribe of subscriptions) {
        unsubscribe();
      }
      this.#watchers -= 1;
      if (this.#watchers === 0) {
        this.#session.send({ type: "operate.unwatch" });
      }
    };
  }

  #get<T>(path: string, options?: CallOptions): Promise<T> {
    return this.#rest.json("GET", `/v1/operate/${path}`, options);
  }

  #post<T>(path: string, body: object, options?: CallOptions): Promise<T> {
    return this.#rest.json("POST", `/v1/operate/${path}`, { ...options, body });
  }
}
