import type { Page } from "@playwright/test";

/**
 * Measures the CPU time that the main thread of a page spends in tasks, in seconds, from now until the returned function
 * is called. CPU time, unlike the duration of a task, does not grow while other processes use the machine.
 */
export async function measureMainThread(page: Page): Promise<() => Promise<number>> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const taskSeconds = async () => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const task = metrics.find((metric) => metric.name === "TaskDuration");
    if (!task) {
      throw new Error(
        `the browser reports no TaskDuration, but ${metrics.map((metric) => metric.name).join(", ")}`,
      );
    }
    return task.value;
  };
  const before = await taskSeconds();
  return async () => {
    const used = (await taskSeconds()) - before;
    await cdp.detach();
    return used;
  };
}
