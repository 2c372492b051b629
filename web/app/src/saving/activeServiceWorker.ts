/** Maximum wait for the service worker, in milliseconds. */
const READY_TIMEOUT_MS = 10_000;

/**
 * Returns the registration of the active service worker.
 *
 * @throws Error when the service worker does not start.
 */
export async function activeRegistration(): Promise<ServiceWorkerRegistration> {
  const registration = await navigator.serviceWorker.register("/saving-worker.js", { scope: "/saving/" });
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  if (!worker) {
    throw new Error("there is no service worker");
  }
  if (worker.state !== "activated") {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error("the service worker does not start")),
        READY_TIMEOUT_MS,
      );
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

/**
 * Returns the active service worker.
 *
 * @throws Error when the service worker does not start.
 */
export async function activeServiceWorker(): Promise<ServiceWorker> {
  const { active } = await activeRegistration();
  if (!active) {
    throw new Error("there is no service worker");
  }
  return active;
}
