import { configuredJitter, JitterProxy, jitter } from "../stack/jitterProxy.js";

/**
 * With `SLUICE_JITTER_MS`, puts a proxy that delays all bytes in front of the shared Sluice: `SLUICE_URL` becomes the
 * address of the proxy. Returns the function that stops the proxy.
 */
export default async function globalSetup(): Promise<(() => void) | undefined> {
  const jitterMs = configuredJitter();
  if (jitterMs === 0) {
    return undefined;
  }
  const proxy = await JitterProxy.start(process.env.SLUICE_URL ?? "", jitter(jitterMs));
  process.env.SLUICE_URL = proxy.url; // the workers, which read the configuration again, inherit the environment
  return () => proxy.close();
}
