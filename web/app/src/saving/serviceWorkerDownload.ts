import { activeServiceWorker } from "./activeServiceWorker.js";

/** Interval of keep-alive messages to the service worker, in milliseconds. */
const KEEP_ALIVE_MS = 10_000;

/** Maximum wait for an answer of the service worker, in milliseconds. */
const READY_TIMEOUT_MS = 10_000;

/** Lifetime of the iframe that starts the download, in milliseconds; far longer than a download needs to start. */
const IFRAME_LIFETIME_MS = 60_000;

/** A browser download that takes its bytes from the other end of the port. */
export interface ServiceWorkerDownload {
  port: MessagePort;
  /** Whether the service worker answers keep-alive messages; an older version does not. */
  answers: boolean;
  /** Ends the keep-alive messages. */
  end(): void;
}

/**
 * Starts a browser download with this name.
 *
 * @throws Error when the service worker does not start.
 */
export async function startServiceWorkerDownload(
  exportId: string,
  name: string,
): Promise<ServiceWorkerDownload> {
  const worker = await activeServiceWorker();
  const { port1, port2 } = new MessageChannel();
  const announced = new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the service worker does not answer")), READY_TIMEOUT_MS);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      resolve(data === "announced with keep-alive");
    };
  });
  worker.postMessage({ id: exportId, name }, [port2]);
  const answers = await announced;
  port1.onmessage = null;
  const iframe = document.createElement("iframe");
  iframe.hidden = true;
  iframe.src = `/saving/${encodeURIComponent(exportId)}/${encodeURIComponent(name)}`;
  document.body.append(iframe);
  setTimeout(() => iframe.remove(), IFRAME_LIFETIME_MS);
  const keepAlive = setInterval(() => worker.postMessage({}), KEEP_ALIVE_MS);
  return { port: port1, answers, end: () => clearInterval(keepAlive) };
}
