import { QueryClient } from "@tanstack/react-query";
import { isTransient } from "./retryPolicy.js";

/**
 * One userSession of a person, from before they sign in until they have signed out. What the page knows of them is kept here
 * alone: an answer that comes late reaches nobody who signs in after them.
 */
export class UserSession {
  /** Everything that was asked for and pushed. */
  readonly queryClient = newQueryClient();
  readonly #end = new AbortController();

  /** Aborted when they have signed out. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** They sign out. */
  end(): void {
    this.#end.abort();
    this.queryClient.clear();
  }
}

function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // without a network a click is told at once, and nothing is asked for, or paid for, behind the person's back later
      mutations: { networkMode: "always" },
      queries: {
        networkMode: "always",
        refetchOnReconnect: true,
        staleTime: 30_000,
        retry: (count, error) => count < 2 && isTransient(error),
      },
    },
  });
}
