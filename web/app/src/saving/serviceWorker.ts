/**
 * Answers `/saving/<export>/<name>` with bytes that a worker of the page brings, so that the browser saves them as they
 * come. It asks for one chunk at a time: a slow disk slows the server down, and nothing gathers in memory.
 */
/// <reference lib="webworker" />
const scope = self as unknown as ServiceWorkerGlobalScope;

interface Announced {
  name: string;
  port: MessagePort;
}

/** Downloads that were announced and not begun, at most this many. */
const MOST = 32;
const announced = new Map<string, Announced>();

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("message", (event) => {
  const { id, name } = (event.data ?? {}) as { id?: string; name?: string };
  const [port] = event.ports;
  if (!id || !name || !port) {
    return; // no more than a sign that the page still needs this worker
  }
  if (announced.size >= MOST) {
    announced.delete(announced.keys().next().value ?? "");
  }
  announced.set(id, { name, port });
  port.postMessage("announced, and answers");
});

scope.addEventListener("notificationclick", (event) => {
  const { path } = (event.notification.data ?? {}) as { path?: string };
  event.notification.close();
  if (path) {
    event.waitUntil(show(path));
  }
});

/** Brings a window of the page to the front and tells it where to go; opens one where there is none. */
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
    return; // the gateway says that there is no such file
  }
  announced.delete(id);
  event.respondWith(answer(download));
});

function answer({ name, port }: Announced): Response {
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        port.onmessage = ({ data }) => {
          if (data === "end") {
            controller.close();
          } else if (data === "abort") {
            controller.error(new Error("the download was given up"));
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
