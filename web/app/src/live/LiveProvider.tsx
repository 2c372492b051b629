import { SluiceClient, SluiceError } from "@sluice/client";
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import type { Identity } from "../auth/identity.js";
import { renewIdentity } from "../auth/renewIdentity.js";
import { FileSaver } from "../saving/fileSaver.js";
import { type ConnectionState, toConnectionState } from "./connectionState.js";
import { syncQueryCache } from "./queryCache.js";
import type { UserSession } from "./userSession.js";

/** Context of the signed-in user's components. */
export interface Live {
  userSession: UserSession;
  client: SluiceClient;
  saver: FileSaver;
  connection: ConnectionState;
  /** Whether the user is an operator; false until the first live session says so. */
  operator: boolean;
}

const LiveContext = createContext<Live | undefined>(undefined);

interface Props {
  userSession: UserSession;
  identity: Identity;
  /** Called with a newer token of the same user, or when the session reports tenant and subject. */
  onIdentity: (identity: Identity) => void;
  /** Called when the token has expired and no newer one is available. */
  onEnded: () => void;
  children: ReactNode;
}

/** Provides one client and one live session while a user is signed in. */
export function LiveProvider({ userSession, identity, onIdentity, onEnded, children }: Props) {
  const latest = useRef({ identity, onIdentity, onEnded });
  latest.current = { identity, onIdentity, onEnded };
  const [live, setLive] = useState<Live>();

  useEffect(() => {
    let refreshing: Promise<string> | undefined;
    let disposed = false;
    const assertSignedIn = () => {
      if (disposed || userSession.ended.aborted) {
        throw new SluiceError({ slug: "unauthorized", title: "Signed out" });
      }
    };
    const refreshToken = async () => {
      const { identity: current, onIdentity: save } = latest.current;
      const next = await renewIdentity(current).catch((cause: unknown) => {
        if (!disposed && SluiceError.from(cause).slug === "unauthorized") {
          latest.current.onEnded(); // also while an open WebSocket still uses the older token
        }
        throw cause;
      });
      assertSignedIn(); // an answer after the sign-out must not sign the user in again
      latest.current.identity = next;
      save(next);
      return next.token;
    };
    // the sessions of page and worker may refresh at the same time: they share one request
    const getToken = async ({ refresh }: { refresh: boolean }) => {
      assertSignedIn();
      if (!refresh) {
        return latest.current.identity.token;
      }
      refreshing ??= refreshToken().finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    };
    const client = new SluiceClient({ baseUrl: window.location.origin, getToken });
    const startWorker = () =>
      new Worker(new URL("../saving/worker/worker.ts", import.meta.url), { type: "module", name: "saving" });
    const saver = new FileSaver({ client, getToken, startWorker, owner: ownerKey(latest.current.identity) });
    let resumed = false;
    let operator = false;
    const update = () => {
      if (client.state.name === "live") {
        operator = client.state.ready.operator ?? false;
      }
      const connection = toConnectionState(client.state, navigator.onLine);
      setLive({ userSession, client, saver, connection, operator });
    };
    const onOnline = () => {
      client.retryNow();
      saver.retryNow();
      update();
    };
    // A message written to the socket while offline could arrive much later, after the user has seen the error. So the
    // session is closed and reopened at once; a server on the same machine stays reachable.
    const onOffline = () => {
      client.close();
      client.connect().catch(update);
    };
    const subscriptions = [
      syncQueryCache(client, userSession.queryClient),
      client.onStateChange((state) => {
        update();
        if (state.name === "live") {
          const { sub, tenant } = state.ready;
          const current = latest.current.identity;
          if (current.sub !== sub || current.tenant !== tenant) {
            latest.current.identity = { ...current, sub, tenant };
            latest.current.onIdentity(latest.current.identity);
          }
        }
        const owner = ownerKey(latest.current.identity);
        if ((state.name === "live" || state.name === "fallback") && owner) {
          if (!resumed) {
            resumed = true;
            void saver.resume(owner).catch(() => undefined); // the unfinished files stay in the journal
          }
        } else if (state.name === "closed" && state.error?.slug === "unauthorized") {
          latest.current.onEnded();
        }
      }),
    ];
    window.addEventListener("online", onOnline);
    window.addEventListener("offline", onOffline);
    update();
    client.connect().catch(update); // the state reports the error, and the page shows it
    return () => {
      disposed = true;
      for (const unsubscribe of subscriptions) {
        unsubscribe();
      }
      window.removeEventListener("online", onOnline);
      window.removeEventListener("offline", onOffline);
      saver.close();
      client.close();
    };
  }, [userSession]);

  return live && <LiveContext.Provider value={live}>{children}</LiveContext.Provider>;
}

/** Returns the signed-in user's client, file saver and connection state. */
export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) {
    throw new Error("useLive is used outside of LiveProvider");
  }
  return live;
}

/** Returns the journal's key of a user; `undefined` until the session has reported tenant and subject. */
function ownerKey({ sub, tenant }: Identity): string | undefined {
  return sub && tenant ? JSON.stringify([tenant, sub]) : undefined;
}
