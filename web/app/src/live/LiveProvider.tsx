import { SluiceClient, SluiceError } from "@sluice/client";
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import type { Identity } from "../auth/identity.js";
import { renewIdentity } from "../auth/renewIdentity.js";
import { FileSaver } from "../saving/fileSaver.js";
import { type ConnectionState, toConnectionState } from "./connectionState.js";
import { syncQueryCache } from "./queryCache.js";
import type { UserSession } from "./userSession.js";

/** What the page of a signed-in person works with. */
export interface Live {
  userSession: UserSession;
  client: SluiceClient;
  saver: FileSaver;
  connection: ConnectionState;
}

const LiveContext = createContext<Live | undefined>(undefined);

interface Props {
  userSession: UserSession;
  identity: Identity;
  /** A mergeExport token of the same person, or what the session told about them. */
  onIdentity: (identity: Identity) => void;
  /** The token no longer holds, and there is no mergeExport one. */
  onEnded: () => void;
  children: ReactNode;
}

/** One client and one live session for as long as a person is signed in. */
export function LiveProvider({ userSession, identity, onIdentity, onEnded, children }: Props) {
  const latest = useRef({ identity, onIdentity, onEnded });
  latest.current = { identity, onIdentity, onEnded };
  const [live, setLive] = useState<Live>();

  useEffect(() => {
    let renewing: Promise<string> | undefined;
    let over = false;
    const whileSignedIn = () => {
      if (over || userSession.ended.aborted) {
        throw new SluiceError({ slug: "unauthorized", title: "Signed out" });
      }
    };
    const renewed = async () => {
      const { identity: current, onIdentity: keep } = latest.current;
      const next = await renewIdentity(current).catch((cause: unknown) => {
        if (!over && SluiceError.from(cause).slug === "unauthorized") {
          latest.current.onEnded(); // even where an open socket still lives by the older token
        }
        throw cause;
      });
      whileSignedIn(); // an answer that comes after they have signed out does not bring them back
      latest.current.identity = next;
      keep(next);
      return next.token;
    };
    // the page's session and the worker's may ask at the same time: one answer serves both
    const getToken = async ({ refresh }: { refresh: boolean }) => {
      whileSignedIn();
      if (!refresh) {
        return latest.current.identity.token;
      }
      renewing ??= renewed().finally(() => {
        renewing = undefined;
      });
      return renewing;
    };
    const client = new SluiceClient({ baseUrl: window.location.origin, getToken });
    const startWorker = () =>
      new Worker(new URL("../saving/worker/worker.ts", import.meta.url), { type: "module", name: "saving" });
    const saver = new FileSaver({ client, getToken, startWorker, owner: ownerKey(latest.current.identity) });
    let resumed = false;
    const show = () =>
      setLive({ userSession, client, saver, connection: toConnectionState(client.state, navigator.onLine) });
    const onOnline = () => {
      client.retryNow();
      saver.retryNow();
      show();
    };
    // what is written to a socket now may still arrive when the network is back, long after the person was told that
    // it has failed; so it is closed, and opened again at once: a server on this very machine can be reached all the same
    const onOffline = () => {
      client.close();
      client.connect().catch(show);
    };
    const subscriptions = [
      syncQueryCache(client, userSession.queryClient),
      client.onStateChange((state) => {
        show();
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
            void saver.resume(owner).catch(() => undefined); // nothing is lost: it stays
          }
        } else if (state.name === "closed" && state.error?.slug === "unauthorized") {
          latest.current.onEnded();
        }
      }),
    ];
    window.addEventListener("online", onOnline);
    window.addEventListener("offline", onOffline);
    show();
    client.connect().catch(show); // the state says why, and the page shows it
    return () => {
      over = true;
      for (const stop of subscriptions) {
        stop();
      }
      window.removeEventListener("online", onOnline);
      window.removeEventListener("offline", onOffline);
      saver.close();
      client.close();
    };
  }, [userSession]);

  return live && <LiveContext.Provider value={live}>{children}</LiveContext.Provider>;
}

/** The signed-in person's client, file saver and connection state. */
export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) {
    throw new Error("useLive is used outside of LiveProvider");
  }
  return live;
}

/** Whose files are saved here, as the journal names them; `undefined` while the session has not told. */
function ownerKey({ sub, tenant }: Identity): string | undefined {
  return sub && tenant ? JSON.stringify([tenant, sub]) : undefined;
}
