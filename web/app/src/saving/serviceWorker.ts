/**
 * Answers `/saving/<export>/<name>` with bytes that the page's worker sends, so that the browser saves them as a
 * download. It requests one chunk at a time, so that a slow disk slows the server down and no bytes pile up in memory.
 */
/// <reference lib="webworker" />
const scope = self as unknown as ServiceWorkerGlobalScope;

interface AnnouncedDownload {
  name: string;
  port: MessagePort;
}

/** Maximum number of announced downloads that have not started. */
const MAX_ANNOUNCED = 32;
const announced = new Map<string, AnnouncedDownload>();

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("message", (event) => {
  const { id, name } = (event.data ?? {}) as { id?: string; name?: string };
  const [port] = event.ports;
  if (!id || !name || !port) {
    return; // a keep-alive message of the page
  }
  if (announced.size >= MAX_ANNOUNCED) {
    announced.delete(announced.keys().next().value ?? "");
  }
  announced.set(id, { name, port });
  port.postMessage("announced with keep-alive");
});

scope.addEventListener("notificationclick", (event) => {
  const { path } = (event.notification.data ?? {}) as { path?: string };
  event.notification.close();
  if (path) {
    event.waitUntil(show(path));
  }
});

/** Focuses a window of the page and opens the path there, or opens a new window. */
async function show(path: string): Promise<void> {
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  const [open] = windows;
  if (open) {
    const focused = await open.focus();
    focused.postMessage({ open: path });
  } else {
    await scope.clients.openWindow(path);
  }
}

scope.addEventListener("fetch", (event) => {
  const [, root, id] = new URL(event.request.url).pathname.split("/");
  const download = root === "saving" && id ? announced.get(id) : undefined;
  if (!id || !download) {
    return; // the gateway answers with 404
  }
  announced.delete(id);
  event.respondWith(answer(download));
});

function answer({ name, port }: AnnouncedDownload): Response {
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        port.onmessage = ({ data }) => {
          if (data === "end") {
            controller.close();
          } else if (data === "abort") {
            controller.error(new Error("the download was aborted"));
          } else if (data === "alive?") {
            port.postMessage("alive");
          } else {
            controller.enqueue(data as Uint8Array);
          }
        };
      },
      pull() {
        port.postMessage("pull");
      },
      cancel() {
        port.postMessage("cancel");
      },
    },
    { highWaterMark: 2 },
  );
  return new Response(body, {
    headers: {
      "content-type": "application/octet-stream",
      "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`,
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; sandbox",
    },
  });
}
