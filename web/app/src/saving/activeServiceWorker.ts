/** How long to wait for the service worker, in milliseconds. */
const READY_MS = 10_000;

/** The registration of the service worker once it is active. @throws Error when it does not start. */
export async function activeRegistration(): Promise<ServiceWorkerRegistration> {
  const registration = await navigator.serviceWorker.register("/saving-worker.js", { scope: "/saving/" });
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (!worker) {
    throw new Error("there is no service worker");
  }
  if (worker.state !== "activated") {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the service worker does not start")), READY_MS);
      worker.addEventListener("statechange", () => {
        if (worker.state === "activated") {
          clearTimeout(timer);
          resolve();
        }
      });
    });
  }
  return registration;
}

/** The active service worker. @throws Error when it does not start. */
export async function activeServiceWorker(): Promise<ServiceWorker> {
  const { active } = await activeRegistration();
  if (!active) {
    throw new Error("there is no service worker");
  }
  return active;
}
