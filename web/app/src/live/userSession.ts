import { QueryClient } from "@tanstack/react-query";
import { isTransient } from "./retryPolicy.js";

/**
 * State of one user, from the sign-in page until the sign-out. It holds all data of the user, so that a late answer
 * never reaches the next user.
 */
export class UserSession {
  /** Cache of all fetched and pushed data. */
  readonly queryClient = newQueryClient();
  readonly #end = new AbortController();

  /** Aborted when the user signs out. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** Ends the session when the user signs out. */
  end(): void {
    this.#end.abort();
    this.queryClient.clear();
  }
}

function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      // without a network a mutation fails at once; it is never sent, or charged, later without the user's knowledge
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
