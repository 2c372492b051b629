import { activeServiceWorker } from "./activeServiceWorker.js";

/** How often the service worker is told that it is still needed, in milliseconds. */
const STAY_MS = 10_000;

/** How long to wait for an answer of the service worker, in milliseconds. */
const READY_MS = 10_000;

/** How long the frame stays that began the download, in milliseconds; the download has left it long before. */
const FRAME_MS = 60_000;

/** A download of the browser that has begun, and takes its bytes from whoever holds the port. */
export interface ServiceWorkerDownload {
  port: MessagePort;
  /** The service worker answers when it is asked whether it is still there; an older version does not. */
  answers: boolean;
  /** It is over: the service worker may go. */
  over(): void;
}

/** Begins a download of the browser under this name. @throws Error when the service worker does not come up. */
export async function startServiceWorkerDownload(
  exportId: string,
  name: string,
): Promise<ServiceWorkerDownload> {
  const worker = await activeServiceWorker();
  const { port1, port2 } = new MessageChannel();
  const known = new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the service worker does not answer")), READY_MS);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      resolve(data === "announced, and answers");
    };
  });
  worker.postMessage({ id: exportId, name }, [port2]);
  const answers = await known;
  port1.onmessage = null;
  const frame = document.createElement("iframe");
  frame.hidden = true;
  frame.src = `/saving/${encodeURIComponent(exportId)}/${encodeURIComponent(name)}`;
  document.body.append(frame);
  setTimeout(() => frame.remove(), FRAME_MS);
  const staying = setInterval(() => worker.postMessage({}), STAY_MS);
  return { port: port1, answers, over: () => clearInterval(staying) };
}
